"""``watch``, ``cancel`` and ``redrive``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamsched.cli.completion import complete_task
from streamsched.cli.options import Json, Reason, Task, Wait, Where, client_of
from streamsched.cli.printing import note, out, out_json
from streamsched.cli.progress import PLAIN_EVERY_S, because, counted, note_missing
from streamsched.cli.task_text import style_of
from streamsched.cli.watching import bar, until_done
from streamsched.domain.errors import InputError
from streamsched.domain.visible import visible

ALL_EVERY_S: Final = 1.0
"""Between two looks at all active tasks."""
BAR: Final = 12
WIDE: Final = 100
"""Columns from which on templates are shown."""

if TYPE_CHECKING:
    from rich.table import Table

    from streamsched.commands.redrive import RedrivePreview
    from streamsched.queries.status import TaskStatus


def watch(
    context: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(metavar="[TASK]", help="Its id; without it, all active tasks.", autocompletion=complete_task),
    ] = None,
) -> None:
    """Watch a task, or all active tasks.

    It ends when the task has ended; watching all ends with Ctrl-C.
    """
    with client_of(context) as client:
        if task is None:
            _watch_all(client.follow_active(ALL_EVERY_S))
            return
        status = until_done(client, task)
    out(f"{status.task_id} {status.state}: {counted(status)}")


def cancel(context: typer.Context, task: Task, reason: Reason = "") -> None:
    """Cancel a task. Its running children stop within a second."""
    with client_of(context) as client:
        status = client.cancel(task, reason)
        if status.done:
            note(f"task {task} has ended already: {status.state}; nothing was requested")
        else:
            out(f"task {task}: cancellation was requested")
            note_missing(client)


def redrive(
    context: typer.Context,
    task: Task,
    everything: Annotated[bool, typer.Option("--all", help="All children, even those that succeeded.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start from the beginning, not from the last checkpoints.")
    ] = False,
    where: Where = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show how many children would run again.")] = False,
    reason: Reason = "",
    wait: Wait = False,
    as_json: Json = False,
) -> int:
    """Run the unsuccessful children of an ended task again.

    They start from their last checkpoints, and their attempts are counted anew; what succeeded is kept. A running
    task is refused. Children that --where leaves out stay as they are, and count when the others have ended: beyond
    the tolerance the task fails again.
    """
    if dry_run and wait:
        raise InputError("nothing runs with --dry-run", "leave --wait out", source="--wait")
    with client_of(context) as client:
        if dry_run:
            _show(client.task(task).preview_redrive(where=where, everything=everything), as_json=as_json)
            return 0
        status = client.redrive(task, where=where, everything=everything, restart=restart, reason=reason).status
        if wait:
            status = until_done(client, task)
        else:
            note_missing(client)
    if as_json:
        out_json({"task_id": task, "status": status.document()})
    elif wait:
        out(f"{status.task_id} {status.state}: {counted(status)}{because(status)}")
    else:
        out(f"task {task} continues as redrive {status.redrive}: {counted(status)}")
    return 0 if not wait or status.state == "succeeded" else 1


def _show(preview: RedrivePreview, *, as_json: bool) -> None:
    if as_json:
        out_json(preview.document())
        return
    states = ", ".join(f"{count:,} {state}" for state, count in preview.states.items())
    out(f"{preview.children:,} children would run again" + (f": {states}" if states else ""))


def _watch_all(rounds: Iterable[list[TaskStatus]]) -> None:
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=8) as live:
            for statuses in rounds:
                live.update(_table(statuses, live.console.width))
        return
    told: dict[str, str] = {}
    due = 0.0
    for statuses in rounds:
        show_all = time.monotonic() >= due
        if show_all:
            due = time.monotonic() + PLAIN_EVERY_S
        for status in statuses:
            if show_all or told.get(status.task_id) != status.state:
                note(f"{status.task_id} {status.state}: {counted(status)}")
        told = {status.task_id: status.state for status in statuses}


def _table(statuses: list[TaskStatus], width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, caption=None if statuses else "no active task", width=width)
    longest = max((len(visible(status.task_id)) for status in statuses), default=4)
    table.add_column("task", no_wrap=True, overflow="ellipsis", width=min(max(4, longest), width // 3))
    if width >= WIDE:
        table.add_column("template", no_wrap=True, overflow="ellipsis", max_width=20)
    table.add_column("state", no_wrap=True, width=10)
    table.add_column("", width=BAR)
    table.add_column("children", no_wrap=True, overflow="ellipsis", ratio=1)
    for status in statuses:
        task, template, state, counts = map(visible, (status.task_id, status.template, status.state, _counts(status)))
        cells = [Text(task), *([Text(template)] if width >= WIDE else []), Text(state, style_of(status.state))]
        table.add_row(*cells, bar(status, BAR), Text(counts))  # no markup: [red] is shown as it is
    return table


def _counts(status: TaskStatus) -> str:
    children = status.children
    failed = f", {children.failed:,} failed" if children.failed else ""
    return f"{children.ended:,} of {children.total:,}{failed}"
