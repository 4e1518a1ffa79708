"""What requests may hold: the parameters of each address, and the fields of each body. All else is refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from streamsched.domain.bounds import ACTIVE_LIMIT
from streamsched.domain.errors import InputError
from streamsched.http.positions import LONGEST

PAGE: Final = 100
"""Entries of a page, unless it is said otherwise."""
Limit = Annotated[int, Meta(ge=1, le=1_000, description="entries of the page at most")]
Cursor = Annotated[str, Meta(max_length=2_000, description="the next of the page before it, with the same filter")]
Text = Annotated[str, Meta(max_length=2_000)]
Id = Annotated[str, Meta(min_length=1, max_length=200)]
Selector = Annotated[str, Meta(max_length=32_000, description="as 'state=failed and error=KeyError'")]
When = Annotated[str, Meta(max_length=40, description="RFC 3339, or a date")]
AtLeast = Annotated[str, Meta(max_length=LONGEST, description="a Streamsched-Position that must have been read")]


class Query(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters that every reading address takes."""

    at_least: AtLeast | None = None


class NoQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class AsOfQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With ``as_of`` the answer is of the past: before an offset of the task's partition, or after a time."""

    as_of: When | None = None


class TaskQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tasks are meant."""

    state: Text | None = None
    template: Text | None = None
    label: Annotated[list[Text], Meta(max_length=20, description="NAME=VALUE")] = []
    since: When | None = None
    limit: Limit = PAGE
    cursor: Cursor | None = None


class ChildQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which children are meant."""

    state: Text | None = None
    where: Selector | None = None
    limit: Limit = PAGE
    cursor: Cursor | None = None


class CountQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which children are counted."""

    where: Selector
    cursor: Cursor | None = None


class ResultQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose results are meant."""

    where: Selector | None = None


class HistoryQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the history begins and ends: from the offset ``since`` of the partition on, before another, or a time."""

    since: Annotated[int, Meta(ge=0, le=1 << 62)] = 0
    until: Text | None = None


class WholeHistoryQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the history of everything begins and ends.

    Each partition from its offset in ``since`` (``0:17,3:5``) on, before another, or a time.
    """

    since: Annotated[str, Meta(max_length=LONGEST, description="the next offset to read, by partition")] | None = None
    until: Text | None = None


class WhyQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which child: its number, ``split`` or ``reduce``; of the task without one."""

    child: Id | None = None


class GridQuery(AsOfQuery, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"first": "from"}):
    """Which children: those from ``from`` up to, not including, ``to``; and what of them.

    The layer of workers tells those apart that are named, in this order, from all others.
    """

    first: Annotated[int, Meta(ge=0)] = 0
    to: Annotated[int, Meta(ge=0)] | None = None
    layer: Literal["state", "duration", "attempts", "failure", "worker"] = "state"
    worker: Annotated[list[Text], Meta(max_length=20, description="a worker, for layer=worker")] = []


class LogQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines: those of one ``child`` (its number, ``split`` or ``reduce``), the last ``limit`` of them.

    With ``follow`` those that come are told too, until the task has ended; an empty line says that there are none yet.
    """

    child: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    follow: bool = False


class TickQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which times: of [since, until), of one outcome, the last ``limit`` of them."""

    since: When | None = None
    until: When | None = None
    outcome: Text | None = None
    limit: Limit = PAGE


class ScheduleQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which schedules: with ``all`` deleted ones too."""

    all: bool = False


class LetterQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters: of one topic of origin, set aside since."""

    topic: Text | None = None
    since: When | None = None
    limit: Limit = PAGE
    cursor: Cursor | None = None


class ScalingQuery(Query, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In how many seconds what is left is to end; of one ``queue`` alone, where it is named."""

    target: Annotated[float, Meta(ge=1, le=86_400)] = 300
    queue: Text | None = None


class EventQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From which position on; Last-Event-ID goes before it."""

    after: AtLeast | None = None


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body without fields."""


class Submission(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task to request: the content of a template's file, and what a submit gives it.

    ``canonical``: the template is as events hold it, as clients send it that have read its file. With ``dry_run``
    nothing is requested: the answer is what the task would be.
    """

    template: dict[str, Any]
    canonical: bool = False
    params: dict[str, Any] = {}
    priority: int = 0
    labels: dict[str, str] = {}
    dry_run: bool = False


class WithReason(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why; it is kept in the history."""

    reason: Text = ""


class Action(WithReason, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With ``dry_run`` nothing is done: the children are counted that it would concern."""

    dry_run: bool = False


class Pause(Action, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With ``now`` running children stop at their next checkpoint; else they finish."""

    now: bool = False


class Redrive(Action, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which children run again: those that did not succeed and meet ``where``; with ``all`` the others too."""

    where: Selector | None = None
    all: bool = False
    restart: bool = False


class LimitsPatch(WithReason, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A merge patch of a task's limits: those that are not named stay, null takes one away."""

    limits: dict[str, int | float | str | None] | UnsetType = UNSET
    priority: int | str | UnsetType = UNSET

    def named(self) -> dict[str, object]:
        """Return what the command is given."""
        limits = {} if isinstance(self.limits, UnsetType) else self.limits
        found: dict[str, object] = {name: "none" if value is None else value for name, value in limits.items()}
        return found if isinstance(self.priority, UnsetType) else {**found, "priority": self.priority}


class Schedule(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule to make or change: the content of its file, with the template in it, and variables over its own.

    ``canonical``: that template is as events hold it.
    """

    schedule: dict[str, Any]
    canonical: bool = False
    params: dict[str, Any] = {}


class SetAside(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which record is rubbish, of ``journal`` or ``work-log``, or the full name of their topics; and why."""

    topic: Text = "journal"
    partition: Annotated[int, Meta(ge=0, lt=1 << 31)]
    offset: Annotated[int, Meta(ge=0, lt=1 << 62)]
    reason: Annotated[str, Meta(min_length=1, max_length=2_000)]


class Stretch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Past times, from ``start`` up to, not including, ``end``, or now.

    ``reprocess``: those without a task (``missing``), those whose task did not succeed too (``failed``), or ``all``.
    ``as_of``: by the schedule as it was then, or as it is now.
    """

    start: When
    end: When | None = None
    reprocess: Literal["missing", "failed", "all"] = "missing"
    newest_first: bool = False
    as_of: Literal["then", "now"] = "then"


class Backfill(Stretch, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to go through once more, ``max_active`` tasks at once, and a note that is kept in the history."""

    max_active: Annotated[int, Meta(ge=1, le=ACTIVE_LIMIT)] = 1
    note: Text = ""


class Note(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A note that is kept in the history."""

    note: Text = ""


def offset_or_time(text: str | None, source: str) -> tuple[int | None, int | None]:
    """Read an offset, or a time in milliseconds. Raise InputError."""
    if text is not None and re.fullmatch(r"[0-9]{1,18}", text):
        return int(text), None
    if text is not None and not re.match(r"\d{4}-", text):
        raise InputError(f"{text[:100]!r} is neither an offset nor a time", "write 5000 or 2026-11-23", source=source)
    return None, time_of(text, source)


def time_of(text: str | None, source: str) -> int | None:
    """Read a time, in milliseconds; one without a zone is UTC. Raise InputError."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return int(found.astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        remedy = "write 2026-11-23 or 2026-11-23T12:00:00Z"
        raise InputError(f"{text[:100]!r} is not a time", remedy, source=source) from None
