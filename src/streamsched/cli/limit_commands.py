"""``set``."""

from __future__ import annotations

from typing import Annotated

import typer

from streamsched.cli.options import Json, Reason, Task, client_of
from streamsched.cli.printing import out, out_json
from streamsched.cli.progress import counted, note_missing
from streamsched.domain.errors import InputError


def set_limits(
    context: typer.Context,
    task: Task,
    limits: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=VALUE...",
            help="Such as parallelism=50, rate=100/s, priority=3, weight=2, tolerate=2%, deadline=6h; or =none.",
        ),
    ],
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Change limits of a running task.

    Limits that are not named stay. A lower parallelism lets live children finish. A lower tolerance is judged at once.
    The deadline counts from now, or is a time; then the task fails. A priority holds for what is dispatched from now
    on.
    """
    with client_of(context) as client:
        status = client.set_limits(task, reason=reason, **_pairs(limits))
        if not as_json:
            shown = ", ".join(f"{name} {text}" for name, text in status.in_force)
            out(f"task {task} is {status.state}, {counted(status)}; {shown or 'without limits'}")
            note_missing(client)
    if as_json:
        out_json(status.document())


def _pairs(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, is_pair, value = word.partition("=")
        if not is_pair or not name.isidentifier() or not value:
            raise InputError(f"{word!r} is not NAME=VALUE", "write parallelism=50", source="NAME=VALUE")
        if name in found:
            raise InputError(f"{name} is given twice, {found[name]!r} and {value!r}", "keep one", source="NAME=VALUE")
        found[name] = value
    return found
