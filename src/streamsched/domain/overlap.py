"""The policy of a schedule: for times at which a task still runs, for late times, and for tasks that fail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from streamsched.domain.bounds import LONGEST_MS
from streamsched.domain.refusal import ScheduleError, TemplateError, check_whole

if TYPE_CHECKING:
    from streamsched.domain.calendar.spec import ScheduleSpec

YEAR_MS: Final = 365 * 86_400_000
LEAST_WINDOW_MS: Final = 10_000
RUNS_LIMIT: Final = 1 << 31
CATCHUP_LIMIT: Final = 10_000
"""Late times that ``max_catchup_runs`` can ask for: they have to be counted whenever one is found."""
BUFFER_LIMIT: Final = 1_000
"""Times that may wait for a running task at most."""


class Overlap(StrEnum):
    """What a time does that comes while a task of its schedule runs. Source: Temporal's schedules."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    BUFFER_ALL = "buffer_all"
    CANCEL_OTHER = "cancel_other"
    TERMINATE_OTHER = "terminate_other"
    ALLOW_ALL = "allow_all"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePolicy:
    """How times become tasks (milliseconds).

    A time that is found late is still fired while it is younger than ``catchup_window_ms``; of several found at once
    only the latest ``max_catchup_runs`` are (0: all). ``limited_runs`` fires so many and no more (0: no limit).
    ``pause_on_failure`` pauses the schedule when one of its tasks fails.
    """

    overlap: Overlap = Overlap.SKIP
    catchup_window_ms: int = YEAR_MS
    max_catchup_runs: int = 0
    limited_runs: int = 0
    pause_on_failure: bool = False

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "overlap", Overlap(self.overlap))
        except ValueError as error:
            reason = f"{self.overlap!r} is not an overlap policy"
            raise ScheduleError(reason, f"choose one of {', '.join(Overlap)}", path=("overlap",)) from error
        try:
            check_whole(self.catchup_window_ms, ("catchup_window",), LEAST_WINDOW_MS, LONGEST_MS)
            check_whole(self.max_catchup_runs, ("max_catchup_runs",), 0, RUNS_LIMIT)
            check_whole(self.limited_runs, ("limited_runs",), 0, RUNS_LIMIT)
        except TemplateError as error:
            raise ScheduleError(error.reason, error.remedy, path=error.path) from None
        if not isinstance(self.pause_on_failure, bool):
            raise ScheduleError("must be true or false", "write true or false", path=("pause_on_failure",))

    @property
    def catchup_runs(self) -> int:
        """How many of several late times are fired, 0 for all; an older version may have taken a larger number."""
        return min(self.max_catchup_runs, CATCHUP_LIMIT)

    def to_json(self) -> str:
        """Write it down."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read it. Raise ScheduleError for anything else."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ScheduleError("is not JSON", "write it with to_json()", path=("policy",)) from error
        known = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or not values.keys() <= known:
            raise ScheduleError("has unknown fields", f"use {', '.join(sorted(known))}", path=("policy",))
        return cls(**values)


class Rules(NamedTuple):
    """The times and the policy of a schedule."""

    spec: ScheduleSpec
    policy: SchedulePolicy


@lru_cache(maxsize=16_384)
def read_rules(spec: str, policy: str) -> Rules | None:
    """Read what a ScheduleSet holds; None where it cannot be read."""
    from streamsched.domain.calendar.spec import ScheduleSpec  # late: most views hold no schedule

    try:
        return Rules(ScheduleSpec.from_json(spec), SchedulePolicy.from_json(policy))
    except ScheduleError:
        return None
