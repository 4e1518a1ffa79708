"""From a schedule file to its times, or to one located error."""

from __future__ import annotations

from pathlib import Path

from streamsched.api.source import read_document
from streamsched.domain.calendar.spec import ScheduleSpec
from streamsched.domain.refusal import ScheduleError


def load_spec(path: Path) -> ScheduleSpec:
    """Read the mapping ``schedule`` of a file. Raise InputError with file, line, field, reason and remedy."""
    document = read_document(path)
    if not isinstance(document.value, dict) or "schedule" not in document.value:
        raise document.refuse((), "there is no schedule in it", "write schedule: and its fields under it")
    try:
        return ScheduleSpec.from_mapping(document.value["schedule"])
    except ScheduleError as error:
        raise document.refuse(("schedule", *error.path), error.reason, error.remedy) from None
