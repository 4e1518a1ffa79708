"""A task in lines for people: the same few for ``status``, ``watch`` and ``top``, however many children it has."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from shlex import quote
from typing import TYPE_CHECKING, Final

from streamsched.cli.abridged import abridged
from streamsched.cli.printing import local_time, plain, whole
from streamsched.cli.progress import counted, reason_of, span

if TYPE_CHECKING:
    from streamsched.queries.failures import FailureStatus
    from streamsched.queries.status import TaskStatus

Lines = list[tuple[str, str]]
"""Names and texts."""
BAR_CHARS: Final = 30
NAMED: Final = 11
"""Characters of a line's name."""
MOST_ROWS: Final = 4
"""Rows of a terminal that one text takes."""
STYLES: Final = {
    "succeeded": "green", "failed": "red", "refused": "red", "failing": "red",
    "cancelled": "yellow", "cancelling": "yellow", "paused": "yellow",
}  # fmt: skip
"""Colours of states; the others get on."""
PARAMS: Final = 240
"""Characters of parameters, about."""
GROUPS: Final = 3
"""Failure groups that are told."""


def describe(found: TaskStatus) -> Lines:
    """Return the lines of a task's status."""
    counts = found.children
    lines = [
        ("task", found.task_id),
        ("state", found.state),
        ("reason", plain(reason_of(found), 500)),
        ("why", "" if found.done else plain(found.why, 500)),
        ("redrive", str(found.redrive) if found.redrive else ""),
        ("template", f"{found.template}, version {found.template_version[:12]}"),
        *told_params(found.params, f"streamsched status {quote(found.task_id)} --json"),
        ("submitted", f"{local_time(found.submitted_at)} by {plain(found.submitted_by)} ({found.origin})"),
        ("priority", str(found.priority) if found.priority else ""),
        ("limits", ", ".join(f"{name} {text}" for name, text in found.in_force if name != "priority")),
        ("labels", plain(" ".join(f"{name}={value}" for name, value in found.labels.items()), 500)),
        ("started", local_time(found.started_at)),
        ("finished", local_time(found.finished_at)),
    ]
    if found.started_at is not None:
        ended = found.finished_at or datetime.now(UTC)
        seconds = max(0.001, (ended - found.started_at).total_seconds())
        lines.append(("time", f"{span(seconds)}, {(counts.succeeded + counts.failed) / seconds:,.1f} children/s"))
    share = counts.ended / counts.total if counts.total else float(found.done)
    filled = int(share * BAR_CHARS)
    bar = "" if found.splitting else f"[{'#' * filled}{'.' * (BAR_CHARS - filled)}] {share:.0%}  "
    lines.append(("children", f"{bar}{counted(found)}"))
    lines.append(("left", left(found, within=True)))
    return [(name, text) for name, text in lines if text not in ("", "-")]


def told_params(params: object, how: str) -> Lines:
    """Return the lines of parameters, long ones abridged, with ``how`` to see all of them."""
    told = abridged(params, PARAMS)
    lines = [("parameters", plain(told, 2 * PARAMS))]
    return lines if told == whole(params) else [*lines, ("", f"all of them: {how}")]


def left(status: TaskStatus, *, within: bool = False) -> str:
    """Return in which time a task will have ended, also ``within`` which range; empty where that is unknown."""
    eta = status.eta
    if eta is None or status.done:
        return ""
    now = datetime.now(UTC)
    at, first, last = (span(max(0.0, (each - now).total_seconds())) for each in (eta.at, eta.earliest, eta.latest))
    return f"{at}, between {first} and {last}" if within else at


def told_failures(task_id: str, groups: Sequence[FailureStatus]) -> Lines:
    """Return the lines of the most frequent causes of failures, at most GROUPS and one that tells of the rest."""
    lines = [
        ("" if at else "failures", f"{group.count:,} x {plain(group.type)}: {plain(group.message, 100)}")
        for at, group in enumerate(groups[:GROUPS])
    ]
    if len(groups) > GROUPS:
        lines.append(("", f"and {len(groups) - GROUPS:,} more causes: streamsched failures {task_id}"))
    return lines


def wrapped(lines: Iterable[tuple[str, str]], width: int | None) -> Iterator[str]:
    """Yield lines that fit the width of a terminal, a text in at most MOST_ROWS of them; whole ones without a width."""
    for name, text in lines:
        if width is None:
            yield f"{name:<{NAMED}} {text}"
            continue
        rows = textwrap.wrap(
            text, max(20, width - NAMED - 1), max_lines=MOST_ROWS, placeholder=" ...", break_on_hyphens=False,
        )  # fmt: skip
        for at, row in enumerate(rows):
            yield f"{'' if at else name:<{NAMED}} {row}"


def style_of(state: str) -> str:
    """Return the colour of a state: red for what has failed alone, never for what is well."""
    return STYLES.get(state, "cyan")
