"""``logs``: what the handlers of a task have printed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from streamsched.cli.options import Child, Task, client_of
from streamsched.cli.printing import note, out

if TYPE_CHECKING:
    from streamsched.queries.logs import LogLine


def logs(
    context: typer.Context,
    task: Task,
    child: Child = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show new output as it comes, until the task has ended or Ctrl-C.")
    ] = False,
) -> None:
    """Show what the handlers of a task have printed.

    Each line has its time, child and attempt. On Kafka it is what workers wrote into the log: within a second or two,
    for three days, and within their --output-rate. If the log has nothing of a task, it is the last 4 KiB of each
    failed attempt.
    """
    from streamsched.queries.output import child_shown

    shown = None if child is None else child_shown(child, "CHILD")
    last: LogLine | None = None
    with client_of(context) as client:
        for last in client.logs(task, shown, follow=follow):
            out(*f"{last.time} {task}[{last.child}]#{last.attempt} {last.text}".split("\t"))
            if follow:
                sys.stdout.flush()
    if last is None:
        note(f"nothing was printed by {task}{f'[{shown}]' if shown else ''}, or it is no longer kept")
    elif last.tail:
        note(
            "of this task only the end of what failed attempts printed is kept, the last 4 KiB of each; all of it is "
            f"on the stdout of the workers, in lines with {task}[{shown or 'CHILD'}]#"
        )
