"""How many read something at once that costs much: who may begin, and when a place is free again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streamsched.http.problems import NotReady


class Readers:
    """Those who read one thing now."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.now = 0

    @contextmanager
    def one_more(self, most: int) -> Iterator[None]:
        """Be one of at most so many for as long as the block lasts. Raise NotReady."""
        if self.now >= most:
            raise NotReady(f"{most} readers {self._what} already", "ask again later")
        self.now += 1
        try:
            yield
        finally:
            self.now -= 1
