"""``audit verify``, ``audit export`` and ``certify``: check the history, and write it into a file."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamsched.cli.given import settings_of
from streamsched.cli.options import Json, OnlyTask, Task, Until, client_of
from streamsched.cli.printing import note, out, out_json, plain
from streamsched.cli.replay_commands import read_until
from streamsched.domain.errors import InputError, NoSuchTask

if TYPE_CHECKING:
    from streamsched.audit.report import Report, Violation
    from streamsched.cli.progress import ReadProgress
    from streamsched.installation.site import Installation
    from streamsched.queries.certificate import Certificate


def verify(
    context: typer.Context,
    task: OnlyTask = None,
    until: Until = None,
    view: Annotated[Path | None, typer.Option(metavar="DIR", help="Compare a view's folder with the fold too.")] = None,
    as_json: Json = False,
) -> int:
    """Check the history against the guarantees; exit 1 at a violation.

    Reads the journal once and checks every event: one plan for each task, and the plan of its request (invariants
    1, 2); one ending of every child, ordinals without a gap (3); checkpoints and fencing tokens that only rise (4);
    one terminal event, and nothing live at it (5); every decision owed where it was decided (10); one outcome of each
    time of a schedule, in order (11); one task for each that fired, and its end told (12). Then the work log and the
    positions, as they are now: each live child has one unsettled record, and nothing else has one (8).

    With --until the last check is left out: the work log is known only as of now. With --view a view's folder is
    compared with the fold up to its positions (7). A cluster may be running meanwhile.
    """
    position, moment = read_until(until)
    if view is not None and not (view / "CURRENT").is_file():
        raise _wrong_view(view, "holds no view")
    from streamsched.audit.verify import verify as verify_history
    from streamsched.cli.progress import ReadProgress as Progress
    from streamsched.installation.site import Installation

    with closing(Installation(settings_of(context))) as site, Progress() as progress:
        site.discover()
        report = verify_history(
            log=site.log, coordination=site.log, topics=site.topics, codec=site.codec, task_id=task,
            until_position=position, until_time=moment, on_progress=progress,
        )  # fmt: skip
        if task is not None and not report.events:
            raise _no_such_task(site, task)
        compared = _compare(site, view, task, progress) if view is not None else None
    if as_json:
        out_json(asdict(report) | ({} if compared is None else {"view": asdict(compared)}))
    else:
        _print(report)
        if compared is not None:
            _print(compared, f"view {plain(view)}: ")
    return 1 if report.total or (compared is not None and compared.total) else 0


def _compare(site: Installation, view: Path, task: str | None, progress: ReadProgress) -> Report:
    from streamsched.audit.views import ForeignView, verify_view

    try:
        return verify_view(
            log=site.log,
            topics=site.topics,
            codec=site.codec,
            folder=view,
            journal_id=site.journal_id,
            task_id=task,
            on_progress=progress,
        )
    except ForeignView as error:
        raise _wrong_view(view, str(error)) from None


def _wrong_view(view: Path, reason: str) -> Exception:
    return InputError(reason, "give the folder of a view ('streamsched replay --view')", source=f"--view {view}")


def export(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="The file to write, or its folder.")],
    form: Annotated[str | None, typer.Option(
        "--format", metavar="FORMAT", help="parquet or jsonl [default: by the file's suffix; parquet in a folder]",
    )] = None,
    task: OnlyTask = None,
    until: Until = None,
) -> None:  # fmt: skip
    """Write the history into a file.

    It has one row for each record of the journal, merged by time like 'replay'. JSON lines are those of 'replay
    --json'. Parquet has columns for the place (topic, partition, offset, timestamp), the event and its common fields,
    and the whole event as JSON in 'document'; it needs 'streamsched[parquet]'. The file appears when it is whole and
    replaces an older one.
    """
    position, moment = read_until(until)
    path, kind = _target(target, form)
    from streamsched.audit.export import NoParquet
    from streamsched.audit.export import export as export_history
    from streamsched.audit.replay import ends_of, history
    from streamsched.cli.progress import ReadProgress as Progress
    from streamsched.installation.site import Installation

    with closing(Installation(settings_of(context))) as site, Progress() as progress:
        topics = site.discover().topics
        places = topics.journal() if task is None else [topics.journal_of(task)]
        ends = ends_of(site.log, places, position=position, time=moment)
        if task is not None and next(history(site.log, topics, site.codec, ends, task), None) is None:
            raise _no_such_task(site, task)
        try:
            rows, unreadable = export_history(
                path, kind, log=site.log, topics=topics, codec=site.codec, ends=ends, task_id=task,
                on_progress=progress,
            )  # fmt: skip
        except NoParquet as error:
            raise InputError(str(error), "or choose --format jsonl", source="--format") from None
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", "name another file", source=str(path)) from error
    note(f"{rows:,} rows in {path}")
    if unreadable:
        note(f"{unreadable:,} of them are not events: 'streamsched dead-letters' shows them")


def certify(context: typer.Context, task: Task, as_json: Json = False) -> int:
    """Certify a task that has ended.

    It exits 0 where the children were disjoint and complete, and each ended once; else 1. It reads the journal alone,
    and prints: the number of children by their endings; SHA-256 of template, parameters, plan, all
    results in order of index, and the result of a reduce; one digest over all these; and 'audit verify' of the
    task. The digest is the same for equal input and results, whatever happened on the way. With --json it is that of
    'content': jq -jcS .content | sha256sum
    """
    with client_of(context) as client:
        found = client.certify(task)
    if as_json:
        out_json(found.document())
        return 0 if found.holds else 1
    for name, text in _certified(found):
        out(f"{name:<11} {text}")
    _print(found.audit, "audit       ")
    for fault in found.faults:
        out(f"{'fault':<11} {fault}")
    return 0 if found.holds else 1


def _certified(found: Certificate) -> list[tuple[str, str]]:
    content = found.content
    endings = [f"{getattr(content, name):,} {name}" for name in ("succeeded", "failed", "cancelled")]
    return [
        ("task", found.task_id),
        ("state", found.state),
        ("children", f"{content.children:,}: {', '.join(endings)}"),
        ("template", content.template),
        ("parameters", content.params),
        ("plan", content.plan),
        ("results", content.results),
        *([] if content.reduced is None else [("reduced", content.reduced)]),
        ("digest", found.digest),
        ("journal", f"{found.topic}-{found.partition} before offset {found.position:,}"),
    ]


def _no_such_task(site: Installation, task: str) -> Exception:
    return NoSuchTask(f"no task {task!r} in {site.settings.where}; 'streamsched list' shows all")


def _target(target: Path, form: str | None) -> tuple[Path, str]:
    """Choose file and format."""
    from streamsched.audit.export import FORMATS

    kind = form or ("parquet" if target.is_dir() else target.suffix.removeprefix("."))
    if kind not in FORMATS:
        reason = f"unknown format {form!r}" if form else "its suffix names no format"
        raise InputError(reason, f"choose --format {' or '.join(FORMATS)}", source="--format" if form else str(target))
    return (target / f"events.{kind}" if target.is_dir() else target), kind


def _print(report: Report, what: str = "") -> None:
    for violation in report.violations:
        out(_line(violation))
    if report.total > len(report.violations):
        out(f"... and {report.total - len(report.violations):,} more")
    tasks = "1 task" if report.tasks == 1 else f"{report.tasks:,} tasks"
    verdict = {0: "no violation", 1: "1 violation"}.get(report.total, f"{report.total:,} violations")
    out(f"{what}{report.events:,} events of {tasks}: {verdict}")
    for told in report.notes:
        note(told)
    for count, about in (
        (report.void, "without effect: late or repeated events"),
        (report.unreadable, "unreadable records of the journal: 'streamsched dead-letters' shows them"),
        (report.unjudged, "not judged: decisions whose basis lies too far back"),
    ):
        if count:
            note(f"{count:,} {about}")


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
