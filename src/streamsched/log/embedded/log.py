"""Opening the embedded log: the one that writes, and those that follow."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from streamsched.log.core import (
    CLUSTER_KEY,
    FORMAT,
    FORMAT_KEY,
    TAIL_BYTES,
    TRANSACTION_TIMEOUT_MS,
    Cluster,
    Connection,
    Faults,
)
from streamsched.log.embedded.store import FollowingStore, RocksStore
from streamsched.log.port import LogTaken, LogUnreachable

EMBEDDED_SESSION_MS: Final = 1 << 62


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000


class EmbeddedLog(Connection):
    """A log in a folder; ``read_only`` follows it while another process writes. Other arguments as ``Cluster``.

    What was committed outlives the death of the process (not, for the last moments, of the machine). Groups and
    transactional ids live in the writing process only. Members never time out by default: those of one process die
    together, and a machine that slept must not lose its running work.

    Raises:
        LogTaken: another process is writing this folder.
        LogUnreachable: there is no log to follow, or the folder holds no log of this version.
    """

    def __init__(
        self,
        folder: Path,
        *,
        read_only: bool = False,
        clock: Callable[[], int] = _wall_clock,
        faults: Faults | None = None,
        session_timeout: int = EMBEDDED_SESSION_MS,
        transaction_timeout: int = TRANSACTION_TIMEOUT_MS,
        tail_bytes: int = TAIL_BYTES,
    ) -> None:
        self._folder = folder
        self._pid_file = None if read_only else folder / "writer.pid"
        self._store = _follow(folder) if read_only else _open(folder)
        try:
            if self._pid_file is not None:
                self._pid_file.write_text(f"{os.getpid()}\n")
            _check_format(self._store, folder, create=not read_only)
            cluster = Cluster(
                self._store,
                clock=clock,
                faults=faults,
                follows=read_only,
                session_timeout=session_timeout,
                transaction_timeout=transaction_timeout,
                tail_bytes=tail_bytes,
            )
        except BaseException:
            self._store.close()
            raise
        super().__init__(cluster, f"process-{os.getpid()}")

    def connect(self, client: str) -> Connection:
        """Open one more connection within this process, as a client of its own; close only the log itself."""
        return Connection(self._cluster, client)

    def refresh(self) -> None:
        """See all that other processes have written until now, also one that has closed the log since."""
        self._store.reopen()

    def close(self) -> None:
        """Close the folder, so that another process can write it."""
        super().close()
        if self._pid_file is not None:
            self._pid_file.unlink(missing_ok=True)
            self._pid_file = None
        self._store.close()


def _open(folder: Path) -> RocksStore:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return RocksStore(folder / "store", create=True)
    except OSError as error:
        raise LogUnreachable(f"the folder {folder} cannot be used for the log: {error}") from error
    except Exception as error:
        if "/LOCK:" not in str(error):
            raise LogUnreachable(f"the embedded log in {folder} cannot be opened: {error}") from error
        raise LogTaken(
            f"the embedded log in {folder} is being written by {_writer_of(folder)}; wait until it "
            "ends, stop it, or use another folder (--data-dir)"
        ) from error


def _follow(folder: Path) -> RocksStore:
    if not (folder / "store" / "CURRENT").exists():
        raise LogUnreachable(
            f"there is no log in {folder}; `streamsched run` and `submit` make one (or give --data-dir, --brokers)"
        )
    try:
        return FollowingStore(folder / "store")
    except Exception as error:
        raise LogUnreachable(f"the embedded log in {folder} cannot be read: {error}") from error


def _writer_of(folder: Path) -> str:
    try:
        return f"process {(folder / 'writer.pid').read_text().strip()}"
    except OSError:
        return "another process"


def _check_format(store: RocksStore, folder: Path, *, create: bool) -> None:
    """Refuse a store of another layout; mark a new one as ours."""
    version = store.get(FORMAT_KEY)
    if version is None and next(store.scan(b"", b"\xff"), None) is None:
        if not create:
            raise LogUnreachable(f"the log in {folder} is still empty; try again in a moment")
        store.write([(FORMAT_KEY, FORMAT), (CLUSTER_KEY, str(uuid.uuid4()).encode())])
        return
    if version != FORMAT:
        name = "no version" if version is None else f"version {version.decode(errors='replace')}"
        raise LogUnreachable(
            f"the store in {folder} has {name} of the log's format, this streamsched reads version "
            f"{FORMAT.decode()}: use the streamsched that wrote it, or another folder (--data-dir)"
        )
