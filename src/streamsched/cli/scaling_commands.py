"""``scaling``: how many slots would do what is left in a given time."""

from __future__ import annotations

from typing import Annotated

import typer

from streamsched.cli.options import Json, client_of
from streamsched.cli.printing import out, out_json
from streamsched.cli.progress import span
from streamsched.domain import duration
from streamsched.domain.errors import InputError


def scaling(
    context: typer.Context,
    target: Annotated[str, typer.Option(metavar="TIME", help="How soon the work is to end.")] = "5m",
    queue: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default=False,
                     help="Only tasks of this queue, or 'default' for those that name none [default: all]"),
    ] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Say how many slots would do what is left in a given time.

    At most as many as children could run, and 0 where there is nothing to do.
    """
    from streamsched.domain.routing import NAME, NAME_REMEDY, read_queue

    milliseconds = duration.read(target)
    if not milliseconds:
        raise InputError(f"invalid time {target!r}", "write 30s, 5m or 1h30m", source="--target")
    if queue is not None and not NAME.fullmatch(queue):
        raise InputError(f"{queue[:200]!r} is not the name of a queue", NAME_REMEDY, source="--queue")
    with client_of(context) as client:
        found = client.scaling(milliseconds / 1000, queue=None if queue is None else read_queue(queue))
    if as_json:
        out_json(found.document())
        return
    children = "1 child" if found.runnable == 1 else f"{found.runnable:,} children"
    slots = "1 slot" if found.desired_slots == 1 else f"{found.desired_slots:,} slots"
    out(f"{slots}: {children} can run, {span(found.work_s)} of work, to end in {span(found.target_s)}")
