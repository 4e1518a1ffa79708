"""``schedule``: create, change, show and delete schedules."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import chain
from operator import attrgetter
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from streamsched.cli.completion import complete_schedule
from streamsched.cli.options import Json, Pairs, client_of
from streamsched.cli.output import Form, Output
from streamsched.cli.output import show as show_found
from streamsched.cli.printing import columns, compact, local_time, note, out, out_json, plain, terminal_width
from streamsched.cli.progress import note_missing
from streamsched.cli.replay_commands import read_time
from streamsched.cli.task_text import told_params, wrapped
from streamsched.domain.errors import InputError

if TYPE_CHECKING:
    from streamsched.commands.schedules import Changed
    from streamsched.files.schedule_file import WantedSchedule
    from streamsched.queries.ledger import Tick
    from streamsched.queries.schedule_status import BackfillStatus, ScheduleStatus

File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="A schedule file, or a template with schedule: in it.", show_default=False),
]
Id = Annotated[
    str, typer.Argument(metavar="ID", help="The schedule's id.", show_default=False, autocompletion=complete_schedule)
]
NewId = Annotated[
    str | None,
    typer.Option("--id", metavar="ID", help="The schedule's id [default: the file's name without suffix]"),
]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; it is shown and kept in the history.")]


def create(
    context: typer.Context, file: File, schedule_id: NewId = None, param: Pairs = None, as_json: Json = False
) -> None:
    """Create a schedule, which makes a task at each of its times.

    Parameters may hold ${tick.nominal} and the like. A schedule that exists with the same content is left unchanged;
    with other content the command is refused.
    """
    wanted = _want(file, schedule_id, param)
    with client_of(context) as client:
        _report(client.create_schedule(wanted), "created", "exists already with the same content", as_json=as_json)
        note_missing(client)


def update(
    context: typer.Context, file: File, schedule_id: NewId = None, param: Pairs = None, as_json: Json = False
) -> None:
    """Change a schedule for future times. A paused one stays paused."""
    wanted = _want(file, schedule_id, param)
    with client_of(context) as client:
        _report(client.update_schedule(wanted), "updated", "is unchanged", as_json=as_json)


def pause(context: typer.Context, schedule: Id, note: Note = "", as_json: Json = False) -> None:
    """Pause a schedule. Its times are suppressed until it is resumed; running tasks continue."""
    with client_of(context) as client:
        _report(client.pause_schedule(schedule, note), "paused", "is paused already", as_json=as_json)


def resume(context: typer.Context, schedule: Id, note: Note = "", as_json: Json = False) -> None:
    """Resume a paused schedule with its future times."""
    with client_of(context) as client:
        _report(client.resume_schedule(schedule, note), "resumed", "is not paused", as_json=as_json)


def trigger(context: typer.Context, schedule: Id, as_json: Json = False) -> None:
    """Make a task of a schedule now, and print its id. The overlap policy applies, a pause does not."""
    with client_of(context) as client:
        done = client.trigger_schedule(schedule)
        note_missing(client)
    if as_json or done.task_id is None:
        _report(done, "triggered", "", as_json=as_json)
    else:
        out(done.task_id)


def delete(context: typer.Context, schedule: Id, note: Note = "", as_json: Json = False) -> None:
    """Delete a schedule. Running tasks continue; its history stays."""
    with client_of(context) as client:
        _report(client.delete_schedule(schedule, note), "deleted", "is deleted already", as_json=as_json)


def list_schedules(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Deleted ones too.")] = False,
    form: Output = Form.TABLE,
) -> None:
    """List the schedules by their ids."""
    with client_of(context) as client:
        found = [schedule for schedule in client.schedules() if everything or not schedule.deleted]

    def table(found: Iterable[ScheduleStatus]) -> None:
        head = ("SCHEDULE", "STATE", "NEXT", "TEMPLATE", "FIRED", "RUNNING", "LAST", "NOTE")
        rows = [
            (each.schedule_id, each.state, next(iter(each.coming_local), "-"), each.template,
             each.counts.get("fired", 0), len(each.running), each.last_outcome or "-", plain(each.note, 60))
            for each in found
        ]  # fmt: skip
        spare = ("NOTE", "TEMPLATE", "FIRED", "RUNNING", "LAST")
        for line in columns(head, rows, spare=spare, cut=("SCHEDULE",)) if rows else ():
            out(line)
        if not rows:
            note("no schedules; create one with 'streamsched schedule create'")

    show_found(form, found, attrgetter("schedule_id"), table)


def show(context: typer.Context, schedule: Id, form: Output = Form.TABLE) -> None:
    """Show a schedule: state, content, next times and outcomes."""
    with client_of(context) as client:
        found = client.schedule(schedule)

    def table(_: object) -> None:
        for line in wrapped(_described(found), terminal_width()):
            out(line)

    show_found(form, [found], attrgetter("schedule_id"), table)


def ticks(
    context: typer.Context,
    schedule: Id,
    last: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the last N.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="From this time on (RFC 3339 or a date).")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before this time (RFC 3339 or a date).")] = None,
    outcome: Annotated[
        str | None,
        typer.Option(metavar="O", help="Only fired, redriven, skipped, missed, suppressed, dropped or waiting ones."),
    ] = None,
    form: Output = Form.TABLE,
) -> None:
    """List the decided times of a schedule, with their outcomes.

    The reason of each is shown too; its name is the id of its task.
    """
    from streamsched.queries.ledger import OUTCOMES

    if outcome is not None and outcome not in OUTCOMES:
        raise InputError(f"unknown outcome {outcome!r}", f"choose one of {', '.join(OUTCOMES)}", source="--outcome")
    begin = None if since is None else read_time(since, "--since", f"invalid time {since!r}")
    end = None if until is None else read_time(until, "--until", f"invalid time {until!r}")
    with client_of(context) as client:
        zone = client.schedule(schedule).zone

        def table(found: Iterable[Tick]) -> None:
            rows = iter(found)
            first = next(rows, None)
            if first is None:
                note("no time was decided yet" if (last, since, until, outcome) == (None,) * 4 else "no such times")
                return
            shown = (_tick_row(tick, zone) for tick in chain([first], rows))
            for line in columns(("TIME", "OUTCOME", "TASK", "REASON"), shown, spare=("TASK",), cut=("REASON",)):
                out(line)

        found = client.ticks(schedule, since=begin, until=end, last=last, outcome=outcome)
        made = (tick for tick in found if form is not Form.NAME or tick.task_id)
        show_found(form, made, attrgetter("task_id"), table)


def _want(file: Path, schedule_id: str | None, pairs: list[str] | None) -> WantedSchedule:
    from streamsched.files.schedule_file import want_schedule

    return want_schedule(file, now=time.time_ns() // 1_000_000, schedule_id=schedule_id, pairs=pairs or [])


def _report(done: Changed, did: str, was: str, *, as_json: bool) -> None:
    if as_json:
        out_json(done.document())
    elif not done.changed:
        out(f"schedule {done.schedule_id} {was}")
    else:
        coming = done.status.coming_local if done.status is not None and did != "paused" else []
        out(f"schedule {done.schedule_id} {did}" + (f"; next at {coming[0]}" if coming else ""))


def _described(found: ScheduleStatus) -> list[tuple[str, str]]:
    counts = ", ".join(f"{count:,} {name}" for name, count in found.counts.items())
    lines = [
        ("schedule", found.schedule_id),
        ("state", found.state),
        ("note", plain(found.note, 500)),
        ("times", compact(found.spec, 500)),
        ("policy", ", ".join(f"{name} {value}" for name, value in found.policy.document().items() if value)),
        ("template", f"{found.template}, version {found.template_version[:12]}"),
        *told_params(found.params, f"streamsched schedule show {quote(found.schedule_id)} --json"),
        ("priority", str(found.priority) if found.priority else ""),
        ("created", local_time(found.created_at)),
        ("version", f"{found.version}, of {local_time(found.changed_at)} by {plain(found.changed_by)}"),
        ("runs left", "" if found.left is None else f"{found.left:,}"),
        ("ticks", counts),
        ("waiting", f"{found.waiting:,}" if found.waiting else ""),
        ("last task", found.last_outcome or ""),
        ("backfill", "" if found.backfill is None else _backfill(found.backfill)),
    ]
    lines += [("running" if at == 0 else "", task) for at, task in enumerate(found.running)]
    lines += [("next" if at == 0 else "", text) for at, text in enumerate(found.coming_local)]
    return [(name, text) for name, text in lines if text]


def _backfill(found: BackfillStatus) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in found.counts.items())
    noted = f" ({plain(found.note, 200)})" if found.note else ""
    return f"{found.number}, {found.state}{noted}: " + (counts or "nothing yet")


def _tick_row(tick: Tick, zone: str) -> tuple[str, ...]:
    from streamsched.domain.calendar import moment
    from streamsched.queries.documents import millis_of

    reason = f"{tick.reason}; the task {tick.task_outcome}" if tick.task_outcome else tick.reason
    return moment.write(millis_of(tick.nominal), zone), tick.outcome, tick.task_id or "-", reason
