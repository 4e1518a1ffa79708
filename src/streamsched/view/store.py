"""Where a view keeps its rows: RocksDB, or a dict when nothing is to stay."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from rocksdict import AccessType, Options, Rdict, WriteBatch

MIB = 1 << 20


class Store(Protocol):
    """Sorted rows, written in atomic batches."""

    def get(self, key: bytes) -> bytes | None:
        """Read one row."""

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Walk the rows whose key begins with ``prefix``, in order, from ``start`` on."""

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write (or with None delete) all these rows, or none."""

    def close(self) -> None:
        """Let go of files and locks."""


class RocksStore:
    """Rows in a RocksDB folder; one process at a time."""

    def __init__(self, folder: Path) -> None:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(4 * MIB)
        options.set_max_write_buffer_number(2)
        options.set_max_open_files(64)
        options.set_keep_log_file_num(1)
        self._db = Rdict(str(folder), options)

    def get(self, key: bytes) -> bytes | None:
        """Read one row."""
        value: bytes | None = self._db.get(key)
        return value

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Walk rows in order."""
        rows: Any = self._db.items(from_key=max(prefix, start))
        for key, value in rows:
            if not key.startswith(prefix):
                return
            yield key, value

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write one batch."""
        batch = WriteBatch(raw_mode=True)
        for key, value in rows.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        self._db.write(batch)

    def close(self) -> None:
        """Close the folder."""
        self._db.close()


class FrozenStore:
    """Rows of a RocksDB folder as they are at the opening, for reading; another process may go on to write it."""

    def __init__(self, folder: Path) -> None:
        self._notes = tempfile.mkdtemp(prefix="streamsched-view-")
        try:
            self._db = Rdict(str(folder), Options(raw_mode=True), access_type=AccessType.secondary(self._notes))
        except BaseException:
            shutil.rmtree(self._notes, ignore_errors=True)
            raise

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Walk all rows in order."""
        rows: Any = self._db.items()
        yield from rows

    def close(self) -> None:
        """Close, and remove the folder that RocksDB needs for its own notes."""
        self._db.close()
        shutil.rmtree(self._notes, ignore_errors=True)


class MemoryStore:
    """Rows in a dict."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """Read one row."""
        return self._rows.get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Walk rows in order."""
        first = max(prefix, start)
        for key in sorted(key for key in self._rows if key.startswith(prefix) and key >= first):
            yield key, self._rows[key]

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write one batch."""
        for key, value in rows.items():
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value

    def close(self) -> None:
        """Forget all."""
        self._rows.clear()
