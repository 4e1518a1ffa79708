"""One time of a schedule: the id of its task, and the values that parameters may take from it.

``${tick.nominal}`` in a schedule's parameters becomes the nominal time as RFC 3339 in the schedule's zone,
``${tick.nominal:FORMAT}`` a part of it (``FORMATS``). ``tick.interval_end`` is the nominal time too;
``tick.previous``, or ``tick.interval_start``, is the schedule's time before it; of its first time, that time itself.
``$${`` is a plain ``${``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from streamsched.domain.placeholders import encode
from streamsched.domain.refusal import TemplateError
from streamsched.domain.variables import read_params

# The calendar is imported late: every command knows of ticks, few meet one.
if TYPE_CHECKING:
    from streamsched.domain.calendar.spec import ScheduleSpec

TRIGGER: Final = "+trigger"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ID: Final = re.compile(r"(.+)@([0-9TZ:.-]+)(\+trigger)?")
_HOLE: Final = re.compile(r"(\$\$\{)|\$\{tick\.([^}:]*)(?::([^}]*))?(\}?)")
_LOOK_BACK_MS: Final = 10 * 366 * 86_400_000

FORMATS: Final[Mapping[str, Callable[[datetime], str | int]]] = {
    "rfc3339": lambda at: at.isoformat(),
    "date": lambda at: f"{at:%Y-%m-%d}",
    "time": lambda at: f"{at:%H:%M:%S}",
    "compact": lambda at: f"{at:%Y%m%dT%H%M%S}",
    "year": lambda at: f"{at:%Y}",
    "month": lambda at: f"{at:%m}",
    "day": lambda at: f"{at:%d}",
    "hour": lambda at: f"{at:%H}",
    "epoch": lambda at: int((at - _EPOCH) // timedelta(seconds=1)),
    "epoch_ms": lambda at: int((at - _EPOCH) // timedelta(milliseconds=1)),
}


def moment(ms: int, zone: str = "UTC") -> datetime:
    """Turn milliseconds since the epoch into a time of a zone."""
    from streamsched.domain.calendar.zone import load

    return (_EPOCH + timedelta(milliseconds=ms)).astimezone(load(zone))


def tick_id(schedule_id: str, kind: str, nominal: int) -> str:
    """Return the id of the task of a tick: ``schedule@time``, and ``+trigger`` for a trigger."""
    from streamsched.domain.calendar.moment import write

    return f"{schedule_id}@{write(nominal)}{TRIGGER if kind == 'trigger' else ''}"


def origin_of(schedule_id: str, backfill: int = 0) -> str:
    """Return who asks for the task of a tick: the schedule, or one of its backfills."""
    return f"schedule {schedule_id}" + (f", backfill {backfill}" if backfill else "")


def schedule_of(task_id: str) -> str | None:
    """Return the schedule that a task id is of, if it is one of a tick."""
    found = _ID.fullmatch(task_id)
    return found[1] if found else None


def previous(spec: ScheduleSpec, nominal: int) -> int:
    """Return the time before a nominal time; the nominal time itself if it is the first in ten years."""
    before = spec.last_before(nominal, nominal - _LOOK_BACK_MS)
    return nominal if before is None else before


def fill(params: str, schedule_id: str, spec: ScheduleSpec, nominal: int) -> str:
    """Put the values of a tick into the parameters (JSON text). Raise TemplateError for a value that is none."""
    if "${" not in params:
        return params
    given, values = read_params(params), _Values(schedule_id, spec, nominal)
    try:
        return encode(values.put(given))
    except TemplateError:
        raise
    except (RecursionError, ValueError) as error:
        reason = f"the variables are not JSON ({type(error).__name__})"
        raise TemplateError(reason, "nest them less, and give finite numbers", path=("params",)) from None


class _Values:
    """The values of one tick, each worked out once."""

    def __init__(self, schedule_id: str, spec: ScheduleSpec, nominal: int) -> None:
        self._schedule_id = schedule_id
        self._spec = spec
        self._nominal = nominal
        self._known: dict[str, str | int] = {}

    def put(self, value: object) -> object:
        """Put them into a JSON value."""
        if isinstance(value, Mapping):
            return {key: self.put(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.put(each) for each in value]
        if not isinstance(value, str):
            return value
        whole = _HOLE.fullmatch(value)
        if whole and not whole[1]:
            return self._value(whole)
        return _HOLE.sub(lambda hole: "${" if hole[1] else str(self._value(hole)), value)

    def _value(self, hole: re.Match[str]) -> str | int:
        if hole[0] not in self._known:
            self._known[hole[0]] = self._work_out(*_read(hole))
        return self._known[hole[0]]

    def _work_out(self, name: str, form: str) -> str | int:
        if name == "schedule":
            return self._schedule_id
        of_now = name in ("nominal", "interval_end")
        at = self._nominal if of_now else previous(self._spec, self._nominal)
        return FORMATS[form](moment(at, self._spec.home))


def _read(hole: re.Match[str]) -> tuple[str, str]:
    """Read what a placeholder names, and the format."""
    name, form = hole[2], hole[3] or "rfc3339"
    if not hole[4]:
        raise TemplateError(f"{hole[0]} is not closed", "write ${tick.nominal}", path=("params",))
    if name not in ("nominal", "previous", "interval_start", "interval_end", "schedule"):
        names = "tick.nominal, tick.previous, tick.interval_start, tick.interval_end or tick.schedule"
        raise TemplateError(f"there is no tick.{name}", f"use {names}", path=("params",))
    if form not in FORMATS:
        raise TemplateError(f"{form} is not a format of a time", f"use {', '.join(FORMATS)}", path=("params",))
    return name, form
