"""The worker's second look: what it cannot run comes back, counts no attempt, and waits longer each time."""

from __future__ import annotations

import pytest

from streamsched.domain import events as e
from streamsched.domain.routing import EVERYWHERE, PLAIN, Place
from streamsched.log.port import TopicPartition
from streamsched.worker import jobs
from tests.support.worker_case import Shop, ToldPool


def lacking(key: int, code: jobs.Lack = "import") -> jobs.JobFailed:
    return jobs.JobFailed(
        key=key, started_at=1, finished_at=2, reason="error", error_type="HandlerNotFound", message="no module m",
        traceback="", retryable=False, delay_ms=None, state=None, lack=code,
    )  # fmt: skip


def outcomes(shop: Shop) -> list[e.ChildReturned]:
    found = [event for event in shop.journal() if not isinstance(event, e.ChildStarted)]
    assert all(isinstance(event, e.ChildReturned) for event in found)
    return found  # type: ignore[return-value]


def test_what_is_not_allowed_here_comes_back_and_never_reaches_an_executor() -> None:
    shop, pool = Shop(), ToldPool()
    worker = shop.worker("w", pool, modules=("other", "m.*"))
    shop.dispatch(0, 1, attempt=3)
    shop.turn(worker)
    assert not pool.begun
    for event in outcomes(shop):
        assert event.attempt == 3
        assert event.why is not None
        assert (event.why.code, event.why.node, event.why.retry_after, event.why.begun) == ("module", "w", 0, False)
        assert "start it with --allow m" in event.why.detail
    assert not shop.unsettled()


GPU, ZONE_A = e.Terms(queue="gpu"), e.Terms(needs=(e.Label("zone", "a"),))
GPU_A = e.Terms(queue="gpu", needs=ZONE_A.needs)


@pytest.mark.parametrize(
    ("place", "terms", "code", "says"),
    [
        (PLAIN, GPU, "queue", "this worker serves the queue default, not gpu"),
        (Place(("gpu", "x")), None, "queue", "this worker serves the queue gpu, x, not default"),
        (Place(("gpu",)), e.Terms(key="k"), "queue", "this worker serves the queue gpu, not default"),
        (Place(("gpu",)), GPU_A, "label", "this worker does not have the label zone=a"),
        (Place((), (("zone", "b"),)), ZONE_A, "label", "this worker does not have the label zone=a"),
    ],
)
def test_what_is_of_another_queue_or_needs_another_label_comes_back_and_uses_no_attempt(
    place: Place, terms: e.Terms | None, code: str, says: str
) -> None:
    shop, pool = Shop(), ToldPool()
    shop.dispatch(0, 1, attempt=3, terms=terms)
    shop.turn(shop.worker("w", pool, place=place))
    assert not pool.begun
    for event in outcomes(shop):
        assert (event.attempt, event.why) == (3, e.Why(code, says, "w", 0, False))
    assert not shop.unsettled()


@pytest.mark.parametrize(
    ("place", "terms"),
    [
        (PLAIN, e.Terms(key="k")),
        (Place(("", "gpu")), GPU),
        (Place(("gpu",), (("disk", "large"), ("zone", "a"))), GPU_A),
        (EVERYWHERE, GPU_A),
    ],
)
def test_what_is_of_this_queue_and_these_labels_starts(place: Place, terms: e.Terms) -> None:
    shop, pool = Shop(), ToldPool()
    shop.dispatch(0, 1, terms=terms)
    shop.turn(shop.worker("w", pool, place=place))
    assert len(pool.begun) == 2


def test_a_worker_runs_its_own_task_wherever_that_is_to_run() -> None:
    shop, pool = Shop(), ToldPool()
    shop.dispatch(0, 0, terms=GPU_A)
    shop.turn(shop.worker("w", pool, own=frozenset({"task"})))
    assert len(pool.begun) == 1


@pytest.mark.parametrize("options", ['{"stage":"split"}', '{"new":1}', '{"reduce":{}}', "[", '{"stage":"reduce"}'])
def test_what_has_options_that_only_a_newer_version_knows_comes_back_and_waits(options: str) -> None:
    shop, pool = Shop(), ToldPool()
    worker = shop.worker("w", pool)
    shop.dispatch(0, 0, options=options)
    shop.turn(worker)
    assert not pool.begun
    (event,) = outcomes(shop)
    assert event.why is not None
    assert (event.why.code, event.why.retry_after) == ("version", 1_000)
    assert "upgrade it" in event.why.detail


@pytest.mark.parametrize("modules", [("m.*", "x"), ("$ ./y", "$ ./z/*"), ()])
def test_a_program_that_is_not_allowed_here_comes_back(modules: tuple[str, ...]) -> None:
    shop, pool = Shop(), ToldPool()
    worker = shop.worker("w", pool, modules=modules)
    shop.dispatch(0, 0, handler="$ ./x", options='{"command":{}}')
    shop.turn(worker)
    assert not pool.begun
    (event,) = outcomes(shop)
    assert event.why is not None
    assert (event.why.code, event.why.begun) == ("module", False)
    assert "but not command ./x; start it with --allow-command ./x to allow it" in event.why.detail


