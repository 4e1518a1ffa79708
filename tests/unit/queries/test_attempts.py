"""The attempts at a child, whatever becomes of its workers: read backwards, in however many parts."""

from __future__ import annotations

from unittest import mock

import pytest

from streamsched import ChildContext
from streamsched.domain import events as e
from streamsched.queries import attempts as module
from streamsched.queries.attempts import Attempt, attempts, sought
from streamsched.testing.context import crash_after
from streamsched.testing.memory_cluster import Cluster

WORK = {"name": "t", "split": {"range": {"first": 1, "last": 3, "size": 1}}}
CHILD = {"handler": f"{__name__}:work", "retry": {"max_attempts": 5, "initial_interval": "1s"}}
FAILS: set[int] = set()


def work(ctx: ChildContext) -> str:
    done = ctx.last_checkpoint or 0
    while done < 4:
        done += 1
        ctx.checkpoint(done)
        if done in FAILS:
            FAILS.remove(done)
            raise KeyError(f"at {done}")
    return "x" * 1_000


def found(cluster: Cluster, task_id: str, child: int) -> list[Attempt]:
    child_of = sought(cluster.client.session, cluster.client.find(task_id), child)
    return [each for each in attempts(cluster._site, child_of) if each is not None]


def told(cluster: Cluster, task_id: str, child: int = 0) -> list[tuple[object, ...]]:
    """Return what is told of each attempt, the first one first."""
    return [
        (each.dispatch, each.attempt, each.outcome, each.reason, each.error_type, each.sequence)
        for each in reversed(found(cluster, task_id, child))
    ]


