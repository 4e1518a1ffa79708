"""RocksDB as the log core's store: one writer, and any number of followers in other processes."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from rocksdict import AccessType, BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, WriteBatch

from streamsched.log.port import LogUnreachable

_BUFFER: Final = 8 * 1024 * 1024
_OPEN_AGAIN_S: Final = 1.0
"""Seconds after which a follower opens the database anew."""


def _options(*, create: bool) -> Options:
    """Keep memory low (a few buffers of 8 MiB) and write-ahead logs short: followers read those."""
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(_BUFFER))
    options = Options(raw_mode=True)
    options.create_if_missing(create)
    options.set_write_buffer_size(_BUFFER)
    options.set_max_write_buffer_number(3)
    options.set_block_based_table_factory(blocks)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    return options


class RocksStore:
    """An open RocksDB; every failure of it names the folder."""

    def __init__(self, folder: Path, *, create: bool) -> None:
        self._folder = folder
        self._db: Any = Rdict(str(folder), _options(create=create))

    def get(self, key: bytes) -> bytes | None:
        """Read one value."""
        value: bytes | None = self._db.get(key)
        return value

    def scan(self, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs of a range in order, as it was at the beginning.

        The bound is checked here: bounds given in RocksDB's read options were seen to end a scan too early.
        """
        found = self._db.iter()
        found.seek(begin)
        while found.valid():
            key: bytes = found.key()
            if key >= end:
                return
            yield key, found.value()
            found.next()
        self._sound(found)

    def floor(self, begin: bytes, key: bytes) -> tuple[bytes, bytes] | None:
        """Find the last pair at or below ``key``."""
        found = self._db.iter()
        found.seek_for_prev(key)
        if not found.valid():
            self._sound(found)
            return None
        last: bytes = found.key()
        return (last, found.value()) if last >= begin else None

    def write(self, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """Write one batch; it outlives this process as soon as this returns."""
        batch = WriteBatch(raw_mode=True)
        for key, value in puts:
            batch.put(key, value)
        for begin, end in deletes:
            batch.delete_range(begin, end)
        try:
            self._db.write(batch)
        except Exception as error:
            raise LogUnreachable(
                f"the embedded log in {self._folder} cannot be written: {error}; "
                "make room or repair the disk, then start again: nothing that was committed is lost"
            ) from error

    def _sound(self, ended: Any) -> None:
        """Tell the end of the data from data that cannot be read."""
        try:
            ended.status()
        except Exception as error:
            raise LogUnreachable(
                f"the embedded log in {self._folder} cannot be read: {error}; check the disk"
            ) from error

    def refresh(self) -> None:
        """Do nothing: this is the writer."""

    def reopen(self) -> None:
        """Do nothing: this is the writer."""

    def close(self) -> None:
        """Close the database. Where a write has failed, which was told then, the closing fails too: nothing is lost."""
        with suppress(Exception):
            self._db.close()


class FollowingStore(RocksStore):
    """A database that another process may be writing meanwhile, opened as its secondary."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scratch = tempfile.mkdtemp(prefix="streamsched-reader-")
        try:
            self._open()
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise

    def refresh(self) -> None:
        """Catch up with the writer; once a second by opening anew: a secondary can miss what a closing writer wrote."""
        if time.monotonic() < self._open_again:
            self._db.try_catch_up_with_primary()
        else:
            self.reopen()

    def reopen(self) -> None:
        """Open the database anew."""
        self._db.close()
        self._open()

    def _open(self) -> None:
        access = AccessType.secondary(self._scratch)
        self._db = Rdict(str(self._folder), _options(create=False), access_type=access)
        self._open_again = time.monotonic() + _OPEN_AGAIN_S

    def close(self) -> None:
        """Close, and remove the folder that a secondary needs for its own notes."""
        super().close()
        shutil.rmtree(self._scratch, ignore_errors=True)
