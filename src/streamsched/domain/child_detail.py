"""What is known of a child beside its place in the table."""

from __future__ import annotations

from msgspec import Struct


class ChildDetail(Struct, array_like=True, gc=False):
    """What is known of a child beside its cell. Times in milliseconds since the epoch, payloads as JSON text."""

    attempt: int = 1
    sequence: int = 0
    state: str | None = None
    recoveries: int = 0
    failed_at_sequence: int = 0
    due: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    worker: str | None = None
    result: str | None = None
    reason: str | None = None
    error_type: str | None = None
    message: str | None = None
    traceback: str | None = None
    group: str | None = None
    """The group of its last failure."""
    final: bool = False
    """Whether that failure ended it, and it was not dispatched since."""
