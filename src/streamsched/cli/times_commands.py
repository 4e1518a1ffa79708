"""``schedule next``: when a schedule would fire."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamsched.cli.options import Json
from streamsched.cli.printing import note, out, out_json
from streamsched.domain.errors import InputError

if TYPE_CHECKING:
    from streamsched.domain.calendar.spec import ScheduleSpec


def next_times(
    cron: Annotated[list[str] | None, typer.Option(metavar="EXPR", help="A cron string; may be repeated.")] = None,
    every: Annotated[
        list[str] | None, typer.Option(metavar="TIME[/PHASE]", help="An interval: 15m, 15m/3m; may be repeated.")
    ] = None,
    zone: Annotated[str | None, typer.Option(metavar="ZONE", help="IANA name of the time zone [default: UTC]")] = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="Take the times from this schedule file.")] = None,
    after: Annotated[str | None, typer.Option(metavar="TIME", help="After this (RFC 3339) [default: now]")] = None,
    count: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="How many times.")] = 5,
    as_json: Json = False,
) -> None:
    """Print the next nominal times of a schedule, without jitter. Nothing is written."""
    spec = _spec(cron or [], every or [], zone, file)
    from streamsched.domain.calendar import moment

    shown = 0
    for at in islice(spec.between(_after(after) + 1, 1 << 62), count):
        text = moment.write(at, spec.home)
        if as_json:
            out_json({"nominal": text, "utc": moment.write(at), "nominal_ms": at, "zone": spec.home})
        else:
            out(text)
        shown += 1
    if shown < count:
        note("it does not fire after that" if shown else "it never fires again")


def _spec(cron: list[str], every: list[str], zone: str | None, file: Path | None) -> ScheduleSpec:
    from streamsched.domain.refusal import ScheduleError

    if file is not None:
        if cron or every or zone is not None:
            raise InputError("the file has all of it", "leave out --cron, --every and --zone", source="--file")
        from streamsched.files.schedule_file import load_spec

        return load_spec(file)
    if not cron and not every:
        raise InputError("there are no times", "give --cron, --every or --file", source="schedule next")
    from streamsched.domain.calendar.spec import ScheduleSpec

    try:
        return ScheduleSpec.from_mapping({"cron": cron, "interval": every, **({} if zone is None else {"zone": zone})})
    except ScheduleError as error:
        option, *rest = error.path or ("schedule",)
        field = ".".join(step for step in rest if isinstance(step, str))
        source = {"interval": "--every", "cron": "--cron", "zone": "--zone"}.get(str(option), str(option))
        raise InputError(error.reason, error.remedy, source=source, field=field) from None


def _after(text: str | None) -> int:
    if text is None:
        return time.time_ns() // 1_000_000
    from streamsched.domain.calendar import moment

    found = moment.read(text)
    if found is None:
        reason = f"{text!r} is not a time with an offset (RFC 3339)"
        raise InputError(reason, "write 2026-11-23T12:00:00Z or 2026-11-23T12:00:00+01:00", source="--after")
    return found