@pytest.fixture(params=[1, 3, 10_000])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read so many records first."""
    monkeypatch.setattr(module, "FIRST", request.param)
    monkeypatch.setattr(module, "MOST", request.param)
    monkeypatch.setattr(module, "LOOK", 1)


@pytest.mark.usefixtures("parts")
def test_each_attempt_is_told_with_how_it_ended() -> None:
    FAILS.update({1, 2})
    with Cluster(workers=2, slots=1) as cluster:
        task_id = cluster.submit({**WORK, "split": {"range": {"first": 1, "last": 1, "size": 1}}, "child": CHILD})
        cluster.run_until_checkpoint(task_id, 3)
        assert told(cluster, task_id)[-1][2:] == (None, None, None, 3)
        cluster.kill_worker()
        cluster.run_until_checkpoint(task_id, 4)
        assert cluster.run_until(task_id).state == "succeeded"
        assert told(cluster, task_id) == [
            (1, 1, "failed", "error", "KeyError", 1), (2, 2, "failed", "error", "KeyError", 2),
            (3, 2, "lost", None, None, 3), (3, 2, "succeeded", None, None, 4),
        ]  # fmt: skip
        last, lost, failed, first = found(cluster, task_id, 0)
        assert last.worker != lost.worker
        assert (failed.message, first.message) == ("'at 2'", "'at 1'")
        assert "raise KeyError" in str(first.traceback)
        assert first.dispatched_at <= (first.started_at or last.dispatched_at) < failed.dispatched_at
        assert failed.dispatched_at < (failed.ended_at or first.dispatched_at) < last.dispatched_at


@pytest.mark.usefixtures("parts")
def test_a_child_goes_on_elsewhere_and_is_run_again() -> None:
    with Cluster(workers=1, slots=1) as cluster:
        task_id = cluster.submit({**WORK, "child": CHILD})
        cluster.crash(task_id, crash_after("checkpoint"), child=1)
        cluster.run_until_checkpoint(task_id, 2)
        cluster.add_worker()
        cluster.drain_worker("worker-1")
        assert cluster.run_until(task_id).state == "succeeded"
        assert [each[:3] for each in told(cluster, task_id)] == [(1, 1, "returned"), (2, 1, "succeeded")]
        assert [each[2] for each in told(cluster, task_id, 1)][-2:] == ["failed", "succeeded"]
        before = told(cluster, task_id, 2)
        cluster.client.redrive(task_id, everything=True)
        assert cluster.run_until(task_id).state == "succeeded"
        assert told(cluster, task_id, 2)[: len(before)] == before
        assert told(cluster, task_id, 2)[-1][0] == before[-1][0] + 1  # type: ignore[operator]


def test_a_dispatch_goes_from_worker_to_worker_until_it_is_over() -> None:
    def of(kind: type[e.Event], token: int, *rest: object, ordinal: int = 2) -> e.Event:
        return kind(bytes(16), 100 * token, f"w{token}", "task", 7, ordinal, 1, token, *rest)  # type: ignore[call-arg]

    release = e.Release(7, 7, 2, 5)
    made = e.ChildrenDispatched(bytes(16), 1, "s", "task", (release,), 0)
    begun = [
        of(e.ChildReturned, 1, 0, None, 0, "late", ordinal=1), of(e.ChildStarted, 1),
        of(e.ChildCheckpointed, 1, 3, None, 0, None), of(e.ChildYielded, 1, 3, "revoked"),
        of(e.ChildStarted, 2), of(e.ChildStarted, 3),
    ]  # fmt: skip
    other, own = (e.PartitionReset(bytes(16), 400, "me", partition) for partition in (4, 5))
    done = of(e.ChildCompleted, 3, 300, 5, None)
    for rest, last in (([other, own, done], ("w3", "lost", 0)), ([other, done, own], ("w3", "succeeded", 5))):
        found = [(each.worker, each.outcome, each.sequence) for each in module._attempts_of(made, [*begun, *rest])]
        assert found == [("w1", "yielded", 3), ("w2", "lost", 0), last]
    assert [each.worker for each in module._attempts_of(made, [])] == [None]

    def told(*behind: e.Event) -> list[tuple[object, ...]]:
        return [(each.worker, each.outcome, each.told) for each in module._attempts_of(made, [*begun[:4], *behind])]

    stop = e.ChildrenStopping(bytes(16), 401, "s", "task", (release,), "enough", 0, "cancel")
    assert told(other, own) == [("w1", "yielded", None), (None, "lost", None)]
    assert told(stop, of(e.ChildCompleted, 2, 300, 5, None)) == [
        ("w1", "yielded", None), ("w2", "succeeded", "cancel"),
    ]  # fmt: skip


def test_what_was_told_to_stop_and_what_never_began() -> None:
    with Cluster(workers=0) as cluster:
        task_id = cluster.submit({**WORK, "child": CHILD})
        cluster.advance(1)
        assert found(cluster, task_id, 0) == []
        cluster.add_worker(slots=1)
        cluster.run_until_checkpoint(task_id, 2)
        cluster.client.cancel(task_id, "enough")
        assert cluster.run_until(task_id).state == "cancelled"
        (attempt,) = found(cluster, task_id, 0)
        assert (attempt.outcome, attempt.told, attempt.reason) == ("cancelled", "cancel", "enough")


def test_its_last_event_may_stand_far_behind_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with Cluster(workers=1) as cluster:
        task_id = cluster.submit({**WORK, "child": CHILD})
        cluster.run_until(task_id)
        whole = [found(cluster, task_id, child) for child in range(3)]
        assert all(each[0].outcome == "succeeded" for each in whole)
        for late in (-(10**9), 0):  # the clock of a worker may have been anywhere
            monkeypatch.setattr(module, "LATE_MS", late)
            assert [found(cluster, task_id, child) for child in range(3)] == whole


def test_others_read_meanwhile_and_little_is_read_of_a_large_task(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = mock.Mock(wraps=module._event)
    monkeypatch.setattr(module, "_event", decoded)
    monkeypatch.setattr(module, "SLICE_S", -1.0)
    monkeypatch.setattr(module, "LOOK", 1)
    with Cluster(workers=1) as cluster:
        log, records, me = cluster._outside, cluster._site.records, cluster._site.identity("test")
        task_id = cluster.submit({**WORK, "split": {"range": {"first": 1, "last": 300, "size": 1}}, "child": CHILD})
        cluster.run_until(task_id)
        log.append([records.journal(me.sign(e.PartitionReset, partition=99), task_id)])
        child = sought(cluster.client.session, cluster.client.find(task_id), 17)
        steps = list(attempts(cluster._site, child))
        assert steps.count(None) > 100
        assert [each.outcome for each in steps if each is not None] == ["succeeded"]
        assert decoded.call_count < 100, "records of other children are not decoded"
