"""Devices of a worker, such as GPUs, that are bound to its slots by an environment variable."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Devices:
    """An environment variable, and its value for each slot; with fewer values than slots they begin anew."""

    variable: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``NAME=0,1``. Raise ValueError for anything else."""
        name, equals, values = text.partition("=")
        found = tuple(value.strip() for value in values.split(","))
        if not (equals and _NAME.fullmatch(name) and all(found)) or "\0" in values:
            raise ValueError(f"{text!r} does not bind devices to slots")
        if name.startswith("STREAMSCHED_"):
            raise ValueError(f"{name} is a name of streamsched's own")
        return cls(name, found)

    def environment(self, slot: int) -> dict[str, str]:
        """Return what the executor of a slot gets, which are counted from 0."""
        return {self.variable: self.values[slot % len(self.values)]}
