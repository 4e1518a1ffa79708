"""The agenda and the flights of a decider."""

from __future__ import annotations

from itertools import islice
from types import SimpleNamespace

from streamsched.domain.events import TimerFired
from streamsched.scheduler.decisions import Agenda, Decision, InFlight


def decision(key: str, event_id: bytes, home: int = 0, **reserves: int) -> Decision:
    events = tuple(TimerFired(each, 1, "me", key, 1) for each in (b"first", event_id))
    state = SimpleNamespace(void=3)
    partitions = {int(name.removeprefix("p")): count for name, count in reserves.items()}
    return Decision(key=key, home=home, state=state, events=events, reserves=partitions)


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


def test_a_key_is_delayed_until_its_time_or_until_that_is_taken_back() -> None:
    agenda = Agenda()
    agenda.delay("a", 1_000)
    agenda.touched.update(dict.fromkeys("ab"))
    assert list(agenda.take(999)) == ["a", "b"]
    assert agenda.delayed == {"a"}
    assert agenda.wait(999, 5.0) == 0.001
    assert list(agenda.take(1_000)) == ["a"]
    assert not agenda.delayed
    agenda.delay("a", 2_000)
    agenda.at("a", None)
    assert not agenda.delayed


def test_a_decision_is_in_flight_until_its_last_event_is_read_back() -> None:
    flights = InFlight()
    flights.add(decision("a", b"last", p1=2, p3=1))
    flights.add(decision("b", b"other", home=1, p1=5))
    assert flights.reserved() == {"a": {1: 2, 3: 1}, "b": {1: 5}}
    flights.landed("a", b"first", 3)
    assert "a" in flights
    flights.landed("a", b"last", 3)
    assert "a" not in flights
    assert flights.reserved() == {"b": {1: 5}}


def test_refusals_are_counted_until_a_decision_has_an_effect() -> None:
    flights = InFlight()

    def landed(*voids: int) -> int:
        flights.add(decision("a", b"last"))
        *between, last = voids
        assert not any(flights.landed("a", b"another", void) for void in between)
        return flights.landed("a", b"last", last)

    assert [landed(4), landed(4, 5), landed(4)] == [1, 2, 3]
    assert landed(4, 4) == 0, "what had no effect is another's event"
    assert landed(4) == 1
    flights.lost({7})
    assert landed(4) == 1, "another scheduler has decided since"


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
    assert flights.reserved() == {"c": {2: 1}}


def test_times_that_were_replaced_or_taken_back_do_not_pile_up() -> None:
    agenda = Agenda()
    for number in range(10_000):
        agenda.at(f"task-{number}", 1_000_000 + number)
        if number >= 10:
            agenda.at(f"task-{number}", None)
    assert len(agenda._due) < 2_000
    assert sorted(agenda.take(2_000_000)) == [f"task-{number}" for number in range(10)]
