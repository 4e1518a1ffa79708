"""How the checker counts a schedule's times: one interval, by arithmetic; and what it calls their tasks."""

from __future__ import annotations

import json
from datetime import UTC, datetime

Wait = tuple[str, int]
"""Kind and moment of a time."""


def task_of(schedule_id: str, wait: Wait) -> str:
    """Name the task of a time."""
    kind, ms = wait
    at = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    part = f".{ms % 1000:03d}" if ms % 1000 else ""
    return f"{schedule_id}@{at}{part}Z{'+trigger' if kind == 'trigger' else ''}"


def interval_of(spec: str) -> tuple[int, int]:
    """Read how far times are apart, and from where they are counted."""
    (interval,) = json.loads(spec)["interval"]
    every, phase = (int(interval[name].removesuffix("s")) * 1000 for name in ("every", "phase"))
    return every, phase
