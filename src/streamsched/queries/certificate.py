"""The certificate of a task that has ended: digests of what went in and came out, and the audit of its history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from msgspec import UNSET, UnsetType

from streamsched.audit.report import Report
from streamsched.audit.verify import verify
from streamsched.domain import values
from streamsched.domain.errors import Conflict, NoSuchTask
from streamsched.domain.phases import ChildState
from streamsched.domain.placeholders import encode
from streamsched.domain.splitting import outside
from streamsched.domain.task import Task
from streamsched.installation.session import Session
from streamsched.installation.site import Installation, Progress
from streamsched.log.port import TopicPartition
from streamsched.queries.documents import Document
from streamsched.queries.past_task import PastTask
from streamsched.queries.status import CHILD_STATES, details_of
from streamsched.queries.tasks import Tasks

if TYPE_CHECKING:
    from streamsched.view.view import View


SLICE_S: Final = 0.5
"""Between two reports of progress."""


class NotCertifiable(Conflict):
    """The task has not ended, or it was never planned."""


class Content(Document, frozen=True):
    """What the digest is of: SHA-256 in hex, and numbers of children. It names no task, time, node or attempt.

    ``template``, ``params`` and ``plan`` are of the JSON texts in the journal, ``pages`` of the lines that a split
    child has found. ``results`` is of one line for each child, in order of index: the JSON list of index, state, and
    the SHA-256 of its result's JSON text ("" if none). ``reduced`` is of the JSON text of the reduce's result; None
    where no reduce has succeeded.
    """

    format: int
    template: str
    params: str
    plan: str
    children: int
    succeeded: int
    failed: int
    cancelled: int
    results: str
    reduced: str | None = None
    pages: str | UnsetType = UNSET


class Certificate(Document, frozen=True):
    """A certificate, made from the journal's partition up to ``position``.

    ``digest`` is the SHA-256 of ``content`` as canonical JSON: equal for equal input and results, whatever happened on
    the way. ``faults`` says in words what the certificate cannot vouch for beside the violations of ``audit``.
    """

    task_id: str
    state: str
    holds: bool
    digest: str
    content: Content
    topic: str
    partition: int
    position: int
    faults: tuple[str, ...]
    audit: Report


def certify(session: Session, task_id: str) -> Certificate:
    """Certify a task. Raise NoSuchTask; NotCertifiable for one that has not ended, or was never planned."""
    task = Tasks(session).ended(task_id)
    check(task)
    view, site = session.follower.view, session.site
    home = site.topics.journal_of(task_id)
    position = view.positions[home.partition]
    report = verify(
        log=site.log, coordination=site.log, topics=site.topics, codec=site.codec, task_id=task_id,
        until_position=position, on_progress=session.on_progress,
    )  # fmt: skip
    return certificate(view, task, home, position=position, report=report)


def certify_past(site: Installation, task: Task, position: int, on_progress: Progress) -> Certificate:
    """Certify a task that has ended from the log alone, by its history up to ``position`` of its partition.

    The partition is read twice, for the audit and for the task. ``on_progress`` takes offsets done and to do of each
    time; what it raises ends this. Raise NoSuchTask, NotCertifiable, LogError.
    """
    home = site.topics.journal_of(task.task_id)
    report = verify(
        log=site.log, coordination=site.log, topics=site.topics, codec=site.codec, task_id=task.task_id,
        until_position=position, on_progress=on_progress,
    )  # fmt: skip
    with closing(PastTask(site, task)) as past:
        while not past.go_on(site, position, SLICE_S):
            on_progress(past.position - past.begin, position - past.begin)
        found = past.task
        if found is None:
            raise NoSuchTask(f"task {task.task_id!r} is not in the journal any more")
        check(found)
        return certificate(past.view, found, home, position=position, report=report)


def certificate(view: View, task: Task, home: TopicPartition, *, position: int, report: Report) -> Certificate:
    """Make the certificate of a task from the view and the audit of its history up to ``position``."""
    content = _content(view, task)
    faults = tuple(_faults(view, task, content, report))
    return Certificate(
        task_id=task.task_id,
        state=str(task.phase),
        holds=not faults and not report.total,
        digest=_sha(encode(content.document())),
        content=content,
        topic=home.topic,
        partition=home.partition,
        position=position,
        faults=faults,
        audit=report,
    )


def check(task: Task) -> None:
    """Raise NotCertifiable for a task that has not ended, or was never planned."""
    if not task.terminal:
        raise NotCertifiable(
            f"task {task.task_id!r} is {task.phase}: only a task that has ended can be certified",
            f"wait for its end ('streamsched watch {task.task_id}')",
        )
    if not task.plan:
        raise NotCertifiable(
            f"task {task.task_id!r} was {task.phase} before it was planned: it has no children to certify",
            f"look at 'streamsched status {task.task_id}'",
        )


def _content(view: View, task: Task) -> Content:
    """Take the digests, of the children one by one."""
    counts: Counter[str] = Counter()
    results = sha256()
    reduced = None
    for child, known in details_of(view, task, range(task.children)):
        found = task.state_of(child)
        state = CHILD_STATES[found]
        result = known.result if known is not None and found is ChildState.SUCCEEDED else None
        digest = "" if result is None else _sha(result)
        if task.is_work(child):
            counts[state] += 1
            results.update(f'[{task.index_of(child)},"{state}","{digest}"]\n'.encode())
        elif child >= task.work_end and found is ChildState.SUCCEEDED:
            reduced = digest
    return Content(
        format=1,
        template=_sha(task.request.template),
        params=_sha(task.request.params),
        plan=_sha(task.plan),
        children=task.work,
        succeeded=counts["succeeded"],
        failed=counts["failed"],
        cancelled=counts["cancelled"],
        results=results.hexdigest(),
        reduced=reduced,
        pages=_pages(view, task) if task.split else UNSET,
    )


def _pages(view: View, task: Task) -> str:
    digest = sha256()
    for line in _lines(view, task):
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _lines(view: View, task: Task) -> Iterator[str]:
    """Yield the entries that a split child has found, as they stand in the journal."""
    for first in task.pages:
        yield from (view.page(task, first) or "").split("\n")


def _gap(view: View, task: Task) -> str:
    """Return which entry does not adjoin the one before it, by what the splitter knows; empty where all do."""
    before = None
    try:
        splitter = outside(task.template)
        for number, line in enumerate(_lines(view, task)):
            entry = values.read(line)
            if not splitter.follows(before, entry):
                return f"entry {number:,} of the split does not adjoin the one before it"
            before = entry
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        return f"the pages of the split cannot be read ({type(error).__name__})"
    return ""


def _faults(view: View, task: Task, content: Content, report: Report) -> list[str]:
    found = []
    if not (report.tasks and report.ended):
        found.append("the journal has no longer the whole history of the task, so it cannot be checked")
    ended = content.succeeded + content.failed + content.cancelled
    if ended != task.work or task.ended != task.children:
        found.append(f"of {task.work:,} children {ended:,} have an ending")
    if task.split and not task.fault and (gap := _gap(view, task)):
        found.append(gap)
    return found


def _sha(text: str) -> str:
    return sha256(text.encode()).hexdigest()
