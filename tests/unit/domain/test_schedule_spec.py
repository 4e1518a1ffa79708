"""A schedule's mapping: what it may hold, what is refused and how, and the text it becomes."""

from __future__ import annotations

import struct
import time
from importlib.resources import files
from itertools import islice, pairwise
from typing import Any, Final

import pytest

from streamsched.domain import duration
from streamsched.domain.calendar import moment, zone
from streamsched.domain.calendar.spec import ScheduleSpec
from streamsched.domain.refusal import ScheduleError

NEW_YEAR = 1_767_225_600_000
"""2026-01-01T00:00:00Z"""


WRONG: Final[list[tuple[Any, str]]] = [
    ([], "schedule: must be an object; write name: value lines under it"),
    ({}, "schedule: there are no times; add cron, calendars or interval"),
    ({"crom": "@daily"}, "crom: unknown field crom; did you mean cron?"),
    ({"cron": None}, "cron: is empty; give it a value, or remove the line"),
    ({"cron": 5}, 'cron: 5 is not a cron string; write "0 3 * * *", in quotes'),
    ({"cron": ["@daily", "* * * *"]}, "cron[1]: '* * * *' has 4 fields; write minute hour day month weekday"),
    ({"cron": "60 * * * *"}, "cron.minute: 60 is not between 0 and 59; correct the number"),
    ({"cron": "* * 0 * *"}, "cron.day_of_month: 0 is not between 1 and 31"),
    ({"cron": "* * * * 8"}, "cron.day_of_week: 8 is not between 0 and 6"),
    ({"cron": "* * * * MOM"}, "cron.day_of_week: 'MOM' is not a valid day of week; did you mean MON?"),
    ({"cron": "* * * JUM *"}, "cron.month: 'JUM' is not a valid month; did you mean JUN?"),
    ({"cron": "* * * * L"}, "cron.day_of_week: 'L' is not a valid day of week; write SAT, or the last of which"),
    ({"cron": "0 0 12 * * ?"}, "cron.year: '?' is not a valid year; ? stands in day fields only; six fields"),
    ({"cron": "*/90 * * * *"}, "cron.minute: a step of 90 is not between 1 and 59; @every or an interval"),
    ({"cron": "*/0 * * * *"}, "cron.minute: a step of 0"),
    ({"cron": "1,,2 * * * *"}, "cron.minute: '' is not a valid minute"),
    ({"cron": "*-5 * * * *"}, "cron.minute: '*-5' is not a valid minute"),
    ({"cron": "0 0 L-31 * *"}, "cron.day_of_month: no month has a day L-31"),
    ({"cron": "0 0 1 1 * 2030-2026"}, "cron.year: 2030-2026 ends before it begins; write the earlier year first"),
    ({"cron": "0 0 1 1 * 1969"}, "cron.year: 1969 is not between 1970 and 2199"),
    ({"cron": "@dayly"}, "cron: '@dayly' is not a short form; did you mean @daily?"),
    ({"cron": "@reboot"}, "cron: @reboot is not a time"),
    ({"cron": "@every"}, "cron: '@every' is not a short form; write @every 15m or @every 15m/3m"),
    ({"cron": "@every x"}, "cron: 'x' is not a duration; write 30s, 15m, 1h30m or 1d"),
    ({"cron": "0 0 30 2 *"}, "cron: never comes: none of its months has such a day"),
    ({"cron": "0 0 31 4,6,9,11 *"}, "cron: never comes"),
    ({"cron": "CRON_TZ=UTC @daily", "zone": "UTC"}, "cron: names the zone UTC, and the field zone names UTC; keep"),
    ({"cron": "CRON_TZ=Nowhere @daily"}, "cron: there is no zone 'Nowhere'; write an IANA name"),
    ({"cron": "@daily", "zone": "Europe/Berln"}, "zone: there is no zone 'Europe/Berln'; did you mean"),
    ({"cron": "@daily", "zone": "berlin"}, "zone: there is no zone 'berlin'; did you mean Europe/Berlin?"),
    ({"cron": "@daily", "zone": "new york"}, "zone: there is no zone 'new york'; did you mean America/New_York"),
    ({"cron": "@daily", "zone": "../UTC"}, "zone: there is no zone '../UTC'"),
    ({"cron": "@daily", "zone": 1}, "zone: must be a string, not 1; put it in quotes"),
    ({"interval": "500ms"}, "interval.every: 500ms is under a second; write 1s or more"),
    ({"interval": "15m/15m"}, "interval.phase: 15m is not below the interval of 15m"),
    ({"interval": [{"every": "1h"}, {"phase": "1m"}]}, "interval[1]: every is missing; write {every: 15m}"),
    ({"interval": {"every": "1h", "phas": 1}}, "interval.phas: unknown field phas; did you mean phase?"),
    ({"calendars": "@daily"}, "calendars: '@daily' is not a calendar; write {hour: 3, minute: 30}"),
    ({"calendars": {"hours": 3}}, "calendars.hours: unknown field hours; did you mean hour?"),
    ({"calendars": [{"hour": 24}]}, "calendars.hour: 24 is not between 0 and 23"),
    ({"calendars": {"hour": []}}, "calendars.hour: the list is empty"),
    ({"calendars": {"hour": True}}, "calendars.hour: True is not a valid hour"),
    ({"calendars": {"hour": ""}}, "calendars.hour: '' is not a valid hour"),
    ({"calendars": {"month": 2, "day_of_month": 30}}, "calendars: never comes"),
    ({"cron": "@daily", "gap": "shfit"}, "gap: 'shfit' is unknown; did you mean shift?"),
    ({"cron": "@daily", "fold": ["both"]}, "fold: ['both'] is unknown; did you mean both?"),
    ({"cron": "@daily", "day_match": "xor"}, "day_match: 'xor' is unknown; did you mean or?"),
    ({"cron": "@daily", "start": "2026-01-01"}, "start: '2026-01-01' is not a time with an offset (RFC 3339)"),
    ({"cron": "@daily", "end": "2026-02-30T00:00:00Z"}, "end: '2026-02-30T00:00:00Z' is not a time"),
    ({"cron": "@daily", "start": "2300-01-01T00:00:00Z"}, "start: is not between 1970 and 2199"),
    (
        {"cron": "@daily", "start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"},
        "end: is before the start; exchange them, or correct one",
    ),
    (
        {"cron": "@daily", "start": "2026-01-01T01:00:00Z", "end": "2026-01-01T02:00:00Z"},
        "schedule: never fires: nothing is left between start and end",
    ),
    ({"cron": "@daily", "exclude": {"calendars": {}}}, "schedule: never fires"),
    ({"cron": "@daily", "exclude": {"cron": "@every 5m"}}, "exclude.cron: an interval cannot be excluded"),
    ({"cron": "@daily", "exclude": {"corn": "@daily"}}, "exclude.corn: unknown field corn; did you mean cron?"),
    ({"cron": "@daily", "exclude": {"cron": "0 61 * * *"}}, "exclude.cron.hour: 61 is not between 0 and 23"),
    ({"cron": "@daily", "jitter": "soon"}, "jitter: 'soon' is not a duration; write 30s, 15m or 1h30m"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "message"), WRONG, ids=str)
