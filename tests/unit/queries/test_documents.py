"""Times in statuses: aware datetimes for Python, RFC 3339 in documents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streamsched.domain.errors import InputError
from streamsched.queries.documents import Time, millis_of
from streamsched.queries.ledger import Nominal
from streamsched.queries.schedule_status import LocalTime


@pytest.mark.parametrize("millis", [0, 1, 999, 1_764_374_191_123, (1 << 47) - 1])
def test_a_time_is_an_aware_datetime_of_exactly_these_milliseconds(millis: int) -> None:
    for time in (Time.at(millis), Nominal.at(millis), LocalTime.there(millis, "Europe/Berlin")):
        assert isinstance(time, datetime)
        assert time == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)
        assert millis_of(time) == millis


def test_each_kind_is_shown_in_its_way() -> None:
    assert (Time.at(5).shown(), Nominal.at(5).shown()) == ("1970-01-01T00:00:00.005Z",) * 2
    assert (Time.at(0).shown(), Nominal.at(0).shown()) == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z")
    winter, summer = (
        LocalTime.there(millis_of(datetime(2026, 10, 25, hour, tzinfo=UTC)), "Europe/Berlin") for hour in (1, 0)
    )
    assert (summer.shown(), winter.shown()) == ("2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00")
    assert (summer.hour, winter.hour, winter > summer) == (2, 2, False)  # of one zone, Python compares wall times
    assert winter - summer.astimezone(UTC) == timedelta(hours=1)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match="has no zone; give one with a zone"):
        millis_of(datetime(2026, 1, 1))  # noqa: DTZ001
    assert millis_of(7) == 7
