"""What a worker must know how to do for a child beyond calling its handler: ``ChildCreated.options``, as JSON.

The list of keys is closed. A worker that finds one that it does not know gives the child back, for one that does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from streamsched.domain.bounds import Count, Offset, Time

if TYPE_CHECKING:
    from streamsched.domain.template import ChildSpec

WORK: Final = "work"
REDUCE: Final = "reduce"
SPLIT: Final = "split"


class ReduceInput(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Whose results a reduce reads: the children from ``first`` up to ``end``, as they stand at a journal position.

    That is ``basis``, up to which the maker of the dispatch had folded. ``request`` is the event id of the task's
    request in hex, ``time`` its time: there the task begins.
    """

    request: str
    time: Time
    basis: Offset
    first: Count
    end: Count


class CommandOptions(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """The child runs a program (``domain.command``): what its exit codes mean, where a template says it."""

    exit_codes: dict[str, Literal["retry", "fail"]] = {}


class SplitOptions(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What a split child runs: a splitter by its ``kind``, with the ``input`` of the plan (JSON).

    ``item_limit``: the bytes that a text of an entry may have inside a string.
    """

    kind: str
    input: str
    item_limit: Count


class InputFile(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """A file that a child reads, as the split child found it: its size in bytes, and a tag that changes with it.

    With a ``format`` the child owns the records that start in ``start <= byte < end``. Without ``verify`` it is looked
    at only where ``ctx.records()`` opens it.
    """

    path: str
    size: Offset
    tag: str
    start: Offset = 0
    end: Offset = 0
    format: str = ""
    verify: bool = True


class Options(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """The stage of a child, and what belongs to it. ``inputs``: what a child of an entry reads, perhaps nothing."""

    stage: str = WORK
    reduce: ReduceInput | None = None
    command: CommandOptions | None = None
    split: SplitOptions | None = None
    inputs: tuple[InputFile, ...] | None = None
    setup: str | None = None
    """What runs once in an executor before its first child of this setup: ``package.module:function``."""
    concurrency: Count | None = None
    """How many children like it may run at once in an executor."""
    reuse: Count | None = None
    """After how many children its executor is replaced."""
    memory: Offset | None = None
    """Bytes that its executor, with all that runs below it, may have in memory."""

    @property
    def may_read_log(self) -> bool:
        """Whether its executor must know where the log is: for results, or for the records of a topic."""
        return self.reduce is not None or self.split is not None or self.inputs is not None


NONE: Final = Options()
_decode: Final = msgspec.json.Decoder(Options).decode
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def write_options(options: Options) -> str:
    """Return options as JSON."""
    return _encode(options).decode()


@lru_cache(maxsize=256)
def read_options(text: str) -> Options | None:
    """Read options; None where another version made them, which this one does not know."""
    try:
        found = _decode(text)
    except ValueError:
        return None
    own = {REDUCE: found.reduce, SPLIT: found.split}
    return found if found.stage == WORK or own.get(found.stage) is not None else None


def options_in(text: str | None) -> Options:
    """Read the options of a job, which its worker has read before."""
    return NONE if text is None else read_options(text) or NONE


def index_of(child: int, text: str | None) -> int:
    """Return the number of a child inside its stage, as people count, by its options."""
    options = options_in(text)
    if options.stage != WORK:
        return 0
    return child if options.inputs is None else child - 1


def options_of(spec: ChildSpec, options: Options = NONE) -> Options | None:
    """Return the options of children, with what is known of them besides; None where they run a plain handler."""
    many = spec.concurrency if spec.concurrency > 1 else None
    if spec.command is None and not (spec.setup or spec.reuse or spec.memory_bytes or many):  # called for each child
        return None if options is NONE else options
    command = None
    if spec.command is not None:
        command = msgspec.convert({"exit_codes": spec.command.exit_codes}, CommandOptions)
    return msgspec.structs.replace(
        options, command=command, setup=spec.setup or None, concurrency=many, reuse=spec.reuse or None,
        memory=spec.memory_bytes or None,
    )  # fmt: skip
