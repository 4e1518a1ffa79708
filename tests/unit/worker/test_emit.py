"""What a handler emits: what covers it, how much of it may wait, and what is refused."""

from __future__ import annotations

import pytest

from streamsched.worker.context import ChildContext
from streamsched.worker.emit import FRAME_BYTES, Outbox
from streamsched.worker.errors import EmitBufferFull, EmitRefused, StopChild
from streamsched.worker.jobs import MOST_BYTES, MOST_RECORDS, PLAN, Emitted, TopicTold

TOPICS = {
    "one": TopicTold("one", 1, 10_000, ""),
    "three": TopicTold("three", 3, 2_000_000, ""),
}


class Link:
    """Confirms what a handler waits for, or asks it to stop."""

    def __init__(self, *, stops: bool = False) -> None:
        self.waited: list[int] = []
        self.context: ChildContext | None = None
        self.stops = stops

    def heartbeat(self) -> None: ...

    def progress(self, done: float, total: float) -> None: ...

    def wait(self, number: int) -> None:
        self.waited.append(number)
        assert self.context is not None
        if self.stops:
            self.context.request_stop()
            return
        told = self.context.unsaved(again=True)
        assert told is not None
        self.box.told(*told[1:])
        self.box.confirmed(number)

    def topic(self, name: str) -> TopicTold:
        return TOPICS.get(name) or TopicTold(name, 0, 0, f"there is no topic {name}")

    def outbox(self, context: ChildContext) -> Outbox:
        self.context, self.box = context, Outbox(context, self)
        return self.box


def splitter(link: Link | None = None, state: str | None = None) -> ChildContext:
    return ChildContext(link or Link(), stage="split", state=state)


def taken(context: ChildContext) -> list[tuple[Emitted, ...]]:
    return [part.records for part in box(context).take(1)]


def box(context: ChildContext) -> Outbox:
    assert isinstance(context._outbox, Outbox)
    return context._outbox


def test_entries_of_the_plan_are_numbered_from_what_the_state_counts() -> None:
    context = splitter(state='{"n":7}')
    context.emit(PLAN, b"a")
    context.emit(PLAN, b"b")
    assert taken(context) == [(Emitted(PLAN, 7, None, b"a"), Emitted(PLAN, 8, None, b"b"))]
    assert taken(context) == []


def test_a_checkpoint_covers_what_was_emitted_before_it() -> None:
    context = splitter()
    context.emit(PLAN, b"a")
    context.checkpoint({"n": 1})
    context.emit(PLAN, b"b")
    assert context.unsaved() == ('{"n":1}', 1, 1)


def test_an_element_of_resume_covers_what_it_emitted_when_it_is_finished() -> None:
    context = splitter()
    loop = context.resume(range(9), every=2)
    for _, _ in zip(range(4), loop, strict=False):
        context.emit(PLAN, b"a")
        context.emit(PLAN, b"b")
    assert context.unsaved() == ('{"resume":2}', 1, 4)
    assert box(context).count == 8
    context.finish()  # it raised in the fourth
    assert context.unsaved() == ('{"resume":3}', 2, 6)


def test_records_are_sent_in_parts_that_fit_into_a_frame() -> None:
    context = splitter()
    for size in (100, FRAME_BYTES, 100, 100):
        context.emit(PLAN, bytes(size))
    assert [len(part) for part in taken(context)] == [1, 1, 2]


@pytest.mark.parametrize("size", [1, MOST_BYTES // 8 + 1])
def test_at_the_bound_it_waits_for_the_latest_checkpoint(size: int) -> None:
    most = MOST_RECORDS if size == 1 else 7
    link = Link()
    context = splitter(link)
    for number in range(most):
        context.emit(PLAN, bytes(size))
        if number == most // 2:
            context.checkpoint({"n": number})
    assert not link.waited
    context.emit(PLAN, bytes(size))
    assert link.waited == [1]
    with pytest.raises(EmitBufferFull, match=r"no checkpoint covers any of them: checkpoint more often"):  # noqa: PT012
        for _ in range(most):
            context.emit(PLAN, bytes(size))


def test_at_the_bound_a_finished_element_makes_room() -> None:
    link = Link()
    context = splitter(link)
    for _ in context.resume(range(2), every=5):
        for _ in range(MOST_RECORDS // 2 + 1):
            context.emit(PLAN, b"a")
    assert link.waited == [1]


def test_a_stop_ends_the_wait_for_room() -> None:
    context = splitter(Link(stops=True))
    for _ in range(MOST_RECORDS):
        context.emit(PLAN, b"a")
    context.checkpoint({"n": 1})
    with pytest.raises(StopChild):
        context.emit(PLAN, b"a")


def test_nothing_is_taken_behind_the_end_of_the_handler() -> None:
    context = splitter()
    context.emit(PLAN, b"a")
    box(context).close()
    with pytest.raises(EmitRefused, match="the child has ended"):
        context.emit(PLAN, b"b")


def test_only_a_split_child_finds_entries_of_the_plan() -> None:
    with pytest.raises(EmitRefused):
        ChildContext(Link()).emit(PLAN, b"a")
