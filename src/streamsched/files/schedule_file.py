"""Read a schedule file: one mapping with times, policy and tasks.

It is a file of its own, or it stands under ``schedule:`` in a template's file, beside the template's own fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streamsched.domain import duration
from streamsched.domain.calendar.reading import Reader
from streamsched.domain.calendar.spec import ScheduleSpec
from streamsched.domain.errors import InputError
from streamsched.domain.ids import SCHEDULE_ID_LIMIT, is_schedule_id
from streamsched.domain.overlap import CATCHUP_LIMIT, LEAST_WINDOW_MS, YEAR_MS, Overlap, SchedulePolicy
from streamsched.domain.placeholders import encode, kept
from streamsched.domain.refusal import FieldPath, ScheduleError, TemplateError
from streamsched.domain.template import Template
from streamsched.domain.tick import fill
from streamsched.domain.variables import read_params
from streamsched.domain.visible import is_visible
from streamsched.files.params_input import load_tick_params
from streamsched.files.source import Document, read_document
from streamsched.files.template_file import Prepared, reason_of, resolve, template_in
from streamsched.log.topics import PAYLOAD_LIMIT

TIMES: Final = (
    "cron", "calendars", "interval", "exclude", "start", "end", "zone", "gap", "fold", "day_match", "jitter",
)  # fmt: skip
POLICY: Final = ("overlap", "catchup_window", "max_catchup_runs", "limited_runs", "pause_on_failure")
TASKS: Final = ("template", "params", "priority")
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSchedule:
    """A checked schedule. ``params`` is JSON, with placeholders that each tick fills in."""

    schedule_id: str
    spec: ScheduleSpec
    policy: SchedulePolicy
    prepared: Prepared
    params: str
    priority: int

    def body(self) -> dict[str, Any]:
        """Return the fields of its event; equal schedules have equal fields."""
        return {
            "spec": self.spec.to_json(),
            "policy": self.policy.to_json(),
            "template_name": self.prepared.template.name,
            "template_version": self.prepared.version,
            "template": self.prepared.template_json,
            "params": self.params,
            "priority": self.priority,
            "level": self.prepared.template.level,
        }


def load_spec(path: Path) -> ScheduleSpec:
    """Read the times of a schedule file. Raise InputError."""
    return _Reading(path).spec


def want_schedule(
    source: Path | Document,
    params: Mapping[str, object] | None = None,
    *,
    now: int,
    schedule_id: str | None = None,
    pairs: Sequence[str] = (),
) -> WantedSchedule:
    """Read a whole schedule file, or what one would hold. ``params`` and ``pairs`` (``name=value``) override its own.

    The parameters are checked with the values of the first time after ``now`` (milliseconds). The default id is the
    file's name without suffix. Raise InputError.
    """
    reading = _Reading(source)
    name = _check_id(reading.path.stem if schedule_id is None else schedule_id, named=schedule_id is not None)
    spec, policy, priority = reading.spec, reading.policy, reading.priority
    first = spec.next_after(now)
    if first is None:
        raise reading.refuse(("end",), "it never fires again", "give a later end, or remove it")
    template, place = reading.template()
    given = {**load_tick_params(template, pairs), **(params or {})}
    text = reading.params(template, given)
    try:
        prepared = resolve(template, read_params(fill(text, name, spec, first)))
    except TemplateError as error:
        raise _located(error, reading, place, given, pairs) from None
    return WantedSchedule(schedule_id=name, spec=spec, policy=policy, prepared=prepared, params=text, priority=priority)


class _Reading:
    """One file that is being read."""

    def __init__(self, source: Path | Document) -> None:
        self.document = source if isinstance(source, Document) else read_document(source)
        self.path = Path(self.document.source)
        whole = self.document.value
        if not isinstance(whole, dict):
            raise self.document.refuse((), "is not a schedule", "write cron, calendars or interval, and template")
        self._beside = "schedule" in whole and len(whole) > 1
        self._at: FieldPath = ("schedule",) if "schedule" in whole else ()
        if not self._at and not whole.keys() & {*TIMES, *POLICY}:
            remedy = "write schedule: and its fields under it" if "split" in whole else "write cron or interval"
            raise self.document.refuse((), "holds no schedule", remedy)
        try:
            self._values: Values = Reader(whole["schedule"] if self._at else whole, (*TIMES, *POLICY, *TASKS)).value
        except ScheduleError as error:
            raise self.refuse(error.path, error.reason, error.remedy) from None

    def refuse(self, path: FieldPath, reason: str, remedy: str) -> InputError:
        """Return the error for one field of the schedule."""
        return self.document.refuse((*self._at, *path), reason, remedy)

    @property
    def spec(self) -> ScheduleSpec:
        """Read its times."""
        try:
            return ScheduleSpec.from_mapping(self._some(TIMES))
        except ScheduleError as error:
            raise self.refuse(error.path, error.reason, error.remedy) from None

    @property
    def policy(self) -> SchedulePolicy:
        """Read its policy."""
        values = self._some(POLICY)
        try:
            reader = Reader(values, POLICY)
            window = reader.duration("catchup_window") if "catchup_window" in values else YEAR_MS
            if window < LEAST_WINDOW_MS:
                reason = f"must be at least {duration.write(LEAST_WINDOW_MS)}"
                raise ScheduleError(reason, "give a longer one", path=("catchup_window",))
            counts = {name: values[name] for name in ("max_catchup_runs", "limited_runs") if name in values}
            policy = SchedulePolicy(
                overlap=reader.choice("overlap", Overlap) or Overlap.SKIP,
                catchup_window_ms=window,
                pause_on_failure=values.get("pause_on_failure", False),
                **counts,
            )
            if policy.max_catchup_runs != policy.catchup_runs:
                reason = f"must be at most {CATCHUP_LIMIT:,}"
                raise ScheduleError(reason, "give less, or 0 for all", path=("max_catchup_runs",))
            return policy
        except ScheduleError as error:
            raise self.refuse(error.path, error.reason, error.remedy) from None

    @property
    def priority(self) -> int:
        """Read the priority of its tasks."""
        value = self._values.get("priority", 0)
        if not isinstance(value, int) or isinstance(value, bool) or not -(2**31) <= value < 2**31:
            raise self.refuse(("priority",), f"invalid priority {value!r}", "give a whole number of at most 31 bits")
        return value

    def template(self) -> tuple[Template, tuple[Document, FieldPath]]:
        """Read the template. Return it with its document and its place there."""
        named = self._values.get("template")
        if self._beside:
            if named is not None:
                remedy = "remove it, or keep nothing but schedule: in this file"
                raise self.refuse(("template",), "the file is a template itself", remedy)
            return template_in(self.document, self.document.value), (self.document, ())
        if isinstance(named, Template):  # read already
            return named, (self.document, (*self._at, "template"))
        if isinstance(named, dict):
            place = (*self._at, "template")
            return template_in(self.document, named, place), (self.document, place)
        if named is None:
            remedy = "write template: and the path of its file, or the template itself under it"
            raise self.refuse(("template",), "is missing", remedy)
        if not isinstance(named, str):
            raise self.refuse(("template",), "must be a path or an object", "write template: job.yaml")
        other = read_document(self.path.parent / named)
        return template_in(other, other.value), (other, ())

    def params(self, template: Template, given: Values) -> str:
        """Return the parameters as JSON: defaults, overridden by the file, overridden by those given."""
        own = self._values.get("params", {})
        if not isinstance(own, dict):
            raise self.refuse(("params",), "must be an object", "write name: value lines under it")
        defaults = {name: param.default for name, param in template.params.items() if param.default is not None}
        joined = {**defaults, **own, **given}
        for name, value in joined.items():
            try:
                joined[name] = kept(value)
            except TemplateError as error:
                raise self.refuse(("params", name), error.reason, error.remedy) from None
        text: str = encode(joined)
        if len(text) > PAYLOAD_LIMIT:
            reason = f"the variables have {len(text):,} bytes of JSON, the limit is {PAYLOAD_LIMIT:,}"
            raise self.refuse(("params",), reason, "pass large data by reference (a path, an address)")
        return text

    def has_param(self, name: str) -> bool:
        """Return whether the file gives this parameter."""
        own = self._values.get("params", {})
        return isinstance(own, dict) and name in own

    def _some(self, names: Sequence[str]) -> Values:
        return {name: self._values[name] for name in names if name in self._values}


def _located(
    error: TemplateError, reading: _Reading, place: tuple[Document, FieldPath], given: Values, pairs: Sequence[str]
) -> InputError:
    """Return the error with the line or option that caused it."""
    document, within = place
    name, reason = error.variable, reason_of(error)
    if name in given:
        source = next((f"-p {pair[:60]}" for pair in pairs if pair.startswith(f"{name}=")), "params")
        return InputError(reason, error.remedy, source=source, field=name)
    if name and (reading.has_param(name) or reason_of(error).endswith("is missing")):
        return reading.refuse(("params", name), reason, error.remedy)
    if name:
        return document.refuse((*within, "params", name), reason, error.remedy)
    if error.path == ("params",):
        return reading.refuse(error.path, reason, error.remedy)
    return document.refuse((*within, *error.path), reason, error.remedy)


def _check_id(schedule_id: str, *, named: bool) -> str:
    if not is_schedule_id(schedule_id) or not is_visible(schedule_id) or "/" in schedule_id or "@" in schedule_id:
        remedy = f"use 1 to {SCHEDULE_ID_LIMIT} visible characters without spaces, '/' and '@'"
        if not named:
            remedy = f"give another with --id: {remedy}"
        raise InputError(f"invalid schedule id {schedule_id!r}", remedy, field="id")
    return schedule_id
