"""Progress on stderr: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final, Self

from msgspec.structs import replace

from streamsched.cli.printing import note
from streamsched.domain.visible import visible
from streamsched.log.port import LogUnreachable

if TYPE_CHECKING:
    from streamsched.client import Client
    from streamsched.queries.status import TaskStatus

PLAIN_EVERY_S: Final = 3.0
"""Between plain lines."""
FOLD_AFTER_S: Final = 1.0
"""When reading the journal is first reported."""
MISSING_AFTER_S: Final = 2.0
"""When to begin to check whether anything works on the task."""


def until_done(client: Client, task_id: str) -> TaskStatus:
    """Show the progress of a task until it is done; returns its last status. Raise NoSuchTask."""
    look_at = time.monotonic() + MISSING_AFTER_S
    with TaskProgress() as progress:
        for status in client.follow(task_id):
            idle = not status.done and time.monotonic() >= look_at
            progress(replace(status, why=_missing(client, task_id)) if idle else status)
    return status


def _missing(client: Client, task_id: str) -> str:
    """Return which nodes are missing, or why the log does not answer: watching continues when it does again."""
    try:
        return client.missing(task_id)
    except LogUnreachable as error:
        return str(error)


def note_missing(client: Client) -> None:
    """Print that nothing works on the embedded log, if so; on Kafka the check would take too long."""
    if client.embedded and (missing := client.missing()):
        note(missing)


class Rate:
    """Children that ended per second, over the last seconds."""

    WINDOW_S: Final = 5.0

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def add(self, ended: int) -> float:
        """Note the number that has ended by now; returns the rate."""
        now = time.monotonic()
        self._seen.append((now, ended))
        while len(self._seen) > 2 and self._seen[1][0] < now - self.WINDOW_S:
            self._seen.pop(0)
        (then, before), (last, ended) = self._seen[0], self._seen[-1]
        return (ended - before) / (last - then) if last > then else 0.0


class TaskProgress:
    """Shows the progress of a task. Use it as a context manager, and call it with each status."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._next = 0.0
        self._told = ""
        self._bar: Any = None
        self._row: Any = None
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        if self._terminal:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.fields[state]:<10}"),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[counts]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=Console(stderr=True),
                refresh_per_second=8,
                transient=False,
            )
            self._bar.start()
            self._row = self._bar.add_task("", total=None, state="", counts="", left="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, status: TaskStatus) -> None:
        """Show this status."""
        children = status.children
        rate = self._rate.add(children.ended)
        left = (children.total - children.ended) / rate if rate > 0 and not status.done else None
        left = None if status.splitting else left
        counts = counted(status)
        if rate > 0 and not status.done:
            counts += f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.1f}/s"
        if status.why:
            counts += f"; {status.why}"
        remaining = f"{span(left)} left" if left is not None else ""
        if self._bar is not None:
            self._bar.update(
                self._row, total=None if status.splitting else children.total or None, completed=children.ended,
                state=status.state, counts=visible(counts), left=remaining,
            )  # fmt: skip
            return
        now = time.monotonic()
        if status.state != self._told or now >= self._next:
            self._told, self._next = status.state, now + PLAIN_EVERY_S
            note(f"{status.state}: {counts}{f', {remaining}' if remaining else ''}")


class FoldNotice:
    """Reports a long first fold of the journal."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Note progress, in records."""
        now = time.monotonic()
        if not self._next:
            self._next = now + FOLD_AFTER_S
        elif now >= self._next and done < total:
            self._next = now + PLAIN_EVERY_S
            note(f"reading the journal: {done:,} of {total:,} records")


class ReadProgress:
    """Shows the progress of a long read of the journal. Use it as a context manager, and call it with offsets."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._row: Any = None
        self._notice = FoldNotice()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("reading the journal"),
                BarColumn(bar_width=32),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                refresh_per_second=8,
                transient=True,
            )
            self._bar.start()
            self._row = self._bar.add_task("", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Show this."""
        if self._bar is not None:
            self._bar.update(self._row, total=total, completed=done)
        else:
            self._notice(done, total)


def counted(status: TaskStatus) -> str:
    """Return the numbers of children by state, and the states of split child and reduce, as text."""
    children = status.children
    words = [f"{children.succeeded:,} of {children.total:,} done"]
    if status.splitting:
        words = [f"splitting: {children.total:,} so far", f"{children.succeeded:,} done"]
    for name in ("running", "waiting", "failed", "cancelled"):
        count = getattr(children, name)
        if count:
            words.append(f"{count:,} {name}")
    if status.split and not status.splitting and status.split != "succeeded":
        words.append(f"split {status.split}")
    if status.reduce:
        words.append(f"reduce {status.reduce}")
    return ", ".join(words)


def because(status: TaskStatus) -> str:
    """Return the reason of a failure, in brackets."""
    return f" ({status.reason})" if status.reason and status.state != "succeeded" else ""


def span(seconds: float) -> str:
    """Return a length of time as text."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
