"""What the outside sees of nodes: their health, and metrics that are those of a real small run."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamsched.commands.request import make_request, want
from streamsched.domain.errors import InputError
from streamsched.hosting import extra
from streamsched.hosting.gauges import Names
from streamsched.hosting.health import LIVE_S, Health
from streamsched.hosting.watch import JournalMeter, Watch, watching
from streamsched.installation.settings import Settings
from streamsched.log.port import Append, TopicPartition
from streamsched.runtime import metrics
from tests.support.mini_cluster import MiniCluster

SETTINGS = Settings(http_port=0)
TEMPLATE = {
    "name": "t", "split": {"range": {"first": 1, "last": "${n}", "size": 1}}, "child": {"handler": "m:f"},
    "params": {"n": {"type": "integer", "default": 30}},
}  # fmt: skip


def ask(watched: Watch, path: str) -> tuple[int, str]:
    _, _, port = watched.place.rpartition(":")
    connection = HTTPConnection("127.0.0.1", int(port), timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Site:
    """A cluster that is watched."""

    def __init__(self, watched: Watch) -> None:
        self.watched = watched
        self.mini = MiniCluster(2, 2, room=10)
        watched.scheduler(self.mini.scheduler, self.mini.clock.now)
        watched.worker(self.mini.worker)

    def submit(self, task_id: str, template: dict[str, Any] | None = None, **params: Any) -> None:
        request = make_request(self.mini.me, want(template or TEMPLATE, params, task_id=task_id), "test")
        self.mini.log.append([self.mini.records.journal(request, task_id)])

    def ask(self, path: str) -> tuple[int, str]:
        return ask(self.watched, path)

    def values(self) -> dict[tuple[str, ...], float]:
        """Read all metrics, by name and the values of their labels in the order of the labels' names."""
        status, text = self.ask("/metrics")
        assert status == 200
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def site() -> Iterator[Site]:
    with watching(SETTINGS) as watched:
        yield Site(watched)


def test_metrics_are_those_of_the_run(site: Site) -> None:
    mini = site.mini
    site.submit("job")
    mini.turn(200)
    assert mini.phase("job") == "succeeded"
    values = site.values()
    assert values["streamsched_children_ended_total", "completed"] == 30
    assert values["streamsched_children_ended_total", "failed"] == 0
    assert values["streamsched_run_seconds_count",] == 30
    assert values["streamsched_wait_seconds_count",] == 30
    assert values["streamsched_tasks_ended_total", "succeeded"] == 1
    assert values["streamsched_decisions_total",] >= 2
    assert values["streamsched_claims_total",] == 4
    assert values["streamsched_fenced_writers_total",] == 0
    assert values["streamsched_partitions", "scheduler", "ready"] == 2
    assert values["streamsched_partitions", "scheduler", "folding"] == 0
    assert values["streamsched_partitions", "worker", "ready"] == 2
    assert values["streamsched_slots", "free"] == 2
    assert values["streamsched_slots", "used"] == 0
    assert values["streamsched_children_live",] == 0
    assert values["streamsched_remaining_work_seconds",] == values["streamsched_desired_slots",] == 0
    assert values["streamsched_commit_seconds_count",] > 2
    assert values["streamsched_view_flush_seconds_count",] >= 1
    assert not [key for key in values if key[0] == "streamsched_tasks"], "none has not ended"


def test_metrics_of_what_is_to_be_done_are_read_when_they_are_asked_for(site: Site) -> None:
    site.mini.worker.drain()
    site.mini.turn(10)
    site.submit("job", n=600)
    for _ in range(50):
        site.mini.scheduler.step(0.0)
        site.mini.clock.advance(0.01)
    values = site.values()
    states = ("waiting", "dispatched", "succeeded", "failed", "cancelled")
    children = {state: values["streamsched_children", state, "t"] for state in states}
    task = site.mini.scheduler.view.active["job"]
    assert children == {"waiting": task.idle, "dispatched": task.live, "succeeded": 0, "failed": 0, "cancelled": 0}
    assert sum(children.values()) == 600
    assert values["streamsched_tasks", "running"] == 1
    assert values["streamsched_remaining_work_seconds",] == 600
    assert values["streamsched_desired_slots",] == 2


