"""``schedule backfill``: make the tasks of past times."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streamsched.cli.options import Json, client_of
from streamsched.cli.printing import columns, out, out_json
from streamsched.cli.printing import note as tell
from streamsched.cli.progress import PLAIN_EVERY_S, note_missing
from streamsched.cli.replay_commands import read_time
from streamsched.cli.schedule_commands import Id, Note
from streamsched.domain.errors import InputError

if TYPE_CHECKING:
    from streamsched.client import Client
    from streamsched.commands.backfills import BackfillStep, WantedBackfill
    from streamsched.commands.schedules import Changed
    from streamsched.queries.schedule_status import BackfillStatus

LOOK_EVERY_S: Final = 0.25


def backfill(
    context: typer.Context,
    schedule: Id,
    start: Annotated[str | None, typer.Option(metavar="TIME", help="First time (RFC 3339, or a local date).")] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Only times before this [default: now]")] = None,
    reprocess: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="missing: times without a task; failed: also times whose task did not succeed, by a redrive; "
            "all: every time.",
        ),
    ] = "missing",
    max_active: Annotated[int, typer.Option(metavar="N", help="How many tasks may run at once.")] = 1,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="Start with the latest time.")] = False,
    as_of: Annotated[
        str, typer.Option(metavar="WHEN", help="then: times and template as they were at each time; now: as they are.")
    ] = "then",
    note: Note = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what it would make; write nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; exit 1 if a task does not succeed.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the active backfill; its tasks continue.")] = False,
    as_json: Json = False,
) -> int:
    """Make the tasks of past times.

    Those that are missing, that failed, or all; --max-active of them run at once. The schedule's own times are not
    delayed meanwhile. 'schedule show' shows the progress.
    """
    if cancel:
        with client_of(context) as client:
            done = client.cancel_backfill(schedule, note)
        _report(done, "is cancelled" if done.changed else "is not active", as_json=as_json)
        return 0
    if start is None:
        raise InputError("is missing", "give the first time, such as 2026-11-01", source="--start")
    if as_of not in ("then", "now"):
        raise InputError(f"{as_of!r} is neither then nor now", "choose one of them", source="--as-of")
    from streamsched.commands.backfills import WantedBackfill

    wanted = WantedBackfill(
        start=read_time(start, "--start", f"invalid time {start!r}"),
        end=None if end is None else read_time(end, "--end", f"invalid time {end!r}"),
        reprocess=reprocess,
        max_active=max_active,
        newest_first=newest_first,
        as_of_now=as_of == "now",
        note=note,
    )
    with client_of(context) as client:
        if dry_run:
            _preview(client, schedule, wanted, as_json=as_json)
            return 0
        done = client.backfill(schedule, wanted)
        note_missing(client)
        if done.status is None or done.status.backfill is None or not wait:
            _report(done, "is requested", as_json=as_json)
            return 0
        found = _follow(client, schedule, done.status.backfill.number)
    if as_json:
        out_json(found.document())
    else:
        out(f"backfill {found.number} of schedule {schedule} {found.state}: {_counted(found)}")
    return 0 if not set(found.counts) & {"failed", "cancelled", "refused"} and found.state == "done" else 1


def _preview(client: Client, schedule: str, wanted: WantedBackfill, *, as_json: bool) -> None:
    steps = client.preview_backfill(schedule, wanted)
    if as_json:
        for step in steps:
            out_json(step.document())
        return
    zone = client.schedule(schedule).zone
    counts: Counter[str] = Counter()

    def rows() -> Iterator[tuple[str, ...]]:
        for step in steps:
            counts[step.action] += 1
            yield _row(step, zone)

    for line in columns(("TIME", "ACTION", "TASK", "TEMPLATE"), rows(), spare=("TEMPLATE",), cut=("TASK",)):
        if counts:  # no head without a row
            out(line)
    would = ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "do nothing"
    tell(f"nothing was written; it would {would}")


def _row(step: BackfillStep, zone: str) -> tuple[str, ...]:
    from streamsched.domain.calendar import moment
    from streamsched.queries.documents import millis_of

    task = step.task_id if step.state is None else f"{step.task_id} ({step.state})"
    return moment.write(millis_of(step.nominal), zone), step.action, task, step.template_version[:12]


def _follow(client: Client, schedule: str, number: int) -> BackfillStatus:
    """Show the progress of a backfill until its end."""
    with _progress() as show:
        while True:
            found = client.schedule(schedule).backfill
            if found is None or found.number != number:
                raise InputError(f"backfill {number} has ended, another one began", f"see 'schedule ticks {schedule}'")
            show(found)
            if found.done:
                return found
            time.sleep(LOOK_EVERY_S)


@contextmanager
def _progress() -> Iterator[Any]:
    if not sys.stderr.isatty():
        due = [0.0]

        def line(found: BackfillStatus) -> None:
            if time.monotonic() >= due[0]:
                due[0] = time.monotonic() + PLAIN_EVERY_S
                tell(_counted(found))

        yield line
        return
    from rich.console import Console

    with Console(stderr=True).status("backfill") as status:
        yield lambda found: status.update(_counted(found))


def _counted(found: BackfillStatus) -> str:
    from streamsched.queries.documents import millis_of, rfc3339

    counts = ", ".join(f"{count:,} {name}" for name, count in found.counts.items()) or "nothing yet"
    running = f", {len(found.running):,} running" if found.running else ""
    return f"{counts}{running}" + (f", at {rfc3339(millis_of(found.cursor))}" if found.cursor is not None else "")


def _report(done: Changed, what: str, *, as_json: bool) -> None:
    found = None if done.status is None else done.status.backfill
    if as_json:
        out_json({
            "schedule_id": done.schedule_id, "changed": done.changed,
            "backfill": None if found is None else found.document(),
        })  # fmt: skip
    elif found is None:
        out(f"schedule {done.schedule_id} has no backfill")
    else:
        out(f"backfill {found.number} of schedule {done.schedule_id} {what}")
