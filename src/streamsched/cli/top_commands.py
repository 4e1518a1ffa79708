"""``top``: a live view of tasks and nodes. One thread draws and takes keys, another one reads.

So a broker that does not answer delays neither the keys nor the end.
"""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import closing
from dataclasses import replace
from threading import Condition, Thread
from typing import TYPE_CHECKING, Final

import typer

from streamsched.cli.exits import leave_threads
from streamsched.cli.given import all_settings_of
from streamsched.cli.keys import check_terminal, pressed, single_keys
from streamsched.cli.progress import Rate
from streamsched.domain.errors import StreamschedError

if TYPE_CHECKING:
    from streamsched.cli.top_screen import Chosen, Snapshot
    from streamsched.installation.settings import Settings
    from streamsched.reach import Watched

LOOK_S: Final = 1.0
"""Between two looks while no key is pressed."""
FOLD_S: Final = 0.3
"""How long one look may read the journal."""
KEY_S: Final = 0.1
"""How long to wait for a key before the size of the terminal is checked again."""
LEAVE_S: Final = 2.0
"""How long the looking thread may need to close its view."""
INSTEAD: Final = "use 'streamsched list', 'status TASK' and 'nodes', or 'watch', which print lines"


class Looking(Thread):
    """Reads an installation each second, and at once when the screen is to show something else.

    Through a server that is seldom enough, too: how often it is asked is bounded there (``RemoteOverview``).
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="streamsched-top", daemon=True)
        from streamsched.cli.top_screen import Snapshot

        self._settings = settings
        self._changed = Condition()
        self._stopped = False
        self._wanted = ("", 0, 1, False)
        """What the screen shows: the chosen task, the first row, the number of rows, whether the task is opened."""
        self._anew = False
        self._rates: dict[str, Rate] = {}
        self.found: Snapshot = Snapshot(settings.where, trouble="reading the journal")
        self.error: BaseException | None = None
        """Why the thread has ended by itself."""

    def want(self, chosen: str, first: int, rows: int, *, opened: bool) -> None:
        """Set what the screen shows."""
        with self._changed:
            if (chosen, first, rows, opened) != self._wanted:
                self._wanted, self._anew = (chosen, first, rows, opened), True
                self._changed.notify_all()

    def stop(self) -> bool:
        """Stop the thread; return whether it ended in time."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self.join(LEAVE_S)
        return not self.is_alive()

    def run(self) -> None:
        """Read until stopped. If the log does not answer, the screen says so, and it is asked again."""
        from streamsched.reach import overview_of

        try:
            with closing(overview_of(self._settings, self._folding)) as overview:
                overview.begin()
                while not self._stopped:
                    try:
                        self._look(overview)
                    except StreamschedError as error:
                        self.found = replace(self.found, trouble=str(error))
                    with self._changed:
                        self._changed.wait_for(lambda: self._stopped or self._anew, LOOK_S)
                        self._anew = False
        except BaseException as error:
            self.error = error

    def _look(self, overview: Watched) -> None:
        from streamsched.cli.top_screen import Row, Snapshot

        whole = overview.follow(FOLD_S)
        chosen, first, rows, opened = self._wanted
        task_ids = overview.task_ids()
        seen = [status for task_id in task_ids[first : first + rows] if (status := overview.brief(task_id)) is not None]
        self._rates = {each.task_id: self._rates.get(each.task_id) or Rate() for each in seen}
        told = [
            Row(each, 0.0 if each.done else self._rates[each.task_id].add(each.children.ended)) for each in seen
        ]  # fmt: skip
        nodes = overview.nodes()
        self.found = Snapshot(
            self._settings.where, time.strftime("%H:%M:%S"), overview.active, task_ids, first, told,
            self._chosen(overview, chosen or next(iter(task_ids), ""), opened=opened), nodes,
            "" if whole else "reading the journal",
        )  # fmt: skip

    def _chosen(self, overview: Watched, task_id: str, *, opened: bool) -> Chosen | None:
        from streamsched.cli.top_screen import Chosen

        status = overview.status(task_id) if task_id else None
        if status is None:
            return None
        stragglers = overview.stragglers(task_id) if opened else ()
        return Chosen(status, overview.failures(task_id), stragglers)

    def _folding(self, done: int, total: int) -> None:
        if self._stopped:
            raise SystemExit
        self.found = replace(self.found, trouble=f"reading the journal: {done:,} of {total:,} records")


class Top:
    """The chosen task, and whether it is opened."""

    def __init__(self) -> None:
        self.chosen = ""
        self.first = 0
        self.opened = False

    def press(self, key: str, found: Snapshot, rows: int) -> None:
        """Take a key."""
        if key == "enter":
            self.opened = bool(found.task_ids)
        elif key == "back":
            self.opened = False
        steps = {"up": -1, "down": 1, "page up": -rows, "page down": rows, "home": -len(found.task_ids),
                 "end": len(found.task_ids)}  # fmt: skip
        if key in steps and found.task_ids:
            at = self._place(found) + steps[key]
            self.chosen = found.task_ids[min(max(0, at), len(found.task_ids) - 1)]

    def settle(self, found: Snapshot, rows: int) -> None:
        """Scroll so that the chosen task is on the screen."""
        if found.task_ids and self.chosen not in found.task_ids:
            self.chosen = found.task_ids[0]
        at = self._place(found)
        self.first = max(0, min(max(self.first, at - rows + 1), at))

    def _place(self, found: Snapshot) -> int:
        return found.task_ids.index(self.chosen) if self.chosen in found.task_ids else 0


def top(context: typer.Context) -> int:
    """Show tasks, nodes and failures live, on the whole terminal.

    Arrows choose a task, Enter shows it, Esc goes back, q or Ctrl-C ends it. It only looks: whatever it shows, 'list',
    'status', 'failures' and 'nodes' print too.
    """
    settings = all_settings_of(context)
    check_terminal(INSTEAD)
    logging.disable()  # the screen has a line for trouble
    looking = Looking(settings)
    looking.start()
    try:
        _draw(looking)
    finally:
        if not looking.stop():  # the thread waits for a broker
            leave_threads()
    if looking.error is not None:
        raise looking.error
    return 0


def _draw(looking: Looking) -> None:
    """Draw until a key ends it, or the reading thread has failed."""
    from rich.console import Console, Group
    from rich.text import Text

    from streamsched.cli.top_screen import rooms, screen

    state, shown = Top(), None
    console = Console(highlight=False)
    with single_keys(), console.screen(hide_cursor=True) as on_screen:
        while looking.error is None:
            width, height = shutil.get_terminal_size()
            found = looking.found
            tasks, _ = rooms(height, len(found.nodes))
            state.settle(found, tasks)
            looking.want(state.chosen, state.first, tasks, opened=state.opened)
            now = (found, state.chosen, state.opened, width, height)
            if now != shown:
                shown = now
                rows: list[Text] = screen(found, state.chosen, opened=state.opened, width=width, height=height)
                on_screen.update(Group(*rows))
            for key in pressed(KEY_S):
                if key == "quit":
                    return
                state.press(key, found, tasks)
