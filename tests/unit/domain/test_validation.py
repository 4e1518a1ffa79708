"""The types of fields say what an event may hold: what is beyond is refused, and the field named."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from streamsched.domain import events as e
from streamsched.domain.bounds import CHILDREN_LIMIT, LAST_ORDINAL, LONGEST_MS, PAGE_LIMIT, PAYLOAD_LIMIT, TIME_END
from streamsched.domain.validation import validate

WORK = e.ChildCreated(b"i", 1, "s", "task", 3, 1, 1, "m:f", "{}", 0, 0, 0, 0, None, 0, None)
CHECKPOINT = e.ChildCheckpointed(b"i", 1, "w", "task", 3, 1, 1, 7, 1, "5", 0, WORK)
FAILED = e.ChildFailed(b"i", 1, "w", "task", 3, 1, 1, 7, 1, 0, None, "error", "E", "", "", True, None)
RELEASE = e.Release(0, CHILDREN_LIMIT - 1, LAST_ORDINAL, 0)
DISPATCHED = e.ChildrenDispatched(b"i", 1, "s", "task", (RELEASE,), 0)
PLANNED = e.TaskPlanned(b"i", 1, "s", "task", 0, 0, "{}", "", 0, 0, True)
PAGE = e.TaskPlanProgressed(b"i", 1, "w", "task", 0, "{}", 0, 0, 1, 1, 7, 1, 1, 2, '"a"\n"b"')
DECIDED = e.TicksDecided(b"i", 1, "s", "often", TIME_END - 1, (e.Ticks("tick", 5, 5, 1, "fired"),), 0)


@pytest.mark.parametrize("event", [WORK, CHECKPOINT, FAILED, DISPATCHED, PLANNED, PAGE, DECIDED])
def test_what_streamsched_writes_has_no_flaw(event: e.Event) -> None:
    assert validate(event) is None


def test_a_task_of_the_most_children_can_be_cancelled_as_a_whole() -> None:
    """Those of all stages in one event: the split child, the work children, the reduce."""
    whole = e.ChildrenCancelled(b"i", 1, "s", "task", (e.Span(0, CHILDREN_LIMIT + 1),), "", 0)
    assert validate(whole) is None


@pytest.mark.parametrize(
    ("event", "changes", "said"),
    [
        (WORK, {"at": TIME_END}, f"at: {TIME_END} is not within 0..{TIME_END - 1}"),
        (WORK, {"timeout": LONGEST_MS + 1}, "timeout: "),
        (WORK, {"task_id": "a b"}, "task_id: 'a b' is not a valid task id"),
        (WORK, {"handler": "m" * 1_001}, "handler: a length of 1,001, the limit is 1,000"),
        (WORK, {"args": "ä" * (PAYLOAD_LIMIT // 2 + 1)}, "args: 262,146 bytes, the limit is 262,144"),
        (CHECKPOINT, {"token": -1}, "token: -1 is not within 0.."),
        (CHECKPOINT, {"work": replace(WORK, recoveries=-1)}, "work.recoveries: -1 is not within"),
        (CHECKPOINT, {"work": replace(WORK, child=4)}, "its work is another child's"),
        (FAILED, {"delay": -1}, "delay: -1"),
        (FAILED, {"state": "x" * (PAYLOAD_LIMIT + 1)}, "state: 262,145 bytes"),
        (FAILED, {"cause": e.Cause(("E",) * 17)}, "cause.error_types: a length of 17, the limit is 16"),
        (FAILED, {"cause": e.Cause(("E" * 1_001,))}, "cause.error_types: a length of 1,001"),
        (DISPATCHED, {"releases": (replace(RELEASE, ordinal=0),)}, "releases.ordinal: 0 is not within 1..4095"),
        (DISPATCHED, {"releases": (replace(RELEASE, first=2, last=1),)}, "releases: 2..1 runs backwards"),
        (DISPATCHED, {"releases": (RELEASE, RELEASE)}, "20,000,000 children, more than a task can have"),
        (PAGE, {"cursor": "x" * (PAYLOAD_LIMIT + 1)}, "cursor: 262,145 bytes"),
        (PAGE, {"count": 20_001}, "count: 20001 is not within 0..20000"),
        (PAGE, {"entries": "x" * (PAGE_LIMIT + 1)}, "entries: 1,228,801 bytes, the limit is 1,228,800"),
        (PAGE, {"count": 3}, "2 entries, 3 by its count"),
        (PLANNED, {"children": 1}, "children beside a split child"),
        (PAGE, {"entries": ""}, "0 entries, 2 by its count"),
        (DECIDED, {"ticks": (e.Ticks("tick", 5, 5, 0, "fired"),)}, "ticks.count: 0 is not within 1.."),
    ],
)
def test_what_is_beyond_is_named(event: e.Event, changes: dict[str, Any], said: str) -> None:
    assert str(validate(replace(event, **changes))).startswith(said)


@pytest.mark.parametrize("text", ["x" * PAYLOAD_LIMIT, "ä" * (PAYLOAD_LIMIT // 2)])
def test_a_payload_has_its_limit_in_bytes(text: str) -> None:
    assert validate(replace(FAILED, state=text)) is None
