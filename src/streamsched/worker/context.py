"""The context of a handler: its place in the task, and calls for checkpoints, reports and stop requests."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from streamsched.domain import values
from streamsched.worker.errors import StopChild
from streamsched.worker.payload import write_state

if TYPE_CHECKING:
    from streamsched.worker.jobs import Emitted, EmittedHeaders, JobEmitted, TopicTold

T = TypeVar("T")
PAYLOAD_LIMIT: Final = 256 * 1024  # the same as in streamsched.log.topics, which is slow to import
RESUME_EVERY_S: Final = 0.1
_monotonic = time.monotonic


class Transport(Protocol):
    """Receives the reports of a context. Checkpoints are not sent: the executor fetches them from the context."""

    def heartbeat(self) -> None:
        """Report that the child is alive."""

    def progress(self, done: float, total: float) -> None:
        """Report how far the child is."""

    def wait(self, number: int) -> None:
        """Return when the checkpoint of this number is durable, or a stop was asked for."""

    def outbox(self, context: ChildContext) -> AnyOutbox:
        """Make what takes the records that the handler of this context emits."""


class AnyOutbox(Protocol):
    """Takes records; ``count`` is how many of this attempt it has taken. The rest is for the executor (``emit.py``)."""

    count: int

    def emit(
        self, topic: str, value: Any, key: str | bytes | None, headers: EmittedHeaders, partition: int | None
    ) -> None:
        """Take a record, as ``ChildContext.emit``."""

    def close(self) -> None:
        """Take no more."""

    def take(self, key: int) -> Iterator[JobEmitted]:
        """Take out what was not sent yet."""

    def told(self, number: int, covered: int) -> None:
        """Note that a checkpoint was sent."""

    def confirmed(self, number: int) -> None:
        """Free the room of what a durable checkpoint covers."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a work child has returned, as its task's reduce gets it; ``index`` is its index."""

    index: int
    value: Any


class Seekable:
    """What can go on behind its first elements at once, as the results of a reduce.

    ``word`` names a place in it, in the states of ``resume``.
    """

    word = "resume"

    def seek(self, done: int) -> None:
        """Go on at a place: behind the first ``done`` elements."""
        raise NotImplementedError

    def place(self, done: int) -> int:
        """Return the place behind the element at ``done``, which was the last one."""
        return done + 1


class InputRecords(Seekable):
    """What ``ChildContext.records`` returns: an iterator over records. At ``offset`` the next one starts."""

    word = "offset"
    offset: int

    def __iter__(self) -> InputRecords:
        return self

    def __next__(self) -> Any:
        raise NotImplementedError


class LocalTransport:
    """For one child in the caller's process: checkpoints are durable at once, the last progress is kept.

    So is what the handler emits, in ``emitted``, unless ``take`` gets it. ``told`` says what a topic is; by default it
    has one partition.
    """

    def __init__(
        self, *, told: Callable[[str], TopicTold] | None = None, take: Callable[[Emitted], None] | None = None
    ) -> None:
        self.done = 0.0
        self.total = 0.0
        self.emitted: list[Emitted] = []
        self._told = told
        self._take = take or self.emitted.append

    def heartbeat(self) -> None:
        """Do nothing."""

    def progress(self, done: float, total: float) -> None:
        """Keep how far the child is."""
        self.done, self.total = done, total

    def wait(self, number: int) -> None:
        """Return at once."""

    async def until(self, number: int) -> None:
        """Do as ``wait``."""
        self.wait(number)

    def outbox(self, context: ChildContext) -> AnyOutbox:
        """Make what takes what the handler emits."""
        from streamsched.worker.emit import LocalOutbox

        return LocalOutbox(context, self, self._take)

    def topic(self, name: str) -> TopicTold:
        """Say what a topic is."""
        from streamsched.worker.jobs import TopicTold

        return TopicTold(name, 1, 2 * 1024 * 1024, "") if self._told is None else self._told(name)


