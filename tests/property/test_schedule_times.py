"""The next time from anywhere is the first of those that the slow way lists; exclusions, jitter and order hold."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from streamsched.domain.calendar.spec import ScheduleSpec
from streamsched.domain.refusal import ScheduleError
from tests.support.wall_oracle import EPOCH, Wall, every_tick, wall_of

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo",
    "Asia/Beirut", "Asia/Kathmandu", "Pacific/Chatham", "Africa/Casablanca", "America/St_Johns", "Asia/Gaza",
    "Antarctica/Troll", "Africa/Monrovia", "America/Santiago", "Pacific/Kwajalein",
)  # fmt: skip
# Around the changes that these zones have, and some quiet days.
DAYS = (
    datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 3, 8, tzinfo=UTC),
    datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 4, 4, tzinfo=UTC), datetime(2026, 10, 3, tzinfo=UTC),
    datetime(2011, 12, 30, tzinfo=UTC), datetime(2018, 11, 4, tzinfo=UTC), datetime(2018, 2, 17, tzinfo=UTC),
    datetime(2028, 2, 28, tzinfo=UTC), datetime(2027, 12, 31, tzinfo=UTC), datetime(1972, 1, 7, tzinfo=UTC),
    datetime(1993, 8, 21, tzinfo=UTC), datetime(2040, 10, 20, tzinfo=UTC), datetime(2026, 2, 15, tzinfo=UTC),
)  # fmt: skip
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


@st.composite
def plain(draw: st.DrawFn, low: int, high: int) -> str:
    """One item of a field: a number, a range (perhaps round), a step."""
    begin, end = draw(st.integers(low, high)), draw(st.integers(low, high))
    step = draw(st.integers(1, max(1, min(high - low - 1, 20))))
    return draw(
        st.sampled_from([f"{begin}", f"{begin}-{end}", f"{begin}-{end}/{step}", f"{begin}/{step}", f"*/{step}"])
    )


def field(low: int, high: int, *more: str) -> st.SearchStrategy[str]:
    items = st.one_of(plain(low, high), st.sampled_from(more)) if more else plain(low, high)
    return st.one_of(st.just("*"), st.lists(items, min_size=1, max_size=3).map(",".join))


TIME = {"minute": field(0, 59), "hour": st.one_of(field(0, 23), st.sampled_from(["0", "1-3", "2", "0-2", "23"]))}
DATE = {
    "day_of_month": st.one_of(st.sampled_from(["*", "?"]), field(1, 31, "L", "L-2", "LW", "15W", "1W", "31W")),
    "month": st.one_of(st.just("*"), field(1, 12)),
    "day_of_week": st.one_of(
        st.sampled_from(["*", "?", "MON-FRI", "SAT,SUN", "FRI-MON"]), field(0, 7, "FRIL", "5#3", "SUN#1", "7L", "MON#5")
    ),
}
FIELDS = TIME | DATE
CRONS = st.builds(" ".join, st.tuples(*FIELDS.values()))
WITH_SECONDS = st.builds(lambda second, rest: f"{second} {rest} *", st.sampled_from(["0", "30", "*/20", "59"]), CRONS)
CALENDARS = st.fixed_dictionaries({}, optional=FIELDS | {"second": st.sampled_from(["0", "30", "*/20"])})
WALLS = st.fixed_dictionaries(
    {},
    optional={
        "cron": st.lists(st.one_of(CRONS, WITH_SECONDS, st.sampled_from(["@daily", "@hourly", "@weekly"])), max_size=2),
        "calendars": st.lists(CALENDARS, max_size=2),
    },
)
MONTHS = st.sampled_from(["3", "10", "11,12", "2-4", "JAN-FEB"])
# In some months only, for a spec of which nothing is left is refused.
EXCLUDED = st.fixed_dictionaries(
    {},
    optional={
        "cron": st.lists(st.builds(" ".join, st.tuples(*(FIELDS | {"month": MONTHS}).values())), max_size=2),
        "calendars": st.lists(
            st.builds(lambda calendar, month: calendar | {"month": month}, CALENDARS, MONTHS), max_size=2
        ),
    },
)
RULES = {
    "zone": st.sampled_from(ZONES),
    "gap": st.sampled_from(["skip", "shift"]),
    "fold": st.sampled_from(["first", "second", "both"]),
    "day_match": st.sampled_from(["or", "and"]),
}
SPECS = st.builds(
    lambda walls, more: walls | more,
    WALLS,
    st.fixed_dictionaries(
        {},
        optional=RULES
        | {
            "interval": st.sampled_from(["7m", "90m/11m", "1h30m/45m", "1d/13h", "2500s"]),
            "exclude": EXCLUDED,
        },
    ),
)


def made(value: Any) -> ScheduleSpec:
    try:
        return ScheduleSpec.from_mapping(value)
    except ScheduleError as error:
        assume(not any(word in error.reason for word in ("never", "no times")))
        raise


def ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


@given(SPECS, st.sampled_from(DAYS), st.integers(-3 * 86_400, 86_400), st.integers(1, 12))
@example({"cron": ["30 2 * * *"], "zone": "Europe/Berlin"}, DAYS[0], 0, 3)
@example({"cron": ["30 2 * * *"], "zone": "Australia/Lord_Howe", "fold": "second"}, DAYS[4], 0, 3)
@example({"cron": ["0 12 * * *", "0 0 * * *"], "zone": "Pacific/Apia"}, DAYS[6], -86_400, 5)
@example({"cron": ["*/30 * * * *"], "exclude": {"cron": ["30 2 * * *"]}, "zone": "Europe/Berlin"}, DAYS[1], 0, 2)
@example({"cron": ["30 2 * * *"], "exclude": {"cron": ["30 2 * * *"]}, "interval": "1h"}, DAYS[0], 0, 2)
@settings(max_examples=150)
def test_the_times_are_those_of_the_slow_way(value: dict[str, Any], around: datetime, shift: int, days: int) -> None:
    spec = made(value)
    begin = around + timedelta(seconds=shift)
    crowded = len(list(islice(spec.between(ms(begin), ms(begin) + 86_400_000), 200))) == 200
    end = begin + timedelta(days=1 if crowded else days)
    expected = list(map(ms, every_tick(value, begin, end)))
    assert list(spec.between(ms(begin), ms(end))) == expected
    for nominal, following in pairwise(expected[:20]):
        assert spec.next_after(nominal) == following
        assert spec.next_after(following - 1) == following
        assert spec.next_after((nominal + following) // 2) == following


@given(SPECS, st.sampled_from(DAYS), st.integers(-2 * 86_400, 86_400))
@settings(max_examples=60)
def test_what_is_excluded_never_comes_and_time_goes_on(value: dict[str, Any], around: datetime, shift: int) -> None:
    spec = made(value)
    at = ms(around) + shift * 1000
    exclude = value.get("exclude", {})
    out = [wall_of(entry, value, whole=True) for name in ("cron", "calendars") for entry in exclude.get(name, [])]
    for _ in range(30):
        found = spec.next_after(at)
        if found is None:
            break
        assert found > at
        moment = EPOCH + timedelta(milliseconds=found)
        assert not any(wall.has(moment) for wall in out if isinstance(wall, Wall))
        at = found


@given(SPECS, st.sampled_from(["0s", "1s", "5m", "3h", "2d"]), st.text(max_size=9), st.sampled_from(DAYS))
@settings(max_examples=60)
def test_jitter_is_the_same_for_all_and_keeps_the_order(
    value: dict[str, Any], jitter: str, name: str, around: datetime
) -> None:
    spec = made(value | {"jitter": jitter})
    again = ScheduleSpec.from_json(spec.to_json())
    at, before = ms(around), 0
    for _ in range(10):
        found = spec.next_after(at)
        if found is None:
            break
        due = spec.due(name, found)
        assert due == again.due(name, found)
        assert found <= due < found + max(1, spec.jitter_ms)
        assert due > before
        at, before = found, due


@given(SPECS)
@settings(max_examples=60)
def test_a_spec_is_the_same_from_its_canonical_text(value: dict[str, Any]) -> None:
    spec = made(value)
    again = ScheduleSpec.from_json(spec.to_json())
    assert again == spec
    assert again.to_json() == spec.to_json()
    assert json.loads(spec.to_json()) == spec.to_mapping()


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["cron", "every", "hour", "calendars", "zone", "x"]), inner),
                    max_leaves=8))  # fmt: skip
@settings(max_examples=200)
def test_anything_else_is_refused_by_a_schedule_error(value: Any) -> None:
    for entry in (value, *({name: value} for name in (*RULES, "cron", "interval", "exclude", "start", "jitter"))):
        with suppress(ScheduleError):
            assert ScheduleSpec.from_mapping(entry).next_after(0) is not None


@given(st.text("0123456789*/-,LW#?@ MONFRISAT=", max_size=16))
@settings(max_examples=300)
def test_no_text_breaks_the_reading_of_cron(text: str) -> None:
    for cron in (text, f"{text} * * * *", f"0 0 {text} * *", f"0 0 * * {text}"):
        with suppress(ScheduleError):
            assert ScheduleSpec.from_mapping({"cron": cron}).next_after(0) is not None
