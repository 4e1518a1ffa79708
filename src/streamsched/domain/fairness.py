"""Fairness: in which order keys get slots. Scheduler and worker use it. Pure.

Priorities come first. Among equal ones the key is next whose share is least for its weight. What a scheduler compares
are *expected running slots*: it does not know what runs. A worker compares the slots that run a key's children.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from streamsched.domain.ids import NAME_LIMIT
from streamsched.domain.placeholders import parse, text_of
from streamsched.domain.refusal import TemplateError, check_whole

WEIGHT_LIMIT: Final = 1_000
QUEUED_MS: Final = 1_000
"""Work that waits at a worker before a child begins, in milliseconds."""
UNMEASURED_MS: Final = 1_000
"""What a child is taken to need of which no length is known."""
_GROUP: Final = " "
"""Before a key of a template, so that it equals no task id."""


class Stake(NamedTuple):
    """What a child's slots are counted for: a key, and how much of them it gets beside others."""

    key: str
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """What a template says of it; without a key each task is its own."""

    key: str = ""
    weight: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.key, str):
            raise TemplateError("must be a string", "write a name or ${variable}", path=("fairness", "key"))
        check_whole(self.weight, ("fairness", "weight"), 1, WEIGHT_LIMIT)

    def key_of(self, params: Mapping[str, object]) -> str:
        """Fill in the key. Raise TemplateError where it is too long."""
        pieces = parse(self.key, ("fairness", "key"))
        key = "".join(piece if isinstance(piece, str) else text_of(params[piece.name]) for piece in pieces)
        if len(key) > NAME_LIMIT:
            reason = f"has {len(key):,} characters with its variables filled in, the limit is {NAME_LIMIT:,}"
            raise TemplateError(reason, "use a shorter variable", path=("fairness", "key"))
        return key


def stake_of(task_id: str, key: str, weight: int) -> Stake:
    """Return the stake of a task's children: by the key of its template, else by itself."""
    return Stake(_GROUP + key if key else task_id, weight)


def expected_slots(live: float, mean_ms: float | None) -> float:
    """Return how many slots run children of a task on average; ``live``: those that are, by how many share a slot."""
    length = UNMEASURED_MS if mean_ms is None else mean_ms
    return live * length / (length + QUEUED_MS)


def rank(share: float, stake: Stake) -> tuple[float, str]:
    """Return where a key stands among those of equal priority: the least is next."""
    return share / stake.weight, stake.key
