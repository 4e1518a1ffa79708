"""The attempts at one child, the latest first, from the journal.

It is read backwards from where the child has ended to its first dispatch, and only what the headers of a record do not
rule out is decoded.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from streamsched.domain import events as e
from streamsched.domain.phases import ENDED
from streamsched.domain.task import Task
from streamsched.installation.session import Session
from streamsched.installation.site import Installation
from streamsched.log.codec import Undecodable, header
from streamsched.log.event_reader import EventReader
from streamsched.log.port import Record
from streamsched.log.scan import records
from streamsched.queries.documents import Document, Time, Timestamp
from streamsched.queries.past_task import begin_of

LATE_MS: Final = 10_000
"""How long after the end of an attempt its record is looked for; then it is looked for up to the end."""
FIRST: Final = 1_000
"""Records that are read first; then four times as many, and so on."""
MOST: Final = 64_000
"""Records of which the child's are held at once."""
LOOK: Final = 256
"""Records between two looks at the clock."""
SLICE_S: Final = 0.1
"""How long others wait for it."""
LOST: Final = "lost"
OUTCOMES: Final[dict[Any, str]] = {
    e.ChildCompleted: "succeeded", e.ChildFailed: "failed", e.ChildCancelled: "cancelled", e.ChildReturned: "returned",
    e.ChildYielded: "yielded",
}  # fmt: skip
_CHECKPOINTS: Final = (e.ChildCheckpointed, e.TaskPlanProgressed)
_LEFT_OUT: Final = {"state": None, "result": None, "work": None, "output": None, "cursor": "", "entries": ""}
"""Fields that may be large and are not told."""


class Attempt(Document, frozen=True):
    """A dispatch of a child as far as one worker had it: the next worker's attempt may be of the same ``dispatch``.

    ``outcome`` is ``succeeded``, ``failed``, ``cancelled``, ``returned`` (it was dispatched again), ``yielded`` (it
    went on elsewhere from its checkpoint) or ``lost`` (its worker was); None: it is not over. ``told`` is how it was
    told to stop, ``sequence`` the number of the child's last checkpoint by then.
    """

    dispatch: int
    dispatched_at: Timestamp
    attempt: int | None = None
    worker: str | None = None
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    outcome: str | None = None
    told: str | None = None
    reason: str | None = None
    error_type: str | None = None
    message: str | None = None
    traceback: str | None = None
    sequence: int = 0


class Sought(NamedTuple):
    """The child whose attempts are sought, by its number in the table, and what the view knows of it."""

    request: e.TaskRequested
    child: int
    dispatches: int
    finished_at: int | None
    """When its last attempt has ended; None: perhaps it has not."""
    end: int
    """Up to where its partition of the journal was folded."""


def sought(session: Session, task: Task, child: int) -> Sought:
    """Return what has to be known of a child to find its attempts."""
    view, home = session.follower.view, session.site.topics.journal_of(task.task_id)
    has_ended = task.state_of(child) in ENDED
    finished_at = view.known_of(task, child).finished_at if has_ended else None
    return Sought(task.request, child, task.ordinal_of(child), finished_at, view.positions.get(home.partition, 0))


def attempts(site: Installation, child: Sought) -> Iterator[Attempt | None]:
    """Yield the attempts, the latest first, and None where others may read meanwhile. Raise LogError."""
    if not child.dispatches:
        return
    home = site.topics.journal_of(child.request.task_id)
    near = child.end
    if child.finished_at is not None:
        near = min(near, site.log.position_at([home], child.finished_at + LATE_MS)[home])
    for start in (near, child.end):
        is_last = start == child.end
        with closing(_dispatches(site, child, start)) as found:
            for part in found:
                if part is None:
                    yield None
                elif is_last or (part[-1].dispatch == child.dispatches and part[-1].outcome is not None):
                    is_last = True
                    yield from reversed(part)
                else:  # its end stands further on
                    break
        if is_last:
            return


def _dispatches(site: Installation, child: Sought, end: int) -> Generator[list[Attempt] | None, None, None]:
    """Yield the attempts of each dispatch before an offset, the latest dispatch first."""
    behind: list[Any] = []
    """What stands behind the dispatch that is looked for, the latest first."""
    with closing(_backwards(site, child, end)) as found:
        for event in found:
            if event is None:
                yield None
            elif isinstance(event, e.ChildrenDispatched):
                yield _attempts_of(event, reversed(behind))
                if event.releases[0].ordinal == 1:
                    return
                behind.clear()
            elif not (behind and _is_checkpoint_before(event, behind[-1])):
                behind.append(event)


