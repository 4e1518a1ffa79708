"""Whose output it is that is printed where several children take turns in one thread; a part of ``output``."""

from __future__ import annotations

from contextvars import ContextVar
from itertools import count
from typing import Final

PREFIX_BYTES: Final = 512
_numbers: Final = count(2, 2)


class Voice:
    """One of these children, with the prefix of its lines."""

    __slots__ = ("keys", "prefix")

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.keys: dict[int, int] = {}
        """By thread, what stands for it: a line is of one child and one thread."""


VOICE: Final[ContextVar[Voice | None]] = ContextVar("voice", default=None)


def new_key() -> int:
    """Return what can stand for a thread: even, as idents are, and negative, as none of them is."""
    return -next(_numbers)


def prefix_of(task_id: str, child: int | str, attempt: int) -> bytes:
    """Return what stands before the lines of a child, behind their time; nothing before the first child."""
    if not task_id:
        return b""
    name = task_id if task_id.isprintable() else ascii(task_id)[1:-1]
    return f"{name[: PREFIX_BYTES // 4]}[{child}]#{attempt} ".encode()
