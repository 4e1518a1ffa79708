"""Times that must stay as they are, of every syntax and around every kind of clock change.

A line of ``schedules.csv`` is a spec (a cron string, or a mapping in JSON), a zone, a moment, the next times strictly
after it (``never``: and no more), and what documentation or fact it comes from. The times are not the domain's own:
``tests/support/wall_oracle.py`` worked them out, and finds them again here.
"""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from streamsched.domain.calendar import moment
from streamsched.domain.calendar.spec import ScheduleSpec
from tests.support.wall_oracle import EPOCH, every_tick

with Path(__file__).with_name("schedules.csv").open(newline="") as file:
    LINES: Final = list(csv.DictReader(file))
FAR: Final = timedelta(days=4_000)
LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)


def mapping(line: dict[str, str]) -> dict[str, Any]:
    value = json.loads(line["spec"]) if line["spec"].startswith("{") else {"cron": line["spec"]}
    return value | ({"zone": line["zone"]} if line["zone"] else {})


def test_there_are_many() -> None:
    assert len(LINES) >= 300
    assert len({(line["spec"], line["zone"], line["after"]) for line in LINES}) == len(LINES)


@pytest.mark.parametrize("line", LINES, ids=[f"{line['spec']} {line['zone']}" for line in LINES])
def test_the_next_times(line: dict[str, str]) -> None:
    spec = ScheduleSpec.from_mapping(mapping(line))
    at = moment.read(line["after"])
    found = []
    for _ in line["next"].split():
        assert at is not None
        at = spec.next_after(at)
        found.append("never" if at is None else moment.write(at, spec.home if line["zone"] else "UTC"))
    assert " ".join(found) == line["next"], line["why"]


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES, ids=[f"{line['spec']} {line['zone']}" for line in LINES])
def test_the_slow_way_finds_them_too(line: dict[str, str]) -> None:
    times = [datetime.fromisoformat(word).astimezone(UTC) for word in line["next"].split() if word != "never"]
    begin = max(datetime.fromisoformat(line["after"]), EPOCH - timedelta(milliseconds=1)) + timedelta(milliseconds=1)
    end = times[-1] + timedelta(milliseconds=1) if times else begin
    if "never" in line["next"]:
        end = min(end + FAR, LAST)
    assert every_tick(mapping(line), begin, end) == times, line["why"]
