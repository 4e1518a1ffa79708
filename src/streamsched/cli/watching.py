"""Watching a task on stderr: a few rows on a terminal, however large it is; elsewhere a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from msgspec.structs import replace

from streamsched.cli.printing import note
from streamsched.cli.progress import PLAIN_EVERY_S, Rate, counted
from streamsched.cli.task_text import left, style_of, told_failures, wrapped
from streamsched.domain.visible import visible
from streamsched.log.port import LogUnreachable

if TYPE_CHECKING:
    from rich.console import Group
    from rich.progress_bar import ProgressBar

    from streamsched.client import Client
    from streamsched.queries.failures import FailureStatus
    from streamsched.queries.status import TaskStatus

MISSING_AFTER_S: Final = 2.0
"""When to begin to check whether anything works on the task."""
GROUPS_EVERY_S: Final = 1.0
"""Between two looks at the causes of failures."""
BAR: Final = 24
ROWS: Final = 12
"""Of a terminal, at most."""


def until_done(client: Client, task_id: str) -> TaskStatus:
    """Show the progress of a task until it has ended; returns its last status. Raise NoSuchTask."""
    look_at, groups_at = time.monotonic() + MISSING_AFTER_S, 0.0
    groups: Sequence[FailureStatus] = ()
    with TaskProgress() as progress:
        for status in client.follow(task_id):
            now = time.monotonic()
            if progress.terminal and status.children.failed and (status.done or now >= groups_at):
                groups, groups_at = _failures(client, task_id) or groups, now + GROUPS_EVERY_S
            idle = not status.done and now >= look_at
            progress(replace(status, why=_why(client, task_id)) if idle else status, groups)
    return status


def _why(client: Client, task_id: str) -> str:
    """Return why it does not get on, or why the log does not answer: watching continues when it does again."""
    try:
        answer = client.why(task_id)
        return "" if answer.gets_on else answer.sentence
    except LogUnreachable as error:
        return str(error)


def _failures(client: Client, task_id: str) -> Sequence[FailureStatus]:
    try:
        return client.failures(task_id)
    except LogUnreachable:  # as above: that is said already
        return ()


class TaskProgress:
    """Shows the progress of a task. Use it as a context manager, and call it with each status."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._next = 0.0
        self._told = ""
        self._live: Any = None
        self.terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        if self.terminal:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True, highlight=False), refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __call__(self, status: TaskStatus, groups: Sequence[FailureStatus] = ()) -> None:
        """Show this status, and the causes of its failures."""
        rate = self._rate.add(status.children.ended)
        if self._live is not None:
            self._live.update(rows(status, rate, groups, self._live.console.width))
            return
        counts = counted(status) + paced(status, rate)
        if status.why:
            counts += f"; {status.why}"
        now = time.monotonic()
        if status.state != self._told or now >= self._next:
            self._told, self._next = status.state, now + PLAIN_EVERY_S
            remaining = left(status)
            note(f"{status.state}: {counts}{f', {remaining} left' if remaining else ''}")


def rows(status: TaskStatus, rate: float, groups: Sequence[FailureStatus], width: int) -> Group:
    """Return what a terminal shows of a task: ROWS rows at most."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    share = "" if status.splitting or not status.children.total else f"{_percent(status)}%"
    head = Columns(
        [Text(visible(status.state), style_of(status.state)), bar(status, BAR), Text(share)],
        padding=(0, 1),
    )  # fmt: skip
    lines = [("children", counted(status) + paced(status, rate)), ("why", status.why)]
    lines.append(("left", left(status, within=True)))
    lines += told_failures(status.task_id, groups)
    told = list(wrapped(((name, text) for name, text in lines if text), width))[: ROWS - 1]
    return Group(head, *(Text(visible(line), no_wrap=True, overflow="ellipsis") for line in told))


def bar(status: TaskStatus, width: int) -> ProgressBar:
    """Return how much of a task has ended, in the colour of its state."""
    from rich.progress_bar import ProgressBar

    children, style = status.children, style_of(status.state)
    total = None if status.splitting else children.total or 1
    return ProgressBar(
        total, children.ended, width, complete_style=style, finished_style=style, pulse_style=style
    )  # fmt: skip


def paced(status: TaskStatus, rate: float) -> str:
    """Return at which rate children end, to be appended to what is counted."""
    if rate <= 0 or status.done:
        return ""
    return f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.1f}/s"


def _percent(status: TaskStatus) -> int:
    return status.children.ended * 100 // status.children.total
