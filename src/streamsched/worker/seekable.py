"""What a handler iterates over and may continue at a place: the results of a reduce, the records of an input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """What a work child has returned, as its task's reduce gets it; ``index`` is its index."""

    index: int
    value: Any


class Seekable(ABC):
    """What can continue behind its first elements at once, as the results of a reduce.

    ``word`` names a place in it, in the states of ``resume``.
    """

    word = "resume"

    @abstractmethod
    def seek(self, done: int) -> None:
        """Continue at a place: behind the first ``done`` elements."""

    def place(self, done: int) -> int:
        """Return the place behind the element at ``done``, which was the last one."""
        return done + 1


class InputRecords(Seekable):
    """What ``ChildContext.records`` returns: an iterator over records. At ``offset`` the next one starts."""

    word = "offset"
    offset: int

    def __iter__(self) -> InputRecords:
        return self

    @abstractmethod
    def __next__(self) -> Any: ...
