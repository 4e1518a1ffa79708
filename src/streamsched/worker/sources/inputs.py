"""What a child of an entry gets before its handler starts: its files looked at, its arguments filled, its records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from streamsched.domain.options import InputFile
from streamsched.domain.splitters.topic import FORMAT
from streamsched.worker.context import ChildContext, InputRecords
from streamsched.worker.sources.errors import InputMissing
from streamsched.worker.sources.records import RangeRecords, check_inputs, filled

if TYPE_CHECKING:
    from streamsched.log.adapter import LogAdapter


def no_log() -> LogAdapter:
    """Stand for the log where it is not known."""
    raise InputMissing("a topic is read by workers, and by 'streamsched plan' and 'try': here the log is not known")


@contextmanager
def opened(
    context: ChildContext, args: str, inputs: Sequence[InputFile], alive: Callable[[], None],
    open_log: Callable[[], LogAdapter] = no_log,
) -> Iterator[str]:  # fmt: skip
    """Look at a child's files, let its context read records, and give its arguments as JSON.

    Raise InputChanged, InputMissing, BadArguments.
    """
    check_inputs(inputs, alive)
    with ExitStack() as files:
        if len(inputs) == 1 and inputs[0].format not in ("", "lines"):
            of = inputs[0]

            def records(offset: int | None) -> InputRecords:
                if of.format != FORMAT:
                    return files.enter_context(closing(RangeRecords(of, offset, alive)))
                from streamsched.worker.sources.topic import SpanRecords

                log = files.enter_context(closing(open_log()))
                return files.enter_context(closing(SpanRecords(log, of, offset, alive)))

            context.read_from(records)
        yield filled(args, inputs)
