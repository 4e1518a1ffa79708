"""``pause``, ``resume`` and ``terminate``."""

from __future__ import annotations

from typing import Annotated

import typer

from streamsched.cli.options import Json, Reason, Task, client_of
from streamsched.cli.printing import note, out, out_json
from streamsched.cli.progress import counted, note_missing


def pause(
    context: typer.Context,
    task: Task,
    now: Annotated[
        bool, typer.Option("--now", help="Running children stop at their next checkpoint, and continue after a resume.")
    ] = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Pause a task until 'streamsched resume'.

    Nothing more of it begins; running children finish. Children that wait at workers come back, and use no attempt.
    """
    with client_of(context) as client:
        status = client.pause(task, now=now, reason=reason)
        if not as_json:
            out(f"task {task} is paused: {counted(status)}")
            note_missing(client)
    if as_json:
        out_json(status.document())


def resume(context: typer.Context, task: Task, reason: Reason = "", as_json: Json = False) -> None:
    """Resume a task that was paused."""
    with client_of(context) as client:
        status = client.resume(task, reason=reason)
        if not as_json:
            out(f"task {task} is {status.state}: {counted(status)}")
            note_missing(client)
    if as_json:
        out_json(status.document())


def terminate(context: typer.Context, task: Task, reason: Reason = "") -> None:
    """Cancel a task and kill its running children at once.

    They get no time to stop. It also works on a task that is being cancelled, or is failing.
    """
    with client_of(context) as client:
        status = client.cancel(task, reason, kill=True)
        if status.done:
            note(f"task {task} has ended already: {status.state}; nothing was requested")
        else:
            out(f"task {task}: its children will be killed")
            note_missing(client)
