"""How a worker paces itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class WorkerTiming:
    """How a worker paces itself, in seconds."""

    poll: float = 0.004
    """Slice of waiting for the pool while something runs."""
    commit: float = 0.05
    """Time after a transaction in which what ends waits for more; the first after a pause is written at once."""
    checkpoint: float = 1.0
    """Least time between durable checkpoints of one child."""
    cancel: float = 0.7
    """Time that a running child has to stop when it was cancelled, before it is killed."""
    hand_over: float = 10.0
    """Time that running children have to yield when a partition is revoked."""
    drain: float = 30.0
    """Time that a drain may take before what still runs is killed."""
    trim: float = 60.0
    """Time between deletions of settled records."""


DEFAULT: Final = WorkerTiming()
