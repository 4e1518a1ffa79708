"""What a child of an entry gets before its handler starts: its files looked at, its arguments filled, its records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from streamsched.domain.options import InputFile
from streamsched.worker.context import ChildContext
from streamsched.worker.sources.records import RangeRecords, check_inputs, filled


@contextmanager
def opened(context: ChildContext, args: str, inputs: Sequence[InputFile], alive: Callable[[], None]) -> Iterator[str]:
    """Look at a child's files, let its context read records, and give its arguments as JSON.

    Raise InputChanged, InputMissing, BadArguments.
    """
    check_inputs(inputs, alive)
    with ExitStack() as files:
        if len(inputs) == 1 and inputs[0].format not in ("", "lines"):
            of = inputs[0]
            context.read_from(lambda offset: files.enter_context(closing(RangeRecords(of, offset, alive))))
        yield filled(args, inputs)
