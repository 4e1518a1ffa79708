"""Where a view keeps its rows: RocksDB, or a dict for a view that need not last."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from rocksdict import AccessType, Options, Rdict, WriteBatch

MIB = 1 << 20
logger = logging.getLogger(__name__)


class Store(Protocol):
    """Sorted rows, written in atomic batches."""

    def get(self, key: bytes) -> bytes | None:
        """Read one row."""

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose key begins with ``prefix``, in order, from ``start`` on."""

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write (or with None delete) all these rows, or none."""

    def close(self) -> bool:
        """Close files and release locks; return whether everything was written."""


class StoreUnusable(Exception):
    """The folder cannot be opened: broken, in use, or on a disk that is full."""


class RocksStore:
    """Rows in a RocksDB folder, for one process at a time.

    What cannot be written, because the disk is full, stays in memory and is written with a later batch.
    """

    def __init__(self, folder: Path) -> None:
        """Open the folder, and make it if it is missing. Raise StoreUnusable."""
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(4 * MIB)
        options.set_max_write_buffer_number(2)
        options.set_max_open_files(64)
        options.set_keep_log_file_num(1)
        self._folder = folder
        self._unwritten: dict[bytes, bytes | None] = {}
        try:
            self._db = Rdict(str(folder), options)
        except Exception as error:  # the library has no other
            raise StoreUnusable(f"{folder}: {error}") from error

    def get(self, key: bytes) -> bytes | None:
        """Read one row."""
        value: bytes | None = self._unwritten[key] if key in self._unwritten else self._db.get(key)
        return value

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield rows in order."""
        first = max(prefix, start)
        if not self._unwritten:
            return self._written(prefix, first)
        rows: dict[bytes, bytes | None] = dict(self._written(prefix, first))
        rows |= {key: value for key, value in self._unwritten.items() if key.startswith(prefix) and key >= first}
        return ((key, value) for key, value in sorted(rows.items()) if value is not None)

    def write(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Write one batch, with all that could not be written before it."""
        known = bool(self._unwritten)
        self._unwritten |= rows
        batch = WriteBatch(raw_mode=True)
        for key, value in self._unwritten.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        try:
            self._db.write(batch)
        except Exception as error:  # the library has no other
            if not known:
                logger.error("the view is kept in memory until it can be written: make room on its disk: %s", error)
        else:
            self._unwritten.clear()
            if known:
                logger.warning("the view in %s can be written again", self._folder)

    def close(self) -> bool:
        """Close the folder; return whether everything was written."""
        if self._unwritten:
            self.write({})
        try:
            self._db.close()
        except Exception as error:  # after a batch that could not be written
            logger.error(
                "the view in %s was not closed cleanly; what it lacks is folded again: %s", self._folder, error
            )
            return False
        return not self._unwritten

    def _written(self, prefix: bytes, first: bytes) -> Iterator[tuple[bytes, bytes]]:
        rows: Any = self._db.items(from_key=first)
        for key, value in rows:
            if not key.startswith(prefix):
                return
            yield key, value


class FrozenStore:
    """The rows of a RocksDB folder as they are when it is opened; another process may write it meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._notes = tempfile.mkdtemp(prefix="streamsched-view-")
        try:
            self._db = Rdict(str(folder), Options(raw_mode=True), access_type=AccessType.secondary(self._notes))
        except BaseException:
            shutil.rmtree(self._notes, ignore_errors=True)
            raise

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows in order."""
        rows: Any = self._db.items()
        yield from rows

    def close(self) -> None:
        """Close, and remove the folder of RocksDB's notes."""
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
        """Yield rows in order."""
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

    def close(self) -> bool:
        """Forget all."""
        self._rows.clear()
        return True
