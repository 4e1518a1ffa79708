"""What an executor does for a child that has options: a reduce, a split child, a child of an entry, a program.

What they need is imported with the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from streamsched.domain.options import SPLIT, WORK, Options
from streamsched.worker.context import ChildContext
from streamsched.worker.errors import NonRetryable, StopChild
from streamsched.worker.handlers import Handler
from streamsched.worker.jobs import Job

if TYPE_CHECKING:
    from streamsched.log.adapter import LogAdapter
    from streamsched.worker.wire import Journal


def place_of(job: Job, options: Options | None) -> tuple[type[ChildContext], str, int]:
    """Return what a child has for a context, its stage, and which child of that stage it is."""
    if options is None or options.stage == WORK:  # behind a split child the work children begin at 1
        return ChildContext, WORK, job.child - (options is not None and options.inputs is not None)
    if options.stage != SPLIT:
        return ChildContext, options.stage, 0
    from streamsched.worker.sources.split import PlanContext

    return PlanContext, SPLIT, 0


def opens(journal: Journal | None) -> Callable[[], LogAdapter]:
    """Return what opens the log for reading."""

    def opened() -> LogAdapter:
        from streamsched.worker.logs import open_log

        if journal is None:
            raise NonRetryable("this worker does not know where the log is")
        return open_log(journal)

    return opened


def splitter(
    options: Options | None, function: Callable[..., Any] | None, plan_limit: int, journal: Journal | None
) -> Handler:
    """Return what runs a split child in place of a handler; ``function`` is the user's."""
    if options is None or options.split is None:
        raise NonRetryable("a child of this stage is told what to split")
    from streamsched.worker.sources.split import run_split

    return partial(run_split, options=options.split, function=function, plan_limit=plan_limit, open_log=opens(journal))


@contextmanager
def given(
    context: ChildContext, job: Job, options: Options | None, journal: Journal | None
) -> Iterator[tuple[Job, tuple[Any, ...]]]:
    """Yield a job with its arguments filled in, and what its handler gets behind the context.

    What is read for that is a safe point, and a heartbeat.
    """

    def alive() -> None:
        context.heartbeat()
        if context.should_stop:
            raise StopChild

    if options is None or (options.reduce is not None and journal is None):
        raise NonRetryable(f"this worker does not know how to run a child with {job.options}")
    if options.reduce is not None and journal is not None:
        from streamsched.worker.reduce import results_of

        with results_of(journal, job.task_id, options.reduce, alive) as results:
            yield job, (results,)
    elif options.inputs is not None:
        from streamsched.worker.sources.inputs import opened

        with opened(context, job.args, options.inputs, alive, opens(journal)) as args:
            yield replace(job, args=args), ()
    else:
        yield job, ()
