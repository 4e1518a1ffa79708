"""A report as one page of HTML: no script, no request, one style, light or dark as the reader prefers."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from shlex import quote
from typing import Final

from streamsched.cli import report_pictures as pictures
from streamsched.cli.abridged import abridged
from streamsched.cli.event_text import ChildNames, event_text
from streamsched.cli.markup import Markup, block, el, join, text
from streamsched.cli.printing import local_time
from streamsched.cli.progress import counted, reason_of, span
from streamsched.queries.durations import Spread
from streamsched.queries.report import RANGES, Report
from streamsched.queries.status import TaskStatus
from streamsched.version import __version__

GROUPS: Final = 50
"""Failure groups that are shown."""
PARAMS: Final = 1_000
"""Characters of the parameters that are shown whole."""
PARAMS_CUT: Final = 20_000
"""Characters of parameters each of which is cut."""
SHOWN: Final = 300
"""Characters of other texts of users."""
ORDER: Final = ("succeeded", "failed", "cancelled", "running", "queued", "waiting")
MARKS: Final = {
    "succeeded": "\u2713", "failed": "\u2715", "refused": "\u2715", "cancelled": "\u2298", "paused": "\u2016",
}  # fmt: skip
"""Shapes beside the colours of states; others have RUNNING."""
RUNNING: Final = "\u25b8"


def page(report: Report) -> str:
    """Return the whole page."""
    style = Markup((files("streamsched.cli") / "report.css").read_text("utf-8"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{report.status.task_id} \u00b7 {report.status.state}"),
        el("style", style),
    )
    parts = [section for section in _sections(report) if section]
    return f"<!doctype html>\n{el('html', head, el('body', el('main', *parts)), lang='en')}\n"


def _sections(report: Report) -> Iterator[Markup]:
    yield _header(report)
    yield _children(report)
    yield _failures(report)
    yield _stragglers(report)
    yield _durations(report)
    yield _throughput(report)
    yield _steps(report)
    yield _about(report)
    zone = datetime.fromtimestamp(report.at / 1000, UTC).astimezone().strftime("%Z")
    at = f"{local_time(report.at)} (times are {zone}), position {report.position}, streamsched {__version__}"
    yield el("footer", f"As of {at}")


def _header(report: Report) -> Markup:
    status, answer = report.status, report.answer
    state = el("span", f"{MARKS.get(status.state, RUNNING)} {status.state}", class_=f"state {_class(status.state)}")
    lines = [el("p", answer.why, class_="why")]
    if answer.change:
        lines.append(el("p", "What would change it: ", text(answer.change)))
    counts = _counts(status)
    took = "-"
    if status.started_at is not None:
        ended = status.finished_at.timestamp() if status.finished_at else report.at / 1000
        took = span(max(0.0, ended - status.started_at.timestamp()))
    figures = [
        ("children", f"{status.children.total:,}"), ("ended", _share(status)),
        ("failed", f"{status.children.failed:,}"), ("running", f"{status.children.running:,}"), ("time", took),
        ("expected end", "" if status.eta is None else
         f"{local_time(status.eta.at)} ({local_time(status.eta.earliest)} to {local_time(status.eta.latest)})"),
    ]  # fmt: skip
    told = _figures([(name, figure) for name, figure in figures if figure])
    return el("header", el("h1", status.task_id, " ", state), *lines, told, pictures.shares(counts))


def _children(report: Report) -> Markup:
    if not report.cells.counts:
        return _section("Children", el("p", counted(report.status)))
    per = report.cells.per
    said = "A cell is a child." if per == 1 else f"A cell is {per:,} children, with their shares; failed ones on top."
    ranges = [f"{first:,}" if first == last else f"{first:,} to {last:,}" for first, last in report.failed]
    more = " and more" if len(ranges) == RANGES else ""
    failed = el("details", el("summary", "Failed children"), el("p", f"{', '.join(ranges)}{more}")) if ranges else ""
    picture = pictures.children(report.cells)
    return _section("Children", pictures.legend(_counts(report.status)), picture, el("p", said, class_="hint"), failed)


def _failures(report: Report) -> Markup:
    attempts = sum(group.count for group in report.failures)
    rows = [
        (f"{group.count:,}", f"{group.count / attempts:.1%}", f"{group.ended:,}", text(group.type, SHOWN),
         text(group.message, SHOWN), _when(group.first_at), _when(group.last_at),
         ", ".join(map(str, group.samples)), el("code", group.fingerprint))
        for group in report.failures[:GROUPS]
    ]  # fmt: skip
    if not rows:
        return _section("Failures", el("p", "No attempt has failed."))
    left = len(report.failures) - len(rows)
    head = ("Attempts", "Share", "Failed", "Type", "Message", "First", "Last", "Children", "Fingerprint")
    return _section("Failures", _table(head, rows, 3), el("p", f"And {left:,} more causes.") if left else "")


def _stragglers(report: Report) -> Markup:
    found = report.stragglers
    rows = [
        (str(each.child), lasted(each.elapsed_ms), "-" if each.times_median is None else f"{each.times_median:,.1f}",
         str(each.attempt), "-" if each.progress is None else f"{each.progress:.0%}", _when(each.eta),
         text(each.worker or "-", SHOWN))
        for each in found.items
    ]  # fmt: skip
    if not rows:
        return Markup()
    head = ("Child", "Runs for", "Of median", "Attempt", "Progress", "Expected end", "Worker")
    said = el("p", f"The longest of {found.running:,} that run.", class_="hint")
    return _section("Stragglers", said, _table(head, rows, 4))


def _durations(report: Report) -> Markup:
    found = report.durations
    if not found.buckets:
        return Markup()
    parts = [el("h3", "Ran"), *_spread(found, "running", found.ended)]
    if found.waits.buckets:
        parts += [el("h3", "Waited before, at a worker"), *_spread(found.waits, "queued", found.ended)]
    return _section("Durations", *parts)


def _spread(found: Spread, kind: str, ended: int) -> Iterator[Markup]:
    quantiles = (("median", found.p50), ("90 %", found.p90), ("99 %", found.p99), ("longest", found.max))
    yield _figures([(name, lasted(ms or 0)) for name, ms in quantiles])
    yield pictures.durations(found.buckets, kind)
    ends = f"{lasted(found.buckets[0].from_ms)} to {lasted(found.buckets[-1].to_ms)}, each bar twice as long"
    measured = "" if found.measured == ended else f"; {found.measured:,} of {ended:,} were measured"
    yield el("p", f"{ends}{measured}", class_="hint")


def _throughput(report: Report) -> Markup:
    past = report.past
    if not past.spans:
        return Markup()
    most = max(each.completed + each.failed + each.cancelled for each in past.spans)
    said = f"{pictures.times(past)}; a bar is {lasted(past.width_ms)}, the highest {most:,} attempts that ended"
    return _section("Throughput", pictures.throughput(past), el("p", said, class_="hint"))


def _steps(report: Report) -> Markup:
    past, names = report.past, ChildNames()
    rows = []
    for step in past.steps:
        said, by = event_text(step.event, names), step.event.by
        rows.append(
            (_when(step.event.at), type(step.event).__name__, text(by, SHOWN),
             text(said.removesuffix(f"by {by}").removesuffix(", "), SHOWN), f"{past.partition}:{step.offset}")
        )  # fmt: skip
    left = f"{past.left_out:,} in the middle are left out. " if past.left_out else ""
    unread = "" if past.complete else f"The journal was read up to {past.partition}:{past.position} only. "
    counts = ", ".join(f"{count:,} {name}" for name, count in past.counts.items())
    said = el("p", f"{left}{unread}All events: {counts or 'none'}.", class_="hint")
    return _section("Who did what", _table(("Time", "Event", "By", "What", "Offset"), rows), said)


def _about(report: Report) -> Markup:
    status = report.status
    reduce, split = (getattr(status, stage) or None for stage in ("reduce", "split"))
    lines = [
        ("template", f"{status.template}, version {status.template_version}"),
        ("submitted", f"{local_time(status.submitted_at)} by {status.submitted_by} ({status.origin})"),
        ("started", local_time(status.started_at)),
        ("finished", local_time(status.finished_at)),
        ("reason", reason_of(status)),
        ("labels", " ".join(f"{name}={value}" for name, value in status.labels.items())),
        ("limits", ", ".join(f"{name} {value}" for name, value in status.in_force)),
        ("redrive", str(status.redrive or "")),
        ("split", split), ("reduce", reduce),
    ]  # fmt: skip
    told = el("dl", *(join(el("dt", name), el("dd", value)) for name, value in lines if value), class_="facts")
    return _section("About", told, el("h3", "Parameters"), *_params(status))


def _params(status: TaskStatus) -> Iterator[Markup]:
    """Yield all parameters, or each of them abridged and how to print all."""
    whole = json.dumps(status.params, indent=2, ensure_ascii=False)
    if len(whole) <= PARAMS or not isinstance(status.params, dict):
        yield el("pre", block(whole, PARAMS))
        return
    write = partial(json.dumps, ensure_ascii=False)
    lines = [f"{name}: {abridged(value, SHOWN, write)}" for name, value in status.params.items()]
    yield el("pre", block("\n".join(lines), PARAMS_CUT))
    yield el("p", "Long ones are cut; all of them: ", el("code", f"streamsched status {quote(status.task_id)} --json"))


def _section(title: str, *content: object) -> Markup:
    return el("section", el("h2", title), *content)


def _figures(figures: Iterable[tuple[str, str]]) -> Markup:
    return el("dl", *(el("div", el("dt", name), el("dd", figure)) for name, figure in figures), class_="figures")


def _when(at: datetime | int | None) -> Markup:
    return el("time", local_time(at))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], numbers: int = 0) -> Markup:
    """Return a table; its first columns are ``numbers``, to the right."""
    classes = ["number" if at < numbers else None for at in range(len(head))]
    top = el("tr", *(el("th", name, class_=each) for name, each in zip(head, classes, strict=True)))
    body = (el("tr", *(el("td", cell, class_=each) for cell, each in zip(row, classes, strict=True))) for row in rows)
    return el("div", el("table", el("thead", top), el("tbody", *body)), class_="wide")


def _counts(status: TaskStatus) -> list[tuple[str, int]]:
    return [(name, getattr(status.children, name)) for name in ORDER]


def _share(status: TaskStatus) -> str:
    counts = status.children
    return f"{counts.ended / counts.total:.1%}" if counts.total else "-"


def _class(state: str) -> str:
    return {"refused": "failed", "failing": "failed", "paused": "cancelled", "cancelling": "cancelled"}.get(
        state, state if state in ("succeeded", "failed", "cancelled") else "running"
    )


def lasted(milliseconds: int) -> str:
    """Return how long something took, for people."""
    return f"{milliseconds} ms" if milliseconds < 1_000 else span(milliseconds / 1_000)
