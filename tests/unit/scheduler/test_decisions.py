"""The agenda and the flights of a decider."""

from __future__ import annotations

from itertools import islice

from streamsched.domain.events import TimerFired
from streamsched.scheduler.decisions import Agenda, Decision, InFlight


def decision(key: str, event_id: bytes, home: int = 0, **reserves: int) -> Decision:
    events = tuple(TimerFired(each, 1, "me", key, 1) for each in (b"first", event_id))
    partitions = {int(name.removeprefix("p")): count for name, count in reserves.items()}
    return Decision(key=key, home=home, state=None, events=events, reserves=partitions)


def test_what_is_touched_is_taken_once_and_in_its_order() -> None:
    agenda = Agenda()
    agenda.touched.update(dict.fromkeys("bca"))
    agenda.touched["b"] = None
    assert list(islice(agenda.take(0), 2)) == ["b", "c"]
    assert agenda.wait(0, 5.0) == 0.0
    agenda.touched["b"] = None
    assert list(agenda.take(0)) == ["a", "b"]
    assert agenda.wait(0, 5.0) == 5.0


def test_a_key_is_looked_at_at_the_time_that_was_noted_last() -> None:
    agenda = Agenda()
    agenda.at("a", 1_000)
    agenda.at("a", 3_000)
    agenda.at("b", 2_000)
    agenda.at("c", 1_500)
    agenda.at("c", None)
    assert agenda.wait(500, 5.0) == 0.5
    assert list(agenda.take(2_500)) == ["b"]
    assert list(agenda.take(3_000)) == ["a"]
    agenda.at("a", 3_000)
    assert list(agenda.take(3_000)) == ["a"], "it may be noted again"
    assert not list(agenda.take(9_000))


def test_a_decision_is_in_flight_until_its_last_event_is_read_back() -> None:
    flights = InFlight()
    flights.add(decision("a", b"last", p1=2, p3=1))
    flights.add(decision("b", b"other", home=1, p1=5))
    assert sorted(flights.reserved()) == [(1, 2), (1, 5), (3, 1)]
    flights.landed("a", b"first")
    assert "a" in flights
    flights.landed("a", b"last")
    assert "a" not in flights
    assert list(flights.reserved()) == [(1, 5)]


def test_what_is_aborted_or_lost_reserves_nothing() -> None:
    flights = InFlight()
    aborted = decision("a", b"last", p1=2)
    flights.add(aborted)
    flights.add(decision("b", b"last", home=1, p1=2))
    flights.add(decision("c", b"last", home=2, p2=1))
    flights.aborted(aborted)
    flights.aborted(aborted)
    flights.lost({1})
    assert list(flights) == ["c"]
    assert list(flights.reserved()) == [(2, 1)]