class ChildContext:
    """One attempt at one child, as its handler sees it.

    ``ChildContext(LocalTransport())`` serves a handler without any worker.
    """

    __slots__ = (
        "_done", "_finished", "_limit", "_outbox", "_reported", "_saved", "_source", "_start", "_stop", "_told",
        "_transport", "_word", "attempt", "child_index", "fencing_token", "handler", "stage", "task_id",
    )  # fmt: skip

    def __init__(
        self,
        transport: Transport,
        *,
        task_id: str = "local",
        child_index: int = 0,
        attempt: int = 1,
        fencing_token: int = 0,
        handler: str = "",
        state: str | None = None,
        payload_limit: int = PAYLOAD_LIMIT,
        stage: str = "work",
    ) -> None:
        self.task_id = task_id
        self.stage = stage
        """``work`` or ``reduce``. Task, stage and index together name a child."""
        self.child_index = child_index
        self.attempt = attempt
        self.fencing_token = fencing_token
        self.handler = handler
        self._transport = transport
        self._limit = payload_limit
        self._start = state
        self._told = (b"", 0, 0)
        """The latest checkpoint: its state, its number, and how many records it covers. One tuple, stored at once: the
        executor's other thread reads it while the handler goes on."""
        self._reported = 0
        self._outbox: AnyOutbox | None = None
        self._finished = 0  # records that the finished elements of resume() have emitted
        self._stop = False
        self._done = -1  # elements that the caller of resume() has finished; -1: it was not called
        self._saved = -1
        self._word = "resume"  # what it calls a place in its states
        self._source: Callable[[int | None], InputRecords] | None = None

    @property
    def last_checkpoint(self) -> Any:
        """The state of the child's latest checkpoint, by this attempt or one before; ``None`` before the first.

        Decoded anew at each call, so that changing it changes nothing.
        """
        if self._told[1]:
            return values.read(self._told[0].decode())
        return None if self._start is None else values.read(self._start)

    @property
    def should_stop(self) -> bool:
        """Whether a stop was asked for. The next ``checkpoint`` or step of ``resume`` is the safe point."""
        return self._stop

    @property
    def log(self) -> logging.Logger:
        """A logger whose lines go where the handler's output goes."""
        return logging.getLogger(self.handler.replace(":", ".") or "streamsched.handler")

    def heartbeat(self) -> None:
        """Say that the child is alive, where its template sets a heartbeat limit; cheap."""
        self._transport.heartbeat()

    def progress(self, done: float, total: float) -> None:
        """Report how far the child is, in units of its own; cheap, and not a heartbeat."""
        self._transport.progress(float(done), float(total))

    def checkpoint(self, state: Any, *, wait: bool = False) -> None:
        """Keep ``state``, a value of ``docs/values.md``, as the point from which another attempt continues.

        The state is copied at once; only the latest one is sent, a few times a second at most, so calling
        this often is cheap. ``wait=True`` returns when the state is durable. This is also a heartbeat and a
        safe point: if a stop was requested, the child ends here, after the state was copied. Raises
        ``PayloadTooLarge`` above 256 KiB of JSON, ``TypeError`` for a state that is not kept as it is.
        """
        if self._done >= 0:
            raise RuntimeError("checkpoint() was called after resume(): use one of the two")
        data, outbox = write_state(state, self._limit), self._outbox
        self._told = (data, self._told[1] + 1, 0 if outbox is None else outbox.count)
        self._transport.heartbeat()
        if wait and not self._stop:
            self._transport.wait(self._told[1])
        if self._stop:
            raise StopChild

    def emit(
        self, topic: str, value: Any, key: str | bytes | None = None, headers: EmittedHeaders = None,
        partition: int | None = None,
    ) -> None:  # fmt: skip
        """Write a record to ``topic``: it is there exactly once, whatever dies, when what covers it is durable.

        That is the next ``checkpoint``, the end of the element of ``resume``, or the end of the handler: they are
        written in one transaction. What none of them covers is never there: the next attempt emits it again.
        ``value``: bytes, text (as UTF-8), None (a tombstone), or anything else of ``docs/values.md``, as JSON.
        ``key``: bytes or text. ``headers``: a mapping or pairs of names and bytes or texts. ``partition``: by default
        that of the key, as Kafka's own clients choose it; without a key one for each child. Blocks while 4 MiB or
        20,000 records are not durable. Raises ``EmitRefused`` for a record that would not be taken,
        ``EmitBufferFull`` where no checkpoint covers any of the records that wait.
        """
        outbox = self._outbox
        if outbox is None:
            outbox = self._outbox = self._transport.outbox(self)
        outbox.emit(topic, value, key, headers, partition)

    def resume(self, iterable: Iterable[T], every: int | None = None) -> Iterator[T]:
        """Iterate over what earlier attempts have not finished, with checkpoints on the way.

        An element is finished when the next one is requested. The checkpoint ``{"resume": n}`` says that the first
        ``n`` elements are finished. It is taken after ``every`` elements, or about ten times a second. It is also a
        heartbeat, a progress report if the length is known, and a safe point. The iterable must yield the
        same elements in the same order each time. Finished elements of ranges, sequences and results are skipped at
        once, those of other iterables are read again. Call it once per child, and not with ``checkpoint``.
        """
        if self._done >= 0:
            raise RuntimeError("resume() was called before: a child has one loop that resumes")
        if self._told[1]:
            raise RuntimeError("checkpoint() was called before resume(): use one of the two")
        if every is not None and every < 1:
            raise ValueError(f"every must be at least 1, not {every}")
        state = self.last_checkpoint
        self._word = iterable.word if isinstance(iterable, Seekable) else "resume"
        done = 0 if state is None else state.get(self._word) if isinstance(state, dict) else None
        if type(done) is not int or done < 0:
            raise ValueError("the last checkpoint was not taken by resume(): use last_checkpoint to continue from it")
        self._done = self._saved = done
        return self._steps(iterable, done, every)

    def _steps(self, iterable: Iterable[T], done: int, every: int | None) -> Iterator[T]:
        rest: Iterable[T]
        place = iterable.place if isinstance(iterable, Seekable) else None
        if isinstance(iterable, range):
            rest = cast("Iterable[T]", iterable[done:])
        elif isinstance(iterable, Sequence):
            rest = map(iterable.__getitem__, range(done, len(iterable))) if done else iterable
        elif isinstance(iterable, Seekable):
            iterable.seek(done)
            rest = cast("Iterable[T]", iterable)
        else:
            rest = islice(iterable, done, None)
        total = len(iterable) if isinstance(iterable, Sized) else 0
        # With ``every`` the time only says when to tell that the child is alive.
        count, due = every or inf, _monotonic() + RESUME_EVERY_S
        for number, item in enumerate(rest, 1):
            yield item
            done = done + 1 if place is None else place(done)
            self._done = done
            if self._outbox is not None:
                self._finished = self._outbox.count
            if number >= count or self._stop or _monotonic() >= due:
                if every is None or number >= count or self._stop:
                    self._save()
                    count = number + (every or inf)
                self._transport.progress(done, total)
                self._transport.heartbeat()
                if self._stop:
                    raise StopChild
                due = _monotonic() + RESUME_EVERY_S

    def _save(self) -> None:
        self._told = (b'{"%s":%d}' % (self._word.encode(), self._done), self._told[1] + 1, self._finished)
        self._saved = self._done

    def records(self) -> InputRecords:
        """Return an iterator over the records that start in the child's range, where its task is split by ``bytes``.

        It begins at the ``offset`` of the last checkpoint. Take one in the loop, with what you have made of the records
        so far: ``ctx.checkpoint({"offset": records.offset, ...})``. Or let ``ctx.resume(ctx.records())`` take them.
        Raises ``input_changed`` where the file is not as it was when the task was split, ``BadRecord`` in the loop.
        """
        if self._source is None:
            raise RuntimeError("this child has no records: its task is not split by bytes")
        state = self.last_checkpoint
        offset = state.get("offset") if isinstance(state, dict) else None
        if state is not None and (type(offset) is not int):
            raise ValueError(
                'the last checkpoint has no "offset": write ctx.checkpoint({"offset": records.offset, ...})'
            )
        return self._source(offset)

    # --- for the executor ---

    def read_from(self, source: Callable[[int | None], InputRecords]) -> None:
        """Let ``records`` read from there."""
        self._source = source

    def continue_with(self, transport: Transport) -> None:
        """Switch to another transport: a process that the handler forked must not report to the worker."""
        self._transport = transport
        self._outbox = None

    def request_stop(self) -> None:
        """Ask the handler to stop at its next safe point; may be called from another thread."""
        self._stop = True

    @property
    def outbox(self) -> AnyOutbox | None:
        """What the handler has emitted; None: nothing so far."""
        return self._outbox

    @property
    def covered(self) -> tuple[int, int]:
        """The number of the latest checkpoint, and how many records it covers."""
        return self._told[1:]

    def unsaved(self, *, again: bool = False) -> tuple[str, int, int] | None:
        """Return the latest checkpoint, its number and how many records it covers, once, or ``again``."""
        state, number, covered = self._told
        if not number or (number == self._reported and not again):
            return None
        self._reported = number
        return state.decode(), number, covered

    def finish(self) -> None:
        """Count what ``resume`` has seen since its last checkpoint: the attempt ends, or needs room for records.

        The records of an element that is not finished are not covered: it is done again, and emits them again.
        """
        if self._done > self._saved:
            self._save()
