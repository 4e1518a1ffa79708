"""One child, run in this process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from streamsched.domain import values
from streamsched.domain.routing import EVERYTHING
from streamsched.testing.context import CrashPoint, ObservedTransport, context_of
from streamsched.testing.copies import run_in_copy
from streamsched.worker.context import PAYLOAD_LIMIT, Result
from streamsched.worker.errors import StopChild
from streamsched.worker.handlers import Handlers
from streamsched.worker.jobs import Emitted
from streamsched.worker.local import LocalResults, call
from streamsched.worker.payload import write_result, write_state

AnyHandler = Callable[..., Any] | str
"""A handler, or its name as a template gives it: ``package.module:function``."""


@dataclass(slots=True)
class ChildRun:
    """What became of one attempt at a child."""

    result: Any = None
    """What it returned, as others will read it."""
    checkpoints: list[Any] = field(default_factory=list)
    """The states of the checkpoints that it took, in order."""
    waited: int = 0
    """How many of these were certainly durable: those up to the last one with ``wait=True``."""
    progress: list[tuple[float, float]] = field(default_factory=list)
    """How far it said that it is, in order: done and total."""
    log: list[str] = field(default_factory=list)
    """What was logged meanwhile, from INFO on."""
    state: Any = None
    """Where another attempt resumes: the last checkpoint, or what this one was given. Pass it on as ``resume``."""
    emitted: list[Emitted] = field(default_factory=list)
    """What it emitted, in order; of an attempt that died or stopped, only what its last checkpoint covers."""
    died: bool = False
    stopped: bool = False
    """Whether it was asked to stop, and did."""


def run_child(
    handler: AnyHandler,
    args: Mapping[str, Any] | None = None,
    *,
    resume: Any = None,
    attempt: int = 1,
    task_id: str = "test",
    child_index: int = 0,
    fencing_token: int = 1,
    results: Sequence[Any] | Mapping[int, Any] | None = None,
    missing: int = 0,
    crash: CrashPoint | None = None,
    stop_after: int | None = None,
    fork: bool = False,
) -> ChildRun:
    """Run one attempt at a child in this process, with a real context, and return what became of it.

    Arguments, states and the result go through JSON as on a worker, with its limits. An error of the handler is raised.

    Args:
        handler: a function, or its name.
        args: the child's arguments.
        resume: the state of the last checkpoint of an attempt before; None for the first.
        attempt: which attempt this is.
        task_id: the id of its task.
        child_index: its number in the task.
        fencing_token: grows with each owner of a child.
        results: runs a reduce: what the work children have returned, in order, or by their indexes.
        missing: how many work children have no result.
        crash: where the child dies; ``died`` is then set.
        stop_after: asks the child to stop at its checkpoint of this number; ``stopped`` is then set.
        fork: runs it in a copy of this process, which is killed at ``crash``: no ``finally`` runs there, and what is in
            buffers is lost. So is what the handler changes in memory. An error is a RuntimeError with its traceback.

    """
    name, function = _resolved(handler)
    given = values.read(values.write(dict(args or {}), "args", PAYLOAD_LIMIT).decode())
    state = None if resume is None else write_state(resume, PAYLOAD_LIMIT).decode()
    reads = None if results is None else _results_of(results, missing)

    def live(leave: Callable[[ChildRun], NoReturn] | None = None) -> ChildRun:
        transport = _Recorder(ChildRun(state=resume), crash, stop_after, leave)
        context = context_of(
            transport, task_id=task_id, child_index=child_index, attempt=attempt, fencing_token=fencing_token,
            handler=name, state=state, stage="work" if results is None else "reduce",
        )  # fmt: skip
        return transport.live_through(partial(call, function, context, given, reads))

    return run_in_copy(live, ChildRun) if fork else live()


class _Recorder(ObservedTransport):
    """Keeps what one attempt does. ``leave`` ends the copy of this process in which it runs."""

    def __init__(
        self, run: ChildRun, crash: CrashPoint | None, stop_after: int | None,
        leave: Callable[[ChildRun], NoReturn] | None,
    ) -> None:  # fmt: skip
        super().__init__(crash)
        self._run = run
        self._stop_after = stop_after
        self._leave = leave
        self.progresses = run.progress
        self.emitted = run.emitted
        self._take = run.emitted.append

    def live_through(self, work: Callable[[], Any]) -> ChildRun:
        """Do the work of the attempt, and return what became of it."""
        run = self._run
        try:
            with _captured(run.log):
                self.reach("start")
                returned = work()
                self.live()
                run.result = values.read(write_result(returned, PAYLOAD_LIMIT) or "null")
                self.reach("end")
        except BaseException as error:
            del run.emitted[self.context.covered[1] :]
            if self.died:
                run.result, run.died = None, True
            elif isinstance(error, StopChild) and self.context.should_stop:
                run.stopped = True
            else:
                raise
        return run

    def wait(self, number: int) -> None:
        self.live()
        self._run.waited = len(self._run.checkpoints)

    def dying(self) -> None:
        if self._leave is not None:
            self._run.result, self._run.died = None, True
            del self._run.emitted[self.context.covered[1] :]
            self._leave(self._run)

    def checkpointed(self, state: str, number: int, covered: int) -> None:
        self._run.state = values.read(state)
        self._run.checkpoints.append(values.read(state))
        if len(self._run.checkpoints) == self._stop_after:
            self.context.request_stop()


def _resolved(handler: AnyHandler) -> tuple[str, Callable[..., Any]]:
    """Return a handler's name and its function. Raise HandlerNotFound."""
    if isinstance(handler, str):
        return handler, Handlers([EVERYTHING]).resolve(handler)
    return f"{handler.__module__}:{getattr(handler, '__name__', 'handler')}", handler


def _results_of(results: Sequence[Any] | Mapping[int, Any], missing: int) -> LocalResults:
    pairs = results.items() if isinstance(results, Mapping) else enumerate(results)
    return LocalResults(
        [Result(index, values.read(write_result(value, PAYLOAD_LIMIT) or "null")) for index, value in pairs], missing
    )


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.INFO)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


@contextmanager
def _captured(lines: list[str]) -> Iterator[None]:
    """Keep what is logged from INFO on, as executors do."""
    root, handler = logging.getLogger(), _Lines(lines)
    level = root.level
    root.addHandler(handler)
    root.setLevel(min(level, logging.INFO))
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