@pytest.mark.parametrize("modules", [None, ("m", "$ ./x"), ("$ ./*",)])
def test_a_program_that_is_allowed_starts(modules: tuple[str, ...] | None) -> None:
    shop, pool = Shop(), ToldPool()
    shop.dispatch(0, 0, handler="$ ./x", options='{"command":{}}')
    shop.turn(shop.worker("w", pool, modules=modules))
    assert [job.handler for job in pool.begun] == ["$ ./x"]


@pytest.mark.parametrize("modules", [None, ("m",), ("other", "m")])
def test_what_is_allowed_starts(modules: tuple[str, ...] | None) -> None:
    shop, pool = Shop(), ToldPool()
    shop.dispatch(0, 1)
    shop.turn(shop.worker("w", pool, modules=modules))
    assert len(pool.begun) == 2


def test_what_was_inherited_and_cannot_run_here_comes_back_with_its_checkpoint_and_its_count() -> None:
    shop, pool = Shop(), ToldPool(slots=1)
    dead = shop.worker("dead", pool, modules=("m",))
    shop.dispatch(0, 0)
    shop.turn(dead)
    (job,) = pool.begun
    pool.news.append(jobs.JobCheckpointed(key=job.key, state='"half"', number=1, wait=True))
    shop.turn(dead)
    shop.clock.advance(11)
    shop.turn(shop.worker("next", ToldPool(), modules=("other",)))
    back = shop.journal()[-1]
    assert isinstance(back, e.ChildReturned)
    assert (back.sequence, back.state, back.attempt) == (1, '"half"', 1)
    assert back.recoveries == 1, "it may have taken its last worker down"
    assert not shop.unsettled()


def test_what_cannot_be_imported_comes_back_and_waits_for_longer_each_time() -> None:
    shop, pool = Shop(), ToldPool(slots=2)
    worker = shop.worker("w", pool, modules=("m",))
    waits = []
    for ordinal in range(1, 12):
        shop.dispatch(0, 1, ordinal=ordinal)
        shop.turn(worker, times=3)
        pool.news += [lacking(key) for key in pool.held]
        shop.turn(worker, times=3)
        last = outcomes(shop)[-2:]
        assert [event.ordinal for event in last] == [ordinal] * 2
        waits += sorted({event.why.retry_after for event in last if event.why})
        assert {event.attempt for event in last} == {1}
        shop.clock.advance(waits[-1] / 1000)
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000]


def test_of_a_task_that_nobody_else_would_run_it_fails() -> None:
    shop, pool = Shop(), ToldPool()
    worker = shop.worker("w", pool, own=frozenset({"task"}))
    shop.dispatch(0, 0)
    shop.turn(worker)
    pool.news += [lacking(key) for key in pool.held]
    shop.turn(worker)
    (failed,) = shop.journal()
    assert isinstance(failed, e.ChildFailed)
    assert (failed.error_type, failed.retryable) == ("HandlerNotFound", False)


def test_a_failure_of_the_handler_itself_is_a_failure() -> None:
    shop, pool = Shop(), ToldPool()
    worker = shop.worker("w", pool, modules=("m",))
    shop.dispatch(0, 0)
    shop.turn(worker)
    pool.news += [lacking(key, "") for key in pool.held]
    shop.turn(worker)
    (failed,) = shop.journal()
    assert isinstance(failed, e.ChildFailed)


def test_a_child_that_is_to_stop_is_not_given_back() -> None:
    shop, pool = Shop(), ToldPool()
    worker = shop.worker("w", pool, modules=("m",))
    shop.dispatch(0, 0)
    shop.turn(worker)
    (key,) = pool.held
    stop = shop.me.sign(
        e.ChildrenStopping, task_id="task", releases=(e.Release(0, 0, 1, 0),), reason="enough", basis=0
    )  # fmt: skip
    pool.news.append(lacking(key))
    shop.write(shop.records.work(stop, "task", 0))
    shop.turn(worker)
    (event,) = shop.journal()
    assert isinstance(event, e.ChildCancelled | e.ChildReturned)
    assert not shop.unsettled()


@pytest.mark.parametrize("modules", [None, (), ("m", "p.*"), ("m", "$ ./x", "$ ./t/*")])
def test_beats_announce_what_the_worker_runs(modules: tuple[str, ...] | None) -> None:
    shop = Shop()
    shop.turn(shop.worker("w", ToldPool(), modules=modules))
    reader = shop.log.reader()
    reader.assign({TopicPartition(shop.topics.workers, 0): 0})
    beats = [shop.codec.decode(record) for record in reader.poll(1_000, 0.0)]
    assert {beat.modules for beat in beats if isinstance(beat, e.NodeBeat)} == {modules}


def test_a_worker_that_announces_nothing_writes_the_former_schema() -> None:
    shop = Shop()
    beat = shop.me.sign(
        e.NodeBeat, node_id="w", name="w", role="worker", version="1", state="running", member_id="m",
        transactional_id="t", slots=1, free=1, pending=0, partitions=(0,), running=(), loop_age=0,
    )  # fmt: skip
    assert shop.codec.encode(beat)[2:10].hex() == "c5b7242391e7d87f"
