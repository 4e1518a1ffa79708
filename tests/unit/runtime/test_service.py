"""Services run beside a node until it has left, and begin anew when they fail."""

from __future__ import annotations

import gc
import logging
from threading import Event, current_thread

import pytest

from streamsched.log.port import LogUnreachable
from streamsched.runtime import service
from streamsched.runtime.service import NEW_OBJECTS, Service, collect_less, serve


class Turning:
    """A node that turns until its service has done what the test waits for."""

    def __init__(self, until: Event) -> None:
        self.until = until
        self.left = False

    @property
    def stopped(self) -> bool:
        return self.until.is_set()

    def step(self, timeout: float) -> bool:
        return self.until.wait(0.1)

    def stop(self) -> None:
        self.left = True


def test_a_service_runs_in_a_thread_of_its_own_until_the_node_has_left() -> None:
    begun = Event()
    node = Turning(begun)
    seen: list[tuple[str, bool]] = []

    def work(stop: Event) -> None:
        begun.set()
        assert stop.wait(10)
        seen.append((current_thread().name, node.left))

    serve(node, [Service("working", work)], on_turn=lambda: None, timeout=0.0)
    assert seen == [("working", True)]


def test_a_service_that_fails_begins_anew(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(service, "BEGIN_ANEW_S", 0.01)
    tries: list[Exception] = [LogUnreachable("no answer"), ValueError("a bug")]
    done = Event()

    def work(stop: Event) -> None:
        if tries:
            raise tries.pop(0)
        done.set()
        stop.wait(10)

    with caplog.at_level(logging.WARNING):
        serve(Turning(done), [Service("working", work)], on_turn=lambda: None, timeout=0.0)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["working failed, will start again: no answer", "working failed, will start again"]


def test_services_end_also_where_the_node_fails() -> None:
    ended = Event()

    def work(stop: Event) -> None:
        stop.wait(10)
        ended.set()

    def fail() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        serve(Turning(Event()), [Service("working", work)], on_turn=fail, timeout=0.0)
    assert ended.is_set()


def test_a_collection_looks_only_at_what_came_later() -> None:
    before, thresholds = [object()], gc.get_threshold()
    collect_less()
    try:
        after = [object()]
        looked_at = set(map(id, gc.get_objects()))
        assert (id(before) in looked_at, id(after) in looked_at) == (False, True)
        assert gc.get_threshold()[0] == NEW_OBJECTS
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
