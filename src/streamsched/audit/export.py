"""``export``: the history as a file, JSON lines or Parquet, whole or not at all.

Rows stand in the order of ``replay``: merged by time, in order within each partition. A record that is not an event has
a row too, with the reason. Memory stays bounded: lines are written as they come, Parquet in row groups.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Protocol

from streamsched.audit.document import entry
from streamsched.audit.replay import Positions, history
from streamsched.log.codec import Codec
from streamsched.log.port import Log
from streamsched.log.topics import Topics

FORMATS: Final = ("parquet", "jsonl")
GROUP_ROWS: Final = 50_000
GROUP_BYTES: Final = 16 * 1024 * 1024
"""Rows, and bytes of JSON, of one row group of a Parquet file."""

_PLACE: Final = ("topic", "partition", "offset", "timestamp", "event")
_TEXTS: Final = ("event_id", "by", "task_id", "reason", "error")
_NUMBERS: Final = ("child", "ordinal", "attempt", "sequence", "basis")
COLUMNS: Final = (*_PLACE, "at", *_TEXTS, *_NUMBERS, "document")
"""Columns of a Parquet file: ``document`` is the row of JSON lines; what an event does not have is null."""

Progress = Callable[[int, int], None]


class NoParquet(Exception):
    """Parquet needs a package that is not installed; the message says which."""


class _Sink(Protocol):
    def write(self, row: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


def export(
    path: Path,
    kind: str,
    *,
    log: Log,
    topics: Topics,
    codec: Codec,
    ends: Positions,
    task_id: str | None = None,
    on_progress: Progress = lambda done, total: None,
) -> tuple[int, int]:
    """Write the history up to these ends into a file; return how many rows it has, and how many are not events.

    The file appears, or replaces an older one, when it is whole. ``on_progress`` takes offsets done and to do. Raise
    NoParquet where pyarrow is missing, OSError where the file cannot be written; nothing is left of it then.
    """
    starts = log.start(list(ends))
    reached = dict(starts)
    total = sum(max(0, ends[place] - starts[place]) for place in ends)
    rows = unreadable = 0
    with _written(path, kind) as sink:
        for record, event in history(log, topics, codec, ends, task_id):
            row = entry(record, event)
            sink.write(row)
            rows += 1
            unreadable += row["event"] is None
            reached[topics.journal()[record.partition]] = record.offset + 1
            if rows % 1_000 == 0:
                on_progress(sum(reached[place] - starts[place] for place in reached), total)
    on_progress(total, total)
    return rows, unreadable


@contextmanager
def _written(path: Path, kind: str) -> Iterator[_Sink]:
    """Write beside the file, and put it into its place at the end."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    sink: _Sink = _Parquet(part) if kind == "parquet" else _Lines(part)
    try:
        try:
            yield sink
        finally:
            sink.close()
        with part.open("rb") as whole:
            os.fsync(whole.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class _Lines:
    """One JSON document a line, in ASCII."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("w", encoding="ascii")

    def write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """Columns, in row groups."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise NoParquet("Parquet needs the package pyarrow: pip install 'streamsched[parquet]'") from error
        stamp = pyarrow.timestamp("ms", tz="UTC")
        kinds = {"partition": pyarrow.int32(), "offset": pyarrow.int64(), "timestamp": stamp, "at": stamp}
        kinds |= dict.fromkeys(_NUMBERS, pyarrow.int64())
        self._arrow: Any = pyarrow
        self._schema: Any = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
        self._writer: Any = pyarrow.parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[tuple[Any, ...]] = []
        self._size = 0

    def write(self, row: dict[str, Any]) -> None:
        text = json.dumps(row)
        self._rows.append((*(row.get(name) for name in COLUMNS[:-1]), text))
        self._size += len(text)
        if len(self._rows) >= GROUP_ROWS or self._size >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = zip(*self._rows, strict=True)
        arrays = [
            self._arrow.array(column, type=field.type) for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()
        self._size = 0
