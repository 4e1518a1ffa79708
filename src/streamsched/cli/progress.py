"""Progress in words, and of long reads on stderr: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final, Self

from streamsched.cli.printing import note

if TYPE_CHECKING:
    from streamsched.client import Client
    from streamsched.queries.status import TaskStatus

PLAIN_EVERY_S: Final = 3.0
"""Between plain lines."""
FOLD_AFTER_S: Final = 1.0
"""When reading the journal is first reported."""


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
    words = [f"{children.succeeded:,} of {children.total:,} succeeded"]
    if status.splitting:
        words = [f"splitting: {children.total:,} so far", f"{children.succeeded:,} succeeded"]
    for name in ("running", "queued", "waiting", "failed", "cancelled"):
        count = getattr(children, name)
        if count:
            words.append(f"{count:,} {name}")
    if status.split and not status.splitting and status.split != "succeeded":
        words.append(f"split {status.split}")
    if status.reduce:
        words.append(f"reduce {status.reduce}")
    return ", ".join(words)


def reason_of(status: TaskStatus) -> str:
    """Return why a task is in its state; empty of one that gets on: there it is a failure that is tolerated."""
    return "" if status.state in ("running", "succeeded") else status.reason


def because(status: TaskStatus) -> str:
    """Return the reason of a failure, in brackets."""
    reason = reason_of(status)
    return f" ({reason})" if reason else ""


def span(seconds: float) -> str:
    """Return a length of time as text."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