def test_what_cannot_be_is_refused_with_field_cause_and_remedy(value: Any, message: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        ScheduleSpec.from_mapping(value)
    said = str(caught.value)
    assert said.replace("[0]", "").startswith(message)
    assert caught.value.remedy
    assert "\n" not in said


def test_canonical_text() -> None:
    value = {
        "cron": "0  3 * * mon", "calendars": {"hour": [3, 4], "day_of_week": "mon-fri"}, "interval": "90m/3m",
        "exclude": {"calendars": {"month": 12}}, "start": "2026-01-01T01:00:00+01:00", "zone": "Europe/Berlin",
        "jitter": 90, "gap": "skip",
    }  # fmt: skip
    spec = ScheduleSpec.from_mapping(value)
    assert spec.to_json() == (
        '{"calendars":[{"day_of_week":"MON-FRI","hour":"3,4"}],"cron":["0 3 * * mon"],'
        '"exclude":{"calendars":[{"month":"12"}]},"gap":"skip","interval":[{"every":"1h30m","phase":"3m"}],'
        '"jitter":"1m30s","start":"2026-01-01T00:00:00Z","zone":"Europe/Berlin"}'
    )
    assert ScheduleSpec.from_json(spec.to_json()) == spec
    for text in ("", "{", "[1]", "[" * 100_000, '{"cron":"@daily","x":1}'):
        with pytest.raises(ScheduleError):
            ScheduleSpec.from_json(text)


def test_between_holds_its_begin_and_not_its_end() -> None:
    spec = ScheduleSpec.from_mapping({"cron": "@hourly"})
    hour = 3_600_000
    assert list(spec.between(NEW_YEAR, NEW_YEAR + 2 * hour)) == [NEW_YEAR, NEW_YEAR + hour]
    assert list(spec.between(NEW_YEAR, NEW_YEAR)) == []
    assert list(spec.between(NEW_YEAR + 1, NEW_YEAR + hour)) == []
    assert list(islice(spec.between(-(10**15), 10**15), 1)) == [0]
    assert spec.next_after(10**15) is None


def test_home_is_the_zone_that_people_think_of() -> None:
    assert ScheduleSpec.from_mapping({"cron": "@daily", "zone": "Asia/Tokyo"}).home == "Asia/Tokyo"
    assert ScheduleSpec.from_mapping({"cron": ["@daily", "TZ=Asia/Tokyo @daily"]}).home == "Asia/Tokyo"
    assert ScheduleSpec.from_mapping({"interval": "1h"}).home == "UTC"


def test_jitter_spreads_below_its_bound_and_below_the_next_time() -> None:
    spec = ScheduleSpec.from_mapping({"cron": "* * * * *", "jitter": "30s"})
    delays = {spec.due(f"schedule-{number}", NEW_YEAR) - NEW_YEAR for number in range(500)}
    assert len(delays) > 450
    assert min(delays) < 1_500
    assert 28_500 < max(delays) < 30_000
    wide = ScheduleSpec.from_mapping({"cron": "* * * * *", "jitter": "1d"})
    assert max(wide.due(f"schedule-{number}", NEW_YEAR) for number in range(500)) < NEW_YEAR + 60_000
    assert ScheduleSpec.from_mapping({"cron": "* * * * *"}).due("x", NEW_YEAR) == NEW_YEAR


def test_the_delay_of_a_tick_is_the_same_for_ever() -> None:
    spec = ScheduleSpec.from_mapping({"cron": "@daily", "jitter": "1h"})
    assert spec.due("nightly", NEW_YEAR) - NEW_YEAR == 1_391_774, "ticks would move in time"


def test_a_search_does_not_look_at_every_minute() -> None:
    """What would be millions of steps if it did; the bound is far above what it takes."""
    began = time.process_time()
    for cron in ("0 0 29 2 *", "0 0 29 2 MON#5", "0 0 1 1 * 2199", "0 0 L 2 *"):
        spec = ScheduleSpec.from_mapping({"cron": cron, "zone": "America/New_York"})
        assert spec.next_after(NEW_YEAR) is not None
    at: int | None = NEW_YEAR
    often = ScheduleSpec.from_mapping({"cron": "*/5 * * * *", "zone": "Europe/Berlin"})
    for _ in range(10_000):
        assert at is not None
        at = often.next_after(at)
    assert time.process_time() - began < 20


def test_no_zone_changes_and_changes_back_between_two_looks() -> None:
    """The zones' own lists of changes: ``zone.PROBE`` sees each of them since 1970."""
    for name in zone.names():
        data = files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
        skipped, at = struct.unpack(">6l", data[20:44]), 44
        at += skipped[3] * 5 + skipped[4] * 6 + skipped[5] + skipped[2] * 8 + skipped[1] + skipped[0]
        _, _, _, count, kinds, _ = struct.unpack(">6l", data[at + 20 : at + 44])
        at += 44
        times = struct.unpack(f">{count}q", data[at : at + 8 * count])
        kind_of = data[at + 8 * count : at + 9 * count]
        at += 9 * count
        offsets = [struct.unpack(">l", data[at + 6 * kind : at + 6 * kind + 4])[0] for kind in range(kinds)]
        changes = [
            late
            for late, (before, after) in zip(times[1:], pairwise(kind_of), strict=True)
            if offsets[before] != offsets[after] and late > 0
        ]
        assert all(later - earlier > zone.PROBE for earlier, later in pairwise(changes)), name


@pytest.mark.parametrize("milliseconds", [0, 1, 999, 1000, 61_001, 5_400_000, 86_400_000, duration.LONGEST_MS])
def test_a_duration_is_read_as_it_was_written(milliseconds: int) -> None:
    assert duration.read(duration.write(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-01t01:00:00+01:00", NEW_YEAR),
        ("2026-01-01 00:00:00.1239z", NEW_YEAR + 123),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-01-01T00:00:00", None),
        ("2026-01-01", None),
        ("2026-13-01T00:00:00Z", None),
        ("20260101T000000Z", None),
        (5, None),
    ],
)
def test_moments(text: object, milliseconds: int | None) -> None:
    assert moment.read(text) == milliseconds


def test_moments_are_written_with_their_offset() -> None:
    assert moment.write(NEW_YEAR) == "2026-01-01T00:00:00Z"
    assert moment.write(NEW_YEAR + 5, "Asia/Kathmandu") == "2026-01-01T05:45:00.005+05:45"
    assert moment.write(0, "Africa/Monrovia") == "1970-01-01T00:00:00Z", "an offset with seconds is not an RFC 3339"
