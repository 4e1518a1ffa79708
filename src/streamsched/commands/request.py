"""Request a task, and find out whether the request was the first of its id."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from streamsched.domain.errors import Conflict, InputError, not_text
from streamsched.domain.events import Label, TaskRequested
from streamsched.domain.ids import NAME_LIMIT, is_task_id, uuid7
from streamsched.domain.labels import check_labels
from streamsched.domain.refusal import TemplateError, dotted
from streamsched.domain.template import Template
from streamsched.domain.visible import is_visible, visible
from streamsched.installation.session import Session
from streamsched.installation.site import Installation
from streamsched.installation.writing import write_all
from streamsched.log.codec import Undecodable, header
from streamsched.log.port import Append, TopicPartition
from streamsched.queries.documents import Document
from streamsched.runtime.identity import Identity

if TYPE_CHECKING:
    from streamsched.files.template_file import Prepared


APPENDED_TOGETHER: Final = 1_000
"""Requests in one append."""


class TaskConflict(Conflict):
    """The task id is taken by a task with another template or other parameters."""


class Submitted(Document, frozen=True):
    """The result of a submit: ``first`` is False if the task existed already, and is the same."""

    task_id: str
    first: bool


class Wanted(Struct, frozen=True):
    """A checked and resolved task, ready to be requested."""

    prepared: Prepared
    task_id: str | None
    priority: int
    labels: tuple[Label, ...] = ()
    """Those that it has beside its template's."""


class HasTemplate(Protocol):
    """What has a template, as a job."""

    @property
    def template(self) -> Template:
        """The template. Raise InputError."""


AnyTemplate = HasTemplate | Template | Mapping[str, Any] | Path | str
"""A job, a template, one as a dictionary, or the path of its file."""
Params = Mapping[str, object] | None


def want(
    template: AnyTemplate,
    params: Params = None,
    *,
    task_id: str | None = None,
    priority: int = 0,
    labels: Mapping[str, str] | None = None,
) -> Wanted:
    """Check and resolve a task. ``labels`` are added to those of its template. Raise InputError."""
    if task_id is not None:
        check_task_id(task_id)
    if not -(2**31) <= priority < 2**31:
        raise InputError(f"invalid priority {priority}", "give a number of at most 31 bits", field="priority")
    prepared = prepare_any(template, params)
    return Wanted(prepared, task_id, priority, _labels(prepared.template, labels or {}))


def _labels(template: Template, given: Mapping[str, str]) -> tuple[Label, ...]:
    """Return the labels of a request. Raise InputError."""
    try:
        check_labels({**template.labels, **check_labels(given)})
    except TemplateError as error:
        raise InputError(error.reason, error.remedy, field=dotted(error.path)) from None
    return tuple(Label(name, value) for name, value in sorted(given.items()))


def prepare_any(template: AnyTemplate, params: Params = None) -> Prepared:
    """Check and resolve a template with its variables. Raise InputError."""
    from streamsched.files.template_file import load_template, prepare, template_of

    if isinstance(template, Path | str):
        return prepare(load_template(Path(template)), params or {}, Path(template))
    if isinstance(template, Mapping):
        return prepare(template_of(template), params or {})
    return prepare(template if isinstance(template, Template) else template.template, params or {})


def submit(session: Session, wanted: Wanted, origin: str) -> Submitted:
    """Request a task; durable on return. Raise TaskConflict, LogError."""
    return submit_many(session, [wanted], origin)[0]


def submit_many(session: Session, wanted: Sequence[Wanted], origin: str) -> list[Submitted]:
    """Request tasks in few appends; durable on return.

    Raise TaskConflict if an id is taken: the other tasks are requested. Raise LogError: some may be requested.
    """
    session.make()
    site = session.site
    requests = [make_request(session.me, each, origin) for each in wanted]
    appends = [record_of(site, each, each.task_id, each.traceparent) for each in requests]
    offsets: list[int] = []
    for begin in range(0, len(appends), APPENDED_TOGETHER):
        offsets += write_all(site, appends[begin : begin + APPENDED_TOGETHER])
    is_named = [each.task_id is not None for each in wanted]
    first = first_requests(site, list(compress(zip(requests, offsets, strict=True), is_named)))
    return [
        compare(first[request.task_id], request) if named else Submitted(request.task_id, first=True)
        for request, named in zip(requests, is_named, strict=True)
    ]


def make_request(me: Identity, wanted: Wanted, origin: str) -> TaskRequested:
    """Make the event that requests a task, under its given id or a new one."""
    prepared = wanted.prepared
    return me.sign(
        TaskRequested,
        task_id=wanted.task_id if wanted.task_id is not None else uuid7(me.clock.now()),
        template_name=prepared.template.name,
        template_version=prepared.version,
        template=prepared.template_json,
        params=prepared.params_json,
        priority=wanted.priority,
        origin=origin,
        traceparent=visible(os.environ.get("TRACEPARENT", ""), NAME_LIMIT) or None,
        level=prepared.template.level,
        labels=wanted.labels,
    )


def record_of(site: Installation, event: Any, task_id: str, traceparent: str | None = None) -> Append:
    """Make the journal record of an event. Raise InputError for text that cannot be encoded."""
    try:
        return site.records.journal(event, task_id, traceparent)
    except UnicodeEncodeError as error:
        raise not_text(error) from None


def first_requests(site: Installation, own: Sequence[tuple[TaskRequested, int]]) -> dict[str, TaskRequested]:
    """Return the first request of each task id, reading its partition up to our own records at these offsets."""
    first = {request.task_id: request for request, _ in reversed(own)}
    if not own:
        return first
    from streamsched.log.event_reader import EventReader  # late: only an id that the caller chose is looked for
    from streamsched.log.scan import records

    ends: dict[TopicPartition, int] = {}
    for request, offset in own:
        home = site.topics.journal_of(request.task_id)
        ends[home] = max(offset, ends.get(home, 0))
    event_reader, sought = EventReader(site.codec, site.topics), {task_id.encode() for task_id in first}
    for record in records(site.log, site.log.start(list(ends)), ends):
        if record.key in sought and header(record.headers, "event_type") == "TaskRequested":
            try:
                event = event_reader.journal(record)
            except Undecodable:
                continue
            if isinstance(event, TaskRequested):
                first[record.key.decode()] = event
                sought.remove(record.key)
                if not sought:
                    break
    return first


def compare(first: TaskRequested, own: TaskRequested) -> Submitted:
    """Return whether our request made the task. Raise TaskConflict if another one made a different task."""
    if (first.template, first.params) != (own.template, own.params):
        from streamsched.queries.documents import rfc3339  # other submits do without it

        what = "another template" if first.template != own.template else "other parameters"
        raise TaskConflict(
            f"task id {own.task_id!r} is taken: it was submitted at {rfc3339(first.at)} by {first.by} with "
            f"{what} (template {first.template_name}, parameters {first.params})",
            "choose another --task-id",
        )
    return Submitted(own.task_id, first=first.event_id == own.event_id)


def check_task_id(task_id: str) -> None:
    """Raise InputError for an invalid id."""
    if not is_task_id(task_id) or not is_visible(task_id) or "/" in task_id or "@" in task_id:
        raise InputError(
            f"invalid task id {task_id!r}",
            "use 1 to 200 visible characters without spaces, '/' and '@' (kept for schedules)",
            field="task-id",
        )
