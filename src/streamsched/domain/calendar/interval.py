"""Even intervals: ``every`` 15 minutes, ``phase`` 3 minutes after the quarter. Daylight saving does not touch them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streamsched.domain import duration
from streamsched.domain.refusal import FieldPath, ScheduleError, suggest

LEAST_MS: Final = 1000
_FIELDS: Final = ("every", "phase")


@dataclass(frozen=True, slots=True)
class Interval:
    """The moments ``n * every + phase`` (milliseconds from 1970, UTC). Raise ScheduleError under one second."""

    every_ms: int
    phase_ms: int = 0

    def __post_init__(self) -> None:
        if self.every_ms < LEAST_MS:
            reason = f"{duration.write(self.every_ms)} is under a second"
            raise ScheduleError(reason, "write 1s or more", path=("every",))
        if not 0 <= self.phase_ms < self.every_ms:
            reason = f"{duration.write(self.phase_ms)} is not below the interval of {duration.write(self.every_ms)}"
            raise ScheduleError(reason, "give what is left after whole intervals", path=("phase",))

    @classmethod
    def read(cls, value: object) -> Interval:
        """Read ``15m``, ``15m/3m`` or ``{every: 15m, phase: 3m}``. Raise ScheduleError."""
        if isinstance(value, Mapping):
            for name in value:
                if name not in _FIELDS:
                    raise ScheduleError(f"unknown field {name}", suggest(str(name), _FIELDS), path=(str(name),))
            if "every" not in value:
                raise ScheduleError("every is missing", "write {every: 15m}")
            return cls(_length(value["every"], ("every",)), _length(value.get("phase", 0), ("phase",)))
        every, slash, phase = value.partition("/") if isinstance(value, str) else (value, "", "")
        return cls(_length(every, ()), _length(phase, ()) if slash else 0)

    def to_mapping(self) -> dict[str, object]:
        """Write the mapping that it can be read from."""
        phase = {"phase": duration.write(self.phase_ms)} if self.phase_ms else {}
        return {"every": duration.write(self.every_ms), **phase}

    def at_or_after(self, moment_ms: int) -> int:
        """Return the first of its moments that is not before ``moment_ms``."""
        return moment_ms + (self.phase_ms - moment_ms) % self.every_ms


def _length(value: object, path: FieldPath) -> int:
    milliseconds = duration.read(value)
    if milliseconds is None:
        raise ScheduleError(f"{value!r} is not a duration", "write 30s, 15m, 1h30m or 1d, at most 3650d", path=path)
    return milliseconds
