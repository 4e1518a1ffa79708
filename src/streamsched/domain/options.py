"""What a worker must know how to do for a child beyond calling its handler: ``ChildCreated.options``, as JSON.

The list of keys is closed. A worker that finds one that it does not know gives the child back, for one that does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec

from streamsched.domain.bounds import Count, Offset, Time

WORK: Final = "work"
REDUCE: Final = "reduce"


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


class Options(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """The stage of a child, and what belongs to it."""

    stage: str = WORK
    reduce: ReduceInput | None = None
    setup: str | None = None
    """What runs once in an executor before its first child of this setup: ``package.module:function``."""
    concurrency: Count | None = None
    """How many children like it may run at once in an executor."""
    reuse: Count | None = None
    """After how many children its executor is replaced."""
    memory: Offset | None = None
    """Bytes that its executor, with all that runs below it, may have in memory."""


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
    known = found.stage in (WORK, REDUCE) and (found.stage == REDUCE) == (found.reduce is not None)
    return found if known else None


def options_of(text: str | None) -> Options:
    """Read the options of a job, which its worker has read before."""
    return NONE if text is None else read_options(text) or NONE
