"""The certificate of a task: what it is of, what it does not depend on, and what it costs."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsched.audit.report import Fault, Report
from streamsched.audit.verify import verify
from streamsched.domain import events as e
from streamsched.domain.policy import RetryPolicy
from streamsched.domain.splitters.by import BySplit
from streamsched.domain.splitters.files import FilesSplit
from streamsched.domain.template import ChildSpec, Template
from streamsched.log.codec import Codec
from streamsched.log.port import TopicPartition
from streamsched.queries.certificate import Certificate, certificate
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.clients import session_of
from tests.support.journals import request, template
from tests.unit.commands.schedule_case import ScheduleCase

HOME: Final = TopicPartition("events", 1)
PLAN: Final = '{"range":{"first":1,"last":4,"size":1}}'
RESULTS: Final = ('"a"', None, "3", "null")
MIB: Final = 1 << 20


def sha(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def fact(cls: type[Any], *fields: Any, by: str = "me", task: str = "task", **more: Any) -> Any:
    return cls(bytes(16), 1_000, by, task, *fields, **more)


def completed(child: int, ordinal: int, result: str | None, by: str = "me") -> e.ChildCompleted:
    return fact(e.ChildCompleted, child, ordinal, 1, ordinal << 32, 1_000, 0, result, by=by)  # type: ignore[no-any-return]


def failed(child: int, *, retryable: bool, ordinal: int = 1) -> e.ChildFailed:
    return fact(  # type: ignore[no-any-return]
        e.ChildFailed, child, ordinal, 1, ordinal << 32, 1_000, 0, '"s"', "error", "Trouble", "", "", retryable, None
    )


def certified(*events: e.Event, report: Report | None = None, children: int = 4, reduces: int = 0) -> Certificate:
    """Fold what becomes of a task of four children, perhaps with a reduce; return its certificate."""
    view = View(MemoryStore(), Codec())
    made = template(reduce=RetryPolicy() if reduces else None)
    begun = (request(made), fact(e.TaskPlanned, 0, children, PLAN, sha(PLAN), 0, fan_in=reduces))
    for event in (*begun, fact(e.ChildrenDispatched, (e.Release(0, children - 1, 1, 3),), 0), *events):
        view.apply(event, 1)
    task = view.task("task")
    assert task is not None
    return certificate(view, task, HOME, position=9, report=report or Report(tasks=1, ended=1))


def succeeded(order: Sequence[int] = range(4), by: str = "me") -> list[e.Event]:
    return [*(completed(child, 1, RESULTS[child], by) for child in order), fact(e.TaskSucceeded, 0, "", 0)]


def test_the_digests_can_be_made_by_hand() -> None:
    found = certified(*succeeded())
    made = template()
    hashes = [sha(text) for text in (made.to_json(), "{}", PLAN)]
    lines = [compact([child, "succeeded", "" if text is None else sha(text)]) for child, text in enumerate(RESULTS)]
    content = {
        "format": 1, "template": hashes[0], "params": hashes[1], "plan": hashes[2],
        "children": 4, "succeeded": 4, "failed": 0, "cancelled": 0,
        "results": sha("".join(f"{line}\n" for line in lines)), "reduced": None,
    }  # fmt: skip
    assert found.document()["content"] == content
    assert found.digest == sha(compact(content))
    assert (found.holds, found.faults, found.state) == (True, (), "succeeded")
    assert (found.topic, found.partition, found.position) == ("events", 1, 9)


BY: Final = Template(name="t", split=BySplit(function="m:f"), child=ChildSpec(handler="m:g"))


def paged(*lines: str, made: Template = BY) -> Certificate:
    """Return the certificate of a task whose split child has found these entries."""
    view = View(MemoryStore(), Codec())
    count = len(lines)
    for event in (
        request(made),
        fact(e.TaskPlanned, 0, 0, "{}", sha("{}"), 0, 0, True),
        fact(e.ChildrenDispatched, (e.Release(0, 0, 1, 3),), 0),
        fact(e.TaskPlanProgressed, 0, "1", 0, 0, 1, 1, 1 << 32, 1, 1, 1, lines[0]),
        fact(e.TaskPlanProgressed, 0, "2", 0, 0, 1, 1, 1 << 32, 2, 2, count - 1, "\n".join(lines[1:])),
        fact(e.ChildCompleted, 0, 1, 1, 1 << 32, 1_000, 2, None),
        fact(e.ChildrenDispatched, (e.Release(1, count, 1, 3),), 0),
        *(completed(child, 1, "1") for child in range(1, count + 1)),
        fact(e.TaskSucceeded, 0, "", 0),
    ):
        view.apply(event, 1)
    task = view.task("task")
    assert task is not None
    return certificate(view, task, HOME, position=9, report=Report(tasks=1, ended=1))


def test_pages_are_in_it_however_they_were_cut() -> None:
    found = paged('"a"', '"b"', '"c"')
    assert (found.holds, found.content.children) == (True, 3)
    assert found.content.pages == sha('"a"\n"b"\n"c"\n')
    assert paged('"a"', '"b"', '"d"').digest != found.digest


def test_entries_that_do_not_adjoin_are_named() -> None:
    made = Template(name="t", split=FilesSplit(glob="*"), child=ChildSpec(handler="m:g"))
    lines = [json.dumps({"weight": 1, "inputs": [{"path": path, "size": 1, "tag": ""}]}) for path in ("a", "b", "b")]
    assert paged(*lines[:2], made=made).faults == ()
    assert paged(*lines, made=made).faults == ("entry 2 of the split does not adjoin the one before it",)
    assert paged("{}", "1", made=made).faults == ("the pages of the split cannot be read (KeyError)",)


@given(order=st.permutations(range(4)), by=st.sampled_from(("me", "another")))
def test_neither_order_nor_nodes_are_in_it(order: list[int], by: str) -> None:
    assert certified(*succeeded(order, by)).content == certified(*succeeded()).content


def test_a_retry_is_not_in_it() -> None:
    again = (failed(0, retryable=True), fact(e.ChildrenDispatched, (e.Release(0, 0, 2, 1),), 0))
    found = certified(*again, completed(0, 2, RESULTS[0]), *succeeded((1, 2, 3)))
    assert found.digest == certified(*succeeded()).digest


@pytest.mark.parametrize("child", range(4))
def test_each_result_is_in_it(child: int) -> None:
    other = [completed(each, 1, '"other"' if each == child else RESULTS[each]) for each in range(4)]
    assert certified(*other, fact(e.TaskSucceeded, 0, "", 0)).digest != certified(*succeeded()).digest


def test_the_result_of_a_reduce_has_a_digest_of_its_own() -> None:
    work = [completed(child, 1, RESULTS[child]) for child in range(4)]
    dispatched = fact(e.ChildrenDispatched, (e.Release(4, 4, 1, 3),), 0)
    found = certified(*work, dispatched, completed(4, 1, '"sum"'), fact(e.TaskSucceeded, 0, "", 0), reduces=1)
    assert (found.holds, found.faults) == (True, ())
    assert (found.content.children, found.content.succeeded, found.content.reduced) == (4, 4, sha('"sum"'))
    assert found.content.results == certified(*succeeded()).content.results
    unended = certified(*work, dispatched, reduces=1)
    assert (unended.holds, unended.content.reduced) == (False, None)


def test_a_task_that_failed_is_certified_as_one() -> None:
    found = certified(
        completed(0, 1, '"a"'),
        failed(1, retryable=False),
        fact(e.ChildrenStopping, (e.Release(2, 3, 1, 3),), "over", 0),
        fact(e.ChildCancelled, 2, 1, 1, 1 << 32, 1_000, 0, None, "over"),
        failed(3, retryable=False),
        fact(e.TaskFailed, 0, "", 0),
    )
    assert (found.state, found.holds) == ("failed", True)
    content = found.content
    assert (content.succeeded, content.failed, content.cancelled) == (1, 2, 1)


def test_it_does_not_hold_where_the_audit_finds_something() -> None:
    report = Report(tasks=1, ended=1)
    report.add(Fault(3, 1, "one ending", "two"), "task", "events-1-8")
    found = certified(*succeeded(), report=report)
    assert not found.holds
    assert found.document()["audit"]["violations"][0]["invariant"] == 3


@pytest.mark.parametrize("report", [Report(), Report(tasks=1)], ids=["the request is gone", "the end was not read"])
def test_it_does_not_hold_without_the_whole_history(report: Report) -> None:
    found = certified(*succeeded(), report=report)
    assert not found.holds
    assert "whole history" in found.faults[0]


def test_it_does_not_hold_where_a_child_has_no_ending() -> None:
    found = certified(*succeeded()[:3])
    assert not found.holds
    assert found.faults == ("of 4 children 3 have an ending",)


def test_many_children_cost_no_memory() -> None:
    many = 50_000
    view = View(MemoryStore(), Codec())
    events = (
        request(template()),
        fact(e.TaskPlanned, 0, many, PLAN, "", 0),
        fact(e.ChildrenDispatched, (e.Release(0, many - 1, 1, 3),), 0),
    )
    for event in events:
        view.apply(event, 1)
    for child in range(many):
        view.apply(completed(child, 1, f'"the result of {child}"'), 1)
    task = view.task("task")
    assert task is not None
    view.flush()
    tracemalloc.start()
    try:
        found = certificate(view, task, HOME, position=9, report=Report(tasks=1, ended=1))
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()
    assert found.content.succeeded == many


def test_what_is_written_meanwhile_is_not_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests and audit are of the same history: up to the position that the certificate names."""
    case = ScheduleCase(tmp_path)
    client = case.client()
    client.submit(tmp_path / "job.yaml", {"n": 0}, task_id="empty")
    case.run(case.scheduler(), 1)
    before = client.certify("empty")
    assert (before.holds, before.content.children, before.state) == (True, 0, "succeeded")

    def late(**options: Any) -> Report:
        site = session_of(client).site
        site.log.append([site.records.journal(fact(e.TaskSucceeded, 0, "", 1, task="empty"), "empty")])
        return verify(**options)

    with monkeypatch.context() as patched:
        patched.setattr("streamsched.queries.certificate.verify", late)
        assert client.certify("empty") == before
    after = client.certify("empty")
    assert (after.holds, after.digest, after.position) == (False, before.digest, before.position + 1)
    assert [each.invariant for each in after.audit.violations] == [5]
