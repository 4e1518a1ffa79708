"""The cluster in memory: the real nodes, on a clock that a test moves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from streamsched import ChildContext, NonRetryable, Result, RetryAfter, job
from streamsched.domain.errors import NoResult
from streamsched.split import ranges
from streamsched.testing import Cluster, assert_covers, crash_after, run_child

attempts: list[tuple[int, int, Any]] = []
"""Of each attempt: child, number, and where it began."""


@pytest.fixture(autouse=True)
def _clean() -> None:
    attempts.clear()


def work(ctx: ChildContext, first: int, last: int) -> list[int]:
    """Take a checkpoint after each number."""
    attempts.append((ctx.child_index, ctx.attempt, ctx.last_checkpoint))
    for _ in ctx.resume(range(first, last + 1)):
        pass
    return [first, last]


def waits(ctx: ChildContext, first: int, last: int) -> int:
    """Wait until its checkpoint is durable."""
    ctx.checkpoint(first, wait=True)
    return first


def fails(ctx: ChildContext, first: int, last: int) -> None:
    """Fail the first time; for good if it is the second child."""
    if ctx.child_index == 1:
        raise NonRetryable(f"not {first}")
    if ctx.attempt == 1:
        raise RetryAfter(3_600)


def emits(ctx: ChildContext, first: int, last: int) -> None:
    """Emit each number, and one more at the end."""
    for number in ctx.resume(range(first, last + 1)):
        ctx.emit("out", number, key=str(ctx.child_index))
    ctx.emit("out", "end", key=str(ctx.child_index))


def total(ctx: ChildContext, results: Iterator[Result]) -> dict[str, int]:
    """Add up."""
    attempts.append((ctx.child_index, ctx.attempt, ctx.last_checkpoint))
    return {"sum": sum(last for _, last in (result.value for result in results))}


@job(split=ranges(1, "${n}", size=10))
def decorated(ctx: ChildContext, first: int, last: int, n: int = 25) -> int:
    """Count."""
    return sum(1 for _ in ctx.resume(range(first, last + 1)))


def template(handler: str = "work", **more: Any) -> dict[str, Any]:
    return {
        "name": "job",
        "params": {"n": {"type": "integer", "default": 30}},
        "split": {"range": {"first": 1, "last": "${n}", "size": 10}},
        "child": {"handler": f"{__name__}:{handler}", "args": {"first": "${child.first}", "last": "${child.last}"}},
        **more,
    }


def test_a_task_runs_to_its_end(cluster: Cluster) -> None:
    task = cluster.submit(template(), {"n": 25}, task_id="mine")
    assert cluster.results(task) == [[1, 10], [11, 20], [21, 25]]
    status = cluster.run_until(task)
    assert (status.task_id, status.state, status.children.succeeded) == ("mine", "succeeded", 3)
    assert cluster.client.certify(task).holds
    with pytest.raises(NoResult):
        cluster.result(task)


def test_a_reduce_gets_the_results(cluster: Cluster) -> None:
    task = cluster.submit(template(reduce={"handler": f"{__name__}:total"}))
    cluster.crash(task, crash_after("end"), child="reduce")
    assert cluster.result(task) == {"sum": 60}
    assert cluster.client.status(task).reduce == "succeeded"
    assert [(child, attempt) for child, attempt, _ in attempts] == [(0, 1), (1, 1), (2, 1), (0, 1), (0, 2)]


def test_a_job_is_a_template(cluster: Cluster) -> None:
    task = decorated.submit(client=cluster.client, n=15)
    assert cluster.results(task) == [10, 5]
    assert cluster.results(cluster.submit(decorated)) == [10, 10, 5]
    assert_covers(decorated, {"n": 15}, part=lambda args: range(args["first"], args["last"] + 1))
    assert run_child(decorated, {"first": 1, "last": 3}).result == 3


def test_it_stands_still_between_two_calls_and_the_same_each_time() -> None:
    stories = []
    for _ in range(2):
        with Cluster(slots=1) as cluster:
            task = cluster.submit(template(), task_id="t")
            status = cluster.run_until(task, lambda status: status.children.succeeded >= 2)
            stories.append((status.children, cluster.clock.now(), [child.sequence for child in cluster.children(task)]))
            assert status.children.succeeded == 2
    assert stories[0] == stories[1]


def test_a_killed_worker_costs_nothing_before_the_checkpoint(cluster: Cluster) -> None:
    task = cluster.submit(template(), {"n": 10})
    cluster.run_until_checkpoint(task, 4)
    name = cluster.kill_worker()
    with pytest.raises(TimeoutError, match=r"is running after 60 s of the cluster's time\. no worker"):
        cluster.run_until(task, timeout=60)
    assert cluster.add_worker() != name
    assert cluster.results(task) == [[1, 10]]
    assert attempts == [(0, 1, None), (0, 1, {"resume": 4})]  # the death of a worker uses no attempt up


def test_a_drained_worker_gives_back_what_it_runs(cluster: Cluster) -> None:
    task = cluster.submit(template(), {"n": 10})
    cluster.run_until_checkpoint(task, 4)
    cluster.drain_worker()
    cluster.add_worker()
    assert cluster.results(task) == [[1, 10]]
    (_, _, begun), (_, again, resumed) = attempts
    assert (begun, again) == (None, 1)
    assert resumed["resume"] >= 4
    assert cluster.children(task)[0].dispatches == 2


def test_why_nothing_happens_is_told(cluster: Cluster) -> None:
    cluster.kill_worker()
    idle = cluster.add_worker(modules=["other"])
    cluster.advance(86_400)
    assert {node.name for node in cluster.client.nodes()} == {"scheduler-1", idle}
    with pytest.raises(TimeoutError, match="no worker allows module tests"):
        cluster.run_until(cluster.submit(template()), timeout=3_600)


def test_which_worker_is_killed() -> None:
    with Cluster(workers=0) as cluster:
        task = cluster.submit(template())
        idle, busy = cluster.add_worker(modules=["other"]), cluster.add_worker()
        cluster.run_until_checkpoint(task)
        with pytest.raises(ValueError, match=f"only {idle}, {busy}"):
            cluster.kill_worker("nobody")
        assert cluster.kill_worker() == busy
        assert cluster.kill_worker(idle) == idle
        with pytest.raises(ValueError, match="no worker left"):
            cluster.kill_worker()


@pytest.mark.parametrize(
    ("point", "begins"), [("start", None), (("checkpoint", 3), {"resume": 3}), ("end", {"resume": 10})]
)
def test_a_child_that_dies_is_tried_again(cluster: Cluster, point: Any, begins: Any) -> None:
    task = cluster.submit(template(), {"n": 20})
    cluster.crash(task, crash_after(*point) if isinstance(point, tuple) else crash_after(point), child=1)
    assert cluster.results(task) == [[1, 10], [11, 20]]
    assert [child.attempt for child in cluster.children(task)] == [1, 2]
    assert [each for each in attempts if each[1] == 2] == [(1, 2, begins)]


def test_who_is_to_die_and_does_not_is_told_of() -> None:
    with Cluster() as cluster:
        task = cluster.submit(template(), {"n": 20}, task_id="t")
        cluster.crash(task, crash_after("checkpoint", 11), child=1)
        with pytest.raises(AssertionError, match=r"t\[1\] ended, and never came to checkpoint 11"):
            cluster.results(task)
    other = Cluster()
    other.crash("t", crash_after("start"), child=2)
    assert other.results(other.submit(template(), {"n": 20}, task_id="t")) == [[1, 10], [11, 20]]
    with pytest.raises(AssertionError, match=r"t\[2\] was to die"):
        other.__exit__(None)


def test_failures_and_retries_on_the_clusters_time(cluster: Cluster) -> None:
    task = cluster.submit(template("fails", failure={"tolerate": 1}))
    begun = cluster.now
    status = cluster.run_until(task)
    assert (status.state, status.children.failed) == ("succeeded", 1)
    assert 3_600 <= (cluster.now - begun).total_seconds() < 3_700
    strict = cluster.submit(template("fails"), {"n": 20})
    with pytest.raises(AssertionError, match=r"(?s)is failed: .*NonRetryable: not 11.*in fails\n"):
        cluster.results(strict)


def test_programs(cluster: Cluster, capfd: pytest.CaptureFixture[str]) -> None:
    script = "echo hello; cat | sed 's/.*\\(\"args\":{[^}]*}\\).*/{\\1}/'"
    child = {"command": ["sh", "-c", script], "args": {"first": "${child.first}"}}
    assert cluster.results(cluster.submit(template(child=child), {"n": 10})) == [{"args": {"first": 1}}]
    assert capfd.readouterr().out.startswith("hello\n")
    failing = {"command": ["sh", "-c", "echo no >&2; exit 3"], "exit_codes": {"3": "fail"}}
    status = cluster.run_until(cluster.submit(template(child=failing), {"n": 10}))
    assert (status.state, cluster.children(status)[0].error_type) == ("failed", "Exit3")
    assert cluster.children(status)[0].attempt == 1


def test_wrong_arguments_and_missing_handlers_fail_at_once(cluster: Cluster) -> None:
    for handler, fault in (("total", "TypeError"), ("nothing", "HandlerNotFound")):
        status = cluster.run_until(cluster.submit(template(handler)), timeout=60)
        assert status.state == "failed"
        assert fault in status.reason


def test_a_handler_waits_until_its_state_is_durable(cluster: Cluster) -> None:
    assert cluster.results(cluster.submit(template("waits"))) == [1, 11, 21]


def test_a_cancel_reaches_a_handler_at_its_checkpoint(cluster: Cluster) -> None:
    task = cluster.submit(template(), {"n": 10})
    cluster.run_until_checkpoint(task, 2)
    cluster.client.cancel(task)
    assert cluster.run_until(task).state == "cancelled"
    assert cluster.children(task)[0].sequence < 10


def test_no_handler_outlives_its_cluster() -> None:
    with Cluster() as cluster:
        task = cluster.submit(template())
        cluster.run_until_checkpoint(task)
        assert any(thread.name.startswith(task) for thread in threading.enumerate())
    assert not any(thread.name.startswith(task) and thread.is_alive() for thread in _ended(task))


def _ended(task: str) -> list[threading.Thread]:
    left = [thread for thread in threading.enumerate() if thread.name.startswith(task)]
    for thread in left:
        thread.join(10)
    return left


def test_a_schedule_fires_as_time_passes(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(template()))
    schedule = tmp_path / "nightly.yaml"
    schedule.write_text('cron: "30 2 * * *"\noverlap: allow_all\ntemplate: job.json\nparams: {n: 10}\n')
    with Cluster(schedulers=2, start=datetime(2026, 3, 1, tzinfo=UTC)) as cluster:
        cluster.client.create_schedule(schedule)
        cluster.advance(3 * 86_400)
        fired = [tick.task_id for tick in cluster.client.ticks("nightly", outcome="fired")]
        assert fired == [f"nightly@2026-03-0{day}T02:30:00Z" for day in (1, 2, 3)]
        assert [cluster.results(task) for task in fired if task] == [[[1, 10]]] * 3
        assert cluster.now >= datetime(2026, 3, 4, tzinfo=UTC)


def test_the_client_waits_on_the_clusters_time(cluster: Cluster) -> None:
    submitted = cluster.client.submit(template())
    assert cluster.client.wait(submitted.task_id).state == "succeeded"
    assert cluster.results(submitted) == [[1, 10], [11, 20], [21, 30]]


def test_what_a_handler_emits_is_there_once_though_its_worker_is_killed(cluster: Cluster) -> None:
    task = cluster.submit(template("emits"), {"n": 12})
    cluster.run_until_checkpoint(task, 2)
    cluster.kill_worker()
    cluster.add_worker()
    cluster.run_until(task)
    found: dict[bytes | None, list[bytes | None]] = {}
    for record in cluster.emitted("out"):
        found.setdefault(record.key, []).append(record.value)
    assert found == {
        b"0": [b"%d" % number for number in range(1, 11)] + [b"end"],
        b"1": [b"11", b"12", b"end"],
    }
    assert cluster.emitted("nowhere") == []


def test_of_a_child_that_died_only_what_its_checkpoint_covers_was_emitted() -> None:
    args = {"first": 1, "last": 5}
    died = run_child(emits, args, crash=crash_after("checkpoint", 3))
    assert [record.value for record in died.emitted] == [b"1", b"2", b"3"]
    again = run_child(emits, args, resume=died.state, attempt=2)
    assert [record.value for record in again.emitted] == [b"4", b"5", b"end"]
