"""``audit verify`` takes in whatever stands in a log: it names what is wrong, and never falls over it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from streamsched.audit.verify import verify
from streamsched.domain import events as e
from streamsched.log.adapter import LogAdapter
from streamsched.log.codec import headers_of
from streamsched.log.port import Append
from tests.support.audit_case import CODEC, TOPICS, Entry, History, live
from tests.support.journals import journals

NUMBERS = st.sampled_from((0, 1, 2, 3, 4, 9, 70, 280, -1, 1 << 20, 1 << 40, (1 << 63) - 1, -(1 << 63)))


@cache
def original() -> LogAdapter:
    return live()


@given(journals())
@settings(max_examples=60, deadline=None)
def test_journals_of_any_kind_are_judged(journal: list[e.Event]) -> None:
    history = History(original())
    history.journal.clear()
    cluster, log = history.write()
    home = TOPICS.journal_of("task")
    for event in journal:
        log.append([Append(*home, b"task", CODEC.encode(event), headers_of(event))])
    report = verify(log=log, coordination=log, topics=TOPICS, codec=CODEC)
    assert report.events + report.unreadable == len(journal) == cluster.partition(*home).end - history.ends[home]
    assert report.tasks == 1


@st.composite
def alterations(draw: st.DrawFn) -> History:
    """Draw a history that was good until a few of its records were altered, lost, repeated or moved."""
    history = History(original())
    for _ in range(draw(st.integers(1, 3))):
        entries = draw(st.sampled_from((history.journal, history.work)))
        entry: Entry = draw(st.sampled_from(entries))
        how = draw(st.sampled_from(("lose", "repeat", "move", "alter", "alter", "alter")))
        if how == "lose":
            entries.remove(entry)
        elif how == "repeat":
            entries.append(replace(entry, offset=entry.offset + draw(st.integers(3, 9))))
        elif how == "move":
            entry.offset += draw(st.sampled_from((-31, -11, 4, 14, 34)))
            entry.offset = max(0, entry.offset)
        else:
            entry.event = draw(_altered(entry.event))
    taken: set[tuple[object, int]] = set()
    for entry in history.journal + history.work:
        while (entry.place, entry.offset) in taken:
            entry.offset += 1
        taken.add((entry.place, entry.offset))
    return history


@st.composite
def _altered(draw: st.DrawFn, event: e.Event) -> e.Event:
    numeric = [name for name in event.__struct_fields__ if isinstance(getattr(event, name), int)]
    changes: dict[str, Any] = {draw(st.sampled_from(numeric)): draw(NUMBERS)}
    if isinstance(event, e.ChildrenDispatched | e.ChildrenStopping) and draw(st.booleans()):
        changes = {"releases": tuple(e.Release(*(draw(NUMBERS) for _ in range(4))) for _ in event.releases)}
    if isinstance(event, e.ChildrenCancelled) and draw(st.booleans()):
        changes = {"spans": tuple(e.Span(draw(NUMBERS), draw(NUMBERS)) for _ in event.spans)}
    return structs.replace(event, **changes)


@given(alterations())
@settings(max_examples=150, deadline=None)
def test_altered_histories_are_judged(history: History) -> None:
    report = history.judge()
    assert report.total == len(report.violations)
    assert all(violation.place and violation.expected and violation.found for violation in report.violations)
