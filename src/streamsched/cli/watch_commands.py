"""``watch``, ``cancel`` and ``redrive``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from streamsched.cli.options import Json, Reason, Task, Wait, client_of
from streamsched.cli.printing import note, out, out_json
from streamsched.cli.progress import PLAIN_EVERY_S, because, counted, note_missing, until_done
from streamsched.domain.visible import visible

if TYPE_CHECKING:
    from rich.table import Table

    from streamsched.queries.status import TaskStatus


def watch(
    context: typer.Context,
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="Its id; without it, all active tasks.")] = None,
) -> None:
    """Watch a task until it is done, or all active tasks until Ctrl-C."""
    with client_of(context) as client:
        if task is None:
            _watch_all(client.follow_active(0.25))
            return
        status = until_done(client, task)
    out(f"{status.task_id} {status.state}: {counted(status)}")


def cancel(context: typer.Context, task: Task, reason: Reason = "") -> None:
    """Cancel a task. Its running children stop within a second."""
    with client_of(context) as client:
        status = client.cancel(task, reason)
        if status.done:
            note(f"task {task} is done already: {status.state}; nothing was requested")
        else:
            out(f"task {task}: cancellation was requested")
            note_missing(client)


def redrive(
    context: typer.Context,
    task: Task,
    everything: Annotated[bool, typer.Option("--all", help="All children, also those that succeeded.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="From the beginning, not the last checkpoints.")] = False,
    reason: Reason = "",
    wait: Wait = False,
    as_json: Json = False,
) -> int:
    """Run the children that did not succeed again, after a task has ended, from their last checkpoints.

    Attempts are counted anew; what succeeded is kept. A task that runs is refused.
    """
    with client_of(context) as client:
        status = client.redrive(task, everything=everything, restart=restart, reason=reason).status
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


def _watch_all(rounds: Iterable[list[TaskStatus]]) -> None:
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=8) as live:
            for statuses in rounds:
                live.update(_table(statuses))
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


def _table(statuses: list[TaskStatus]) -> Table:
    from rich import box
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, caption=None if statuses else "no active task")
    for name in ("task", "template", "state", "", "children"):
        table.add_column(name, no_wrap=name != "children")
    for status in statuses:
        children = status.children
        bar = ProgressBar(total=children.total or 1, completed=children.ended, width=24)
        texts = (status.task_id, status.template, status.state, counted(status))
        task, template, state, counts = (Text(visible(text)) for text in texts)  # no markup: [red] is shown as it is
        table.add_row(task, template, state, bar, counts)
    return table
