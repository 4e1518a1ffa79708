"""A view against the fold (invariant 7): every row of its folder, byte for byte, at the positions that it holds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from streamsched.audit.replay import folded
from streamsched.audit.report import Fault, Report
from streamsched.domain.events import Event
from streamsched.log.codec import Codec
from streamsched.log.journal import JournalReader
from streamsched.log.port import Log, TopicPartition
from streamsched.log.topics import Topics
from streamsched.view.rows import META, Row, explain
from streamsched.view.store import FrozenStore, RocksStore
from streamsched.view.view import View, view_mark

FLUSH_EVERY: Final = 50_000
"""Events between writes of the fold."""
SHOWN: Final = 200
"""Characters of a value that are shown."""

Rows = Iterator[tuple[bytes, bytes]]


class ForeignView(Exception):
    """A folder does not hold a view of this journal."""


def verify_view(
    *,
    log: Log,
    topics: Topics,
    codec: Codec,
    folder: Path,
    journal_id: str,
    task_id: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Fold the journal from nothing up to the positions of a view and compare all rows.

    The view in ``folder`` may be in use: it is read as it is now. ``task_id``: it was made of this task alone.
    ``on_progress`` takes offsets done and to do. Raise ForeignView for a view of another journal, LogError.
    """
    findings = Report()
    view = FrozenStore(folder)
    try:
        mark = next((value for key, value in view.rows() if key == META), b"")
        if mark != view_mark(journal_id):
            raise ForeignView(f"it is {mark.decode(errors='replace')!r}, not a view of this journal")
        with tempfile.TemporaryDirectory(prefix="streamsched-fold-") as scratch:
            store = RocksStore(Path(scratch) / "fold")
            try:
                positions = {
                    int.from_bytes(key[1:]): int.from_bytes(value) for key, value in view.rows() if key[:1] == b"p"
                }
                fold = View(store, codec)
                _fold(fold, positions, task_id, log, topics, codec, findings, on_progress)
                fold.flush()
                _compare(view.rows(), store.scan(b""), folder, findings)
            finally:
                store.close()
    finally:
        view.close()
    return findings


def _fold(
    view: View,
    positions: dict[int, int],
    task_id: str | None,
    log: Log,
    topics: Topics,
    codec: Codec,
    findings: Report,
    on_progress: Callable[[int, int], None],
) -> None:
    """Fold each partition up to its position."""
    places = [TopicPartition(topics.events, partition) for partition in positions]
    starts, ends = log.start(places), log.end(places)
    for place in places:
        if positions[place.partition] > ends[place]:
            expected = f"a position in the journal, which ends at {ends[place]}"
            fault = Fault(7, None, expected, f"the view's position {positions[place.partition]}")
            findings.add(fault, "", f"{place.topic}-{place.partition}-{ends[place]}")
    limits = {place: min(positions[place.partition], ends[place]) for place in places}
    total = sum(max(0, limits[place] - starts[place]) for place in places)
    with closing(JournalReader(log, topics, codec)) as reader:
        for record, event in folded(log, reader, starts, limits):
            if task_id is not None and record.key != task_id.encode():
                continue
            if not isinstance(event, Event):
                findings.unreadable += 1
                continue
            view.apply(event, record.partition)
            findings.events += 1
            if view.full or findings.events % FLUSH_EVERY == 0:
                view.flush()
                on_progress(max(0, total - reader.left(limits)), total)
    on_progress(total, total)
    for partition, position in positions.items():
        view.moved(partition, position)


def _compare(found: Rows, folded: Rows, folder: Path, findings: Report) -> None:
    """Go through both in the order of their keys."""
    theirs, ours = next(found, None), next(folded, None)
    while theirs or ours:
        key = min(row[0] for row in (theirs, ours) if row)
        there = theirs[1] if theirs and theirs[0] == key else None
        here = ours[1] if ours and ours[0] == key else None
        if key != META and there != here:
            _report(key, here, there, folder, findings)
        if there is not None:
            theirs = next(found, None)
        if here is not None:
            ours = next(folded, None)
            findings.tasks += key[:1] == b"t"


def _report(key: bytes, here: bytes | None, there: bytes | None, folder: Path, findings: Report) -> None:
    """Say in which value two rows differ first."""
    ours, theirs = _explained(key, here), _explained(key, there)
    row = ours or theirs or Row("", None, {key.hex(): None})
    child = row.child
    if here is None or there is None:
        what = f"the row of {', '.join(list(row.values)[:3])}"
        expected, found = ("no such row", what) if here is None else (what, "no such row")
    elif ours is None or theirs is None or list(ours.values) != list(theirs.values):
        expected, found = f"the bytes {here.hex()}", there.hex()
    else:
        name = next((name for name, value in ours.values.items() if theirs.values[name] != value), "bytes")
        expected, found = f"{name} {ours.values.get(name, here.hex())}", str(theirs.values.get(name, there.hex()))
        if key[:1] == b"c":
            child = int(name.removeprefix("child "))
    findings.add(Fault(7, child, _shown(expected), _shown(found)), row.task_id, str(folder))


def _explained(key: bytes, value: bytes | None) -> Row | None:
    try:
        return None if value is None else explain(key, value)
    except Exception:  # whatever is wrong with these bytes, they differ
        return None


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
