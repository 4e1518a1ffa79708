"""``audit verify``: the history, held against what is promised."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from streamsched.cli.options import Json, settings_of
from streamsched.cli.printing import note, out, out_json, plain
from streamsched.cli.replay_commands import read_until

if TYPE_CHECKING:
    from streamsched.audit.report import Report, Violation


def verify(
    context: typer.Context,
    task: Annotated[
        str | None, typer.Option("--task", metavar="ID", help="Only this task.", show_default=False)
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="POSITION|TIME",
            help="End before this offset of each partition, or after this time (RFC 3339, or a date).",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Hold the history against what is promised; exits 1 at a violation.

    Reads the journal once, and asks of every event: one plan for each task, and the plan of its request (invariants
    1, 2); one ending of every child, ordinals without a gap (3); checkpoints and fencing tokens that only rise (4);
    one terminal event, and nothing live at it (5); every decision owed where it was decided (10). Then of the work log
    and the positions, as they are now: each live child has one unsettled record, and nothing else has one (8).

    With --until the last of these is left out, for the work log is only known as of now. A cluster may be running
    meanwhile.
    """
    position, moment = read_until(until)
    from streamsched.api.wiring import Installation
    from streamsched.audit.verify import verify as verify_history
    from streamsched.cli.progress import ReadProgress

    with closing(Installation(settings_of(context))) as site, ReadProgress() as progress:
        site.discover()
        report = verify_history(
            log=site.log, topics=site.topics, codec=site.codec, task_id=task, until_position=position,
            until_time=moment, on_progress=progress,
        )  # fmt: skip
        if task is not None and not report.events:
            from streamsched.api.request import NoSuchTask

            raise NoSuchTask(f"no task {task!r} in {site.settings.where}; 'streamsched list' shows all")
    if as_json:
        out_json(asdict(report))
    else:
        _print(report)
    return 1 if report.total else 0


def _print(report: Report) -> None:
    for violation in report.violations:
        out(_line(violation))
    if report.total > len(report.violations):
        out(f"... and {report.total - len(report.violations):,} more")
    tasks = "1 task" if report.tasks == 1 else f"{report.tasks:,} tasks"
    verdict = "no violation" if not report.total else f"{report.total:,} violations"
    out(f"{report.events:,} events of {tasks}: {verdict if report.total != 1 else '1 violation'}")
    for told in report.notes:
        note(told)
    for count, what in (
        (report.void, "events without effect: late or repeated ones"),
        (report.unreadable, "records of the journal that cannot be read: 'streamsched dead-letters' shows them"),
        (report.unjudged, "decisions not judged: their basis lies too far back"),
    ):
        if count:
            note(f"{count:,} {what}")


def _line(violation: Violation) -> str:
    where = [f"task {violation.task_id}"] if violation.task_id else []
    if violation.child is not None:
        where.append(f"child {violation.child}")
    who = f" {' '.join(where)}:" if where else ""
    return plain(
        f"invariant {violation.invariant} at {violation.place}:{who} expected {violation.expected}; "
        f"found {violation.found}",
        1_000,
    )