def _backwards(site: Installation, child: Sought, end: int) -> Generator[Any, None, None]:
    """Yield the events of a child before an offset, the latest first, without what may be large."""
    task_id = child.request.task_id
    home, key, name = site.topics.journal_of(task_id), task_id.encode(), str(child.child)
    begin, size, reader = begin_of(site, child.request), FIRST, EventReader(site.codec, site.topics)
    pause_at = time.monotonic() + SLICE_S
    while end > begin:
        first = max(begin, end - size)
        found: list[Any] = []
        with closing(records(site.log, {home: first}, {home: end})) as part:
            for number, record in enumerate(part):
                if _may_be_of(record, key, name) and (event := _event(reader, record, child.child)) is not None:
                    found.append(event)
                if number % LOOK == 0 and time.monotonic() > pause_at:
                    yield None
                    pause_at = time.monotonic() + SLICE_S
        yield from reversed(found)
        end, size = first, min(MOST, 4 * size)


def _may_be_of(record: Record, key: bytes, child: str) -> bool:
    """Return whether an event may be about this child; by its headers, for most are about others."""
    if record.key != key:
        return header(record.headers, "event_type") == e.PartitionReset.__name__
    named = header(record.headers, "child")
    return named is None or named == child


def _event(reader: EventReader, record: Record, child: int) -> Any:
    """Return the event of a record, of its releases only that of this child; None if it is not about it."""
    try:
        event: Any = reader.journal(record)
    except Undecodable:
        return None
    if isinstance(event, e.ChildrenDispatched | e.ChildrenStopping):
        release = next((each for each in event.releases if each.first <= child <= each.last), None)
        return None if release is None else replace(event, releases=(release,))
    if isinstance(event, e.WorkerEvent | e.TaskPlanProgressed):
        left_out = {name: value for name, value in _LEFT_OUT.items() if name in event.__struct_fields__}
        return replace(event, **left_out) if event.child == child else None
    return event if isinstance(event, e.PartitionReset) else None


def _is_checkpoint_before(event: Any, later: Any) -> bool:
    """Return whether both are checkpoints of one attempt: the later one tells all, and there may be very many."""
    both = isinstance(event, _CHECKPOINTS) and isinstance(later, _CHECKPOINTS)
    return both and (event.ordinal, event.by, event.token) == (later.ordinal, later.by, later.token)


def _attempts_of(dispatched: e.ChildrenDispatched, behind: Iterable[Any]) -> list[Attempt]:
    """Return the attempts of one dispatch in order. What is about another one has no effect, as in the fold."""
    (release,) = dispatched.releases
    begun = Attempt(release.ordinal, Time.at(dispatched.at))
    found, holder = [begun], None
    for event in behind:
        if isinstance(event, e.PartitionReset | e.ChildrenStopping):
            if not _is_about(event, release):
                continue
            if found[-1].outcome:  # it has yielded: this is about the one that goes on, which has not begun
                found.append(begun)
                holder = None
            if isinstance(event, e.PartitionReset):
                found[-1] = replace(found[-1], outcome=LOST, ended_at=Time.at(event.at))
                break
            found[-1] = replace(found[-1], told=event.mode)
        elif event.ordinal == release.ordinal:
            if found[-1].outcome or holder not in (None, (event.by, event.token)):
                found[-1] = replace(found[-1], outcome=found[-1].outcome or LOST)
                found.append(begun)
            holder = event.by, event.token
            found[-1] = _told(found[-1], event)
            if type(event) in OUTCOMES and not isinstance(event, e.ChildYielded):
                break
    return found


def _is_about(event: e.PartitionReset | e.ChildrenStopping, release: e.Release) -> bool:
    if isinstance(event, e.PartitionReset):
        return event.partition == release.partition
    return event.releases[0].ordinal == release.ordinal


def _told(attempt: Attempt, event: Any) -> Attempt:
    """Return an attempt with what its worker tells of it."""
    sequence = max(attempt.sequence, getattr(event, "sequence", 0))
    attempt = replace(attempt, attempt=event.attempt, worker=event.by, sequence=sequence)
    if isinstance(event, e.ChildStarted):
        return replace(attempt, started_at=Time.at(event.at))
    if isinstance(event, _CHECKPOINTS):
        return attempt
    attempt = replace(
        attempt, outcome=OUTCOMES[type(event)], ended_at=Time.at(event.at), reason=getattr(event, "reason", None),
        started_at=Time.of(getattr(event, "started_at", None)) or attempt.started_at,
    )  # fmt: skip
    if isinstance(event, e.ChildFailed):
        return replace(
            attempt, error_type=event.error_type or None, message=event.message, traceback=event.traceback or None
        )
    why = event.why if isinstance(event, e.ChildReturned) else None
    return attempt if why is None else replace(attempt, message=why.detail)
