"""What a worker must know how to do for a child beyond calling its handler: ``ChildCreated.options``, as JSON.

The list of keys is closed. A worker that finds one that it does not know gives the child back, for one that does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

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


class CommandOptions(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """The child runs a program (``domain.command``): what its exit codes mean, where a template says it."""

    exit_codes: dict[str, Literal["retry", "fail"]] = {}


class Options(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """The stage of a child, and what belongs to it."""

    stage: str = WORK
    reduce: ReduceInput | None = None
    command: CommandOptions | None = None


NONE: Final = Options()
_decode: Final = msgspec.json.Decoder(Options).decode
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def write_options(options: Options) -> str:
    """Return options as JSON."""
    return _encode(options).decode()


def read_options(text: str) -> Options | None:
    """Read options; None where another version made them, which this one does not know."""
    try:
        found = _decode(text)
    except ValueError:
        return None
    known = found.stage in (WORK, REDUCE) and (found.stage == REDUCE) == (found.reduce is not None)
    return found if known else None


def of_command(exit_codes: Mapping[str, str]) -> CommandOptions:
    """Return the options of a program. Raise ValueError."""
    return msgspec.convert({"exit_codes": dict(exit_codes)}, CommandOptions)