def test_templates_beyond_the_first_hundred_are_one(site: Site) -> None:
    names = Names(2)
    assert [names.of(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]
    for number in range(110):
        site.submit(f"job-{number}", {**TEMPLATE, "name": f"t{number}"})
    site.mini.scheduler.step(0.0)
    told = {key[2] for key in site.values() if key[0] == "streamsched_children"}
    assert len(told) == 101
    assert "other" in told


def test_ticks_and_their_delay_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.scheduler.test_ticker import Clockwork

    sink = metrics.Recorded()
    metrics.use(sink)
    try:
        clockwork = Clockwork()
        scheduler = clockwork.start()
        clockwork.schedule()
        clockwork.run(scheduler, 5)
        assert sink.values["streamsched_ticks_total", "fired"] >= 1
        assert sink.values["streamsched_ticks_total", "skipped"] >= 1
        delays = sink.observed["streamsched_tick_delay_seconds",]
        assert len(delays) == sink.values["streamsched_ticks_total", "fired"]
        assert all(0 <= delay <= 0.2 for delay in delays), "of the clock that the test moves"
    finally:
        metrics.use(None)


def test_what_is_set_aside_is_told(site: Site) -> None:
    site.mini.log.append(
        [
            Append("streamsched.events", 0, b"x", b"rubbish", ()),
        ]
    )
    site.mini.log.append([Append("streamsched.children", 0, b"x", b"rubbish", ())])
    site.mini.turn(100)
    assert len(site.mini.dead_letters()) == 2
    values = site.values()
    assert values["streamsched_dead_letters_total", "events"] == 1
    assert values["streamsched_dead_letters_total", "children"] == 1


def test_the_journal_is_measured(site: Site) -> None:
    mini, log = site.mini, site.mini.cluster.connect("meter")
    meter = JournalMeter(log, mini.topics, mini.scheduler, mini.clock)
    meter.step()
    assert site.values()["streamsched_journal_lag_records",] == 0
    for number in range(7):
        mini.submit(f"job-{number}")
    meter.step()
    assert site.values()["streamsched_journal_lag_records",] == 7
    mini.turn(50)
    meter.step()
    values = site.values()
    assert values["streamsched_journal_lag_records",] == values["streamsched_stable_offset_age_seconds",] == 0


def test_what_holds_readers_back_has_an_age(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    mini, log = site.mini, site.mini.cluster.connect("meter")
    place = TopicPartition(mini.topics.events, 0)
    held = {place: 3}
    monkeypatch.setattr(log, "held", lambda places, groups: held)
    meter = JournalMeter(log, mini.topics, mini.scheduler, mini.clock)
    for offset, age in ((3, 0), (3, 5), (4, 0), (4, 5)):
        held[place] = offset
        meter.step()
        assert site.values()["streamsched_stable_offset_age_seconds",] == age
        mini.clock.advance(5)
    held.clear()
    meter.step()
    assert site.values()["streamsched_stable_offset_age_seconds",] == 0


def test_a_node_is_ready_when_it_has_what_is_its_own_and_is_not_drained() -> None:
    with watching(SETTINGS) as watched:
        assert ask(watched, "/readyz") == (503, "not ready: it starts\n")
        assert ask(watched, "/livez") == (200, "live\n")
        site = Site(watched)
        assert site.ask("/readyz") == (200, "ready\n")
        watched.scheduler(site.mini.new_scheduler(site.mini.view), site.mini.clock.now)
        assert site.ask("/readyz")[0] == 503
    with watching(SETTINGS) as watched:
        site = Site(watched)
        site.mini.worker.drain()
        site.mini.worker.step(0.0)
        assert site.ask("/readyz") == (503, f"not ready: {site.mini.worker.unready}\n")
        assert site.mini.worker.unready.startswith("it is ")


def test_a_loop_that_hangs_is_not_live_and_one_that_waits_for_the_log_is(site: Site) -> None:
    mini = site.mini
    mini.clock.advance(LIVE_S - 1)
    mini.turn(1)
    assert site.ask("/livez")[0] == 200
    mini.clock.advance(LIVE_S + 1)
    assert site.ask("/livez")[0] == 503
    mini.scheduler.waiting()
    mini.worker.waiting()
    assert site.ask("/livez")[0] == 200


def test_without_a_port_nothing_is_shown() -> None:
    with watching(Settings()) as watched:
        assert (watched.on, watched.place, metrics.in_use()) == (False, "", False)
        mini = MiniCluster()
        watched.scheduler(mini.scheduler, mini.clock.now)
        assert watched.services(mini.scheduler, Settings()) == []


def test_without_the_package_it_is_wrong_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda name: None)
    extra.check_extra(Settings())
    with pytest.raises(InputError, match=r"--http-port: .*prometheus-client.*streamsched\[metrics\]"):
        extra.check_extra(SETTINGS)


def test_health_of_no_node_is_that_it_starts() -> None:
    health = Health()
    assert (health.live().status, health.ready().status) == (200, 503)
