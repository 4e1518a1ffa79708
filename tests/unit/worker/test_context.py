from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import pytest

from streamsched.worker.context import PAYLOAD_LIMIT, ChildContext, LocalTransport
from streamsched.worker.errors import PayloadTooLarge, StopChild


class Recorder(LocalTransport):
    def __init__(self) -> None:
        super().__init__()
        self.beats = 0
        self.waited: list[int] = []

    def heartbeat(self) -> None:
        self.beats += 1

    def wait(self, number: int) -> None:
        self.waited.append(number)


@pytest.fixture
def transport() -> Recorder:
    return Recorder()


def test_the_limit_is_that_of_the_log() -> None:
    from streamsched.log import topics

    assert topics.PAYLOAD_LIMIT == PAYLOAD_LIMIT


def test_it_says_where_it_is(transport: Recorder) -> None:
    ctx = ChildContext(transport, task_id="t", child_index=4, attempt=2, fencing_token=77, handler="a.b:c")
    assert (ctx.task_id, ctx.child_index, ctx.attempt, ctx.fencing_token) == ("t", 4, 2, 77)
    assert ctx.log.name == "a.b.c"
    assert ctx.last_checkpoint is None
    assert not ctx.should_stop


def test_a_checkpoint_is_a_copy_and_the_latest_wins(transport: Recorder) -> None:
    ctx = ChildContext(transport, state='{"n":0}')
    assert ctx.last_checkpoint == {"n": 0}
    assert ctx.unsaved() is None
    state = {"n": 1}
    ctx.checkpoint(state)
    ctx.checkpoint({"n": 2})
    state["n"] = 9
    assert ctx.last_checkpoint == {"n": 2}
    assert ctx.unsaved() == ('{"n":2}', 2, 0)
    assert ctx.unsaved() is None
    assert ctx.unsaved(again=True) == ('{"n":2}', 2, 0)
    assert transport.beats == 2


def test_waiting_names_the_number(transport: Recorder) -> None:
    ctx = ChildContext(transport)
    ctx.checkpoint(1)
    ctx.checkpoint(2, wait=True)
    assert transport.waited == [2]


def test_a_state_that_is_too_large_or_has_no_json_changes_nothing(transport: Recorder) -> None:
    ctx = ChildContext(transport)
    ctx.checkpoint("x" * (PAYLOAD_LIMIT - 2))
    with pytest.raises(PayloadTooLarge, match=r"262,145 bytes.*262,144.*reference"):
        ctx.checkpoint("x" * (PAYLOAD_LIMIT - 1))
    with pytest.raises(TypeError):
        ctx.checkpoint(object())
    assert len(ctx.last_checkpoint) == PAYLOAD_LIMIT - 2


def test_a_stop_takes_the_state_first(transport: Recorder) -> None:
    ctx = ChildContext(transport)
    ctx.request_stop()
    assert ctx.should_stop
    with pytest.raises(StopChild):
        ctx.checkpoint({"n": 1}, wait=True)
    assert ctx.unsaved() == ('{"n":1}', 1, 0)
    assert transport.waited == []


def test_reports_go_to_the_transport(transport: Recorder) -> None:
    ctx = ChildContext(transport)
    ctx.heartbeat()
    ctx.progress(3, 10)
    assert (transport.beats, transport.done, transport.total) == (1, 3, 10)


@pytest.mark.parametrize(("done", "says"), [(None, "not 'NoneType'"), ([1], "not 'list'"), (10**400, "too large")])
def test_a_progress_that_is_no_number_is_told_as_one(transport: Recorder, done: Any, says: str) -> None:
    with pytest.raises((TypeError, OverflowError), match=says):
        ChildContext(transport).progress(done, 10)


@pytest.mark.parametrize(
    ("iterable", "done"),
    [(range(10, 20), 0), (range(10, 20), 4), (range(10, 20), 10), (range(10, 20), 15), (list(range(10, 20)), 4),
     (tuple(range(10, 20)), 0), ((i for i in range(10, 20)), 4), (dict.fromkeys(range(10, 20), 1), 3)],
)  # fmt: skip
def test_resume_skips_what_was_done(transport: Recorder, iterable: Iterable[int], done: int) -> None:
    ctx = ChildContext(transport, state=f'{{"resume":{done}}}' if done else None)
    assert list(ctx.resume(iterable)) == list(range(10, 20))[done:]


def test_resume_counts_only_what_is_finished(transport: Recorder) -> None:
    ctx = ChildContext(transport)
    loop = ctx.resume(range(10), every=2)
    told = []
    for i in loop:
        told.append(ctx.unsaved())
        if i == 5:
            break
    assert told == [None, None, ('{"resume":2}', 1, 0), None, ('{"resume":4}', 2, 0), None]
    assert (transport.done, transport.total) == (4, 10)
    ctx.finish()
    assert ctx.unsaved() == ('{"resume":5}', 3, 0)
    assert ctx.last_checkpoint == {"resume": 5}


def test_resume_checkpoints_by_time(transport: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("streamsched.worker.context._monotonic", lambda: now)
    ctx = ChildContext(transport)
    told = []
    for _ in ctx.resume(iter(range(6))):
        told.append(ctx.unsaved())
        now += 0.05
    assert told == [None, None, ('{"resume":2}', 1, 0), None, ('{"resume":4}', 2, 0), None]
    assert transport.total == 0


def test_resume_by_count_is_alive_all_the_same(transport: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("streamsched.worker.context._monotonic", lambda: now)
    ctx = ChildContext(transport)
    for _ in ctx.resume(range(6), every=1000):
        now += 1.0
    assert transport.beats == 6
    assert ctx.unsaved() is None


def test_resume_stops_between_two_elements(transport: Recorder) -> None:
    ctx = ChildContext(transport)
    seen = []
    with pytest.raises(StopChild):  # noqa: PT012
        for i in ctx.resume(range(10)):
            seen.append(i)
            if i == 3:
                ctx.request_stop()
    assert seen == [0, 1, 2, 3]
    assert ctx.unsaved() == ('{"resume":4}', 1, 0)


@pytest.mark.parametrize("state", ['{"n":1}', "5", '{"resume":"x"}', '{"resume":-1}', '{"resume":true}'])
def test_resume_refuses_a_state_that_is_not_its_own(transport: Recorder, state: str) -> None:
    with pytest.raises(ValueError, match="not taken by resume"):
        ChildContext(transport, state=state).resume(range(3))


def test_resume_and_checkpoint_do_not_mix(transport: Recorder) -> None:
    ctx = ChildContext(transport)
    ctx.resume(range(3))
    with pytest.raises(RuntimeError, match="one loop"):
        ctx.resume(range(3))
    with pytest.raises(RuntimeError, match="one of the two"):
        ctx.checkpoint(1)
    other = ChildContext(transport)
    other.checkpoint(1)
    with pytest.raises(RuntimeError, match="one of the two"):
        other.resume(range(3))
    with pytest.raises(ValueError, match="at least 1"):
        ChildContext(transport).resume(range(3), every=0)


def test_resume_reads_no_element_of_a_sequence_twice(transport: Recorder) -> None:
    class Watched(list[int]):
        read: ClassVar[list[Any]] = []

        def __getitem__(self, index: Any) -> Any:
            self.read.append(index)
            return super().__getitem__(index)

    items = Watched(range(1000))
    assert list(ChildContext(transport, state='{"resume":997}').resume(items)) == [997, 998, 999]
    assert items.read == [997, 998, 999]
