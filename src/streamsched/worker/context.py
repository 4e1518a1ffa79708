"""The context of a handler: its place in the task, and calls for checkpoints, reports and stop requests."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Any, Final, Protocol, TypeVar, cast

from streamsched.domain import values
from streamsched.worker.errors import StopChild
from streamsched.worker.payload import write_state

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


@dataclass(frozen=True, slots=True)
class Result:
    """What a work child has returned, as its task's reduce gets it; ``index`` is its index."""

    index: int
    value: Any


class Seekable:
    """What can go on behind its first elements at once, as the results of a reduce."""

    def seek(self, done: int) -> None:
        """Go on behind the first ``done`` elements."""
        raise NotImplementedError


class LocalTransport:
    """For one child in the caller's process: checkpoints are durable at once, the last progress is kept."""

    def __init__(self) -> None:
        self.done = 0.0
        self.total = 0.0

    def heartbeat(self) -> None:
        """Do nothing."""

    def progress(self, done: float, total: float) -> None:
        """Keep how far the child is."""
        self.done, self.total = done, total

    def wait(self, number: int) -> None:
        """Return at once."""

    async def until(self, number: int) -> None:
        """Return at once."""


class ChildContext:
    """One attempt at one child, as its handler sees it.

    ``ChildContext(LocalTransport())`` serves a handler without any worker.
    """

    __slots__ = (
        "_done", "_limit", "_number", "_reported", "_saved", "_start", "_state", "_stop", "_transport",
        "attempt", "child_index", "fencing_token", "handler", "stage", "task_id",
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
        self._state = b""
        self._number = 0
        self._reported = 0
        self._stop = False
        self._done = -1  # elements that the caller of resume() has finished; -1: it was not called
        self._saved = -1

    @property
    def last_checkpoint(self) -> Any:
        """The state of the child's latest checkpoint, by this attempt or one before; ``None`` before the first.

        Decoded anew at each call, so that changing it changes nothing.
        """
        if self._number:
            return values.read(self._state.decode())
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
        data = write_state(state, self._limit)
        # The state before its number: a reader that reads the number first then finds a state at least as new.
        self._state = data
        self._number += 1
        self._transport.heartbeat()
        if wait and not self._stop:
            self._transport.wait(self._number)
        if self._stop:
            raise StopChild

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
        if self._number:
            raise RuntimeError("checkpoint() was called before resume(): use one of the two")
        if every is not None and every < 1:
            raise ValueError(f"every must be at least 1, not {every}")
        state = self.last_checkpoint
        done = 0 if state is None else state.get("resume") if isinstance(state, dict) else None
        if type(done) is not int or done < 0:
            raise ValueError("the last checkpoint was not taken by resume(): use last_checkpoint to continue from it")
        self._done = self._saved = done
        return self._steps(iterable, done, every)

    def _steps(self, iterable: Iterable[T], done: int, every: int | None) -> Iterator[T]:
        rest: Iterable[T]
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
        count, due = done + (every or inf), _monotonic() + RESUME_EVERY_S
        for item in rest:
            yield item
            done += 1
            self._done = done
            if done >= count or self._stop or _monotonic() >= due:
                if every is None or done >= count or self._stop:
                    self._save()
                    count = done + (every or inf)
                self._transport.progress(done, total)
                self._transport.heartbeat()
                if self._stop:
                    raise StopChild
                due = _monotonic() + RESUME_EVERY_S

    def _save(self) -> None:
        self._state = b'{"resume":%d}' % self._done
        self._saved = self._done
        self._number += 1

    # --- for the executor ---

    def continue_with(self, transport: Transport) -> None:
        """Switch to another transport: a process that the handler forked must not report to the worker."""
        self._transport = transport

    def request_stop(self) -> None:
        """Ask the handler to stop at its next safe point; may be called from another thread."""
        self._stop = True

    def unsaved(self, *, again: bool = False) -> tuple[str, int] | None:
        """Return the latest checkpoint and its number, once, or ``again``."""
        number = self._number
        if not number or (number == self._reported and not again):
            return None
        self._reported = number
        return self._state.decode(), number

    def finish(self) -> None:
        """Count what ``resume`` has seen since its last checkpoint: the attempt ends before its loop did."""
        if self._done > self._saved:
            self._save()
