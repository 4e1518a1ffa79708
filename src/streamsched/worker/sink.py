"""Where lines of output go: to a descriptor, or to a file that is rotated when it is large."""

from __future__ import annotations

import fcntl
import os
import select
import time
from contextlib import suppress
from typing import BinaryIO, Final

ROTATE_AT_BYTES: Final = 64 * 1024 * 1024
COPY_ROTATE_AT_BYTES: Final = 4 * 1024 * 1024
COPY_LOOK_S: Final = 0.1
"""How long a copy is written to without a look whether it was rotated: it is read for a second more after that."""
LOOK_BYTES: Final = 256 * 1024
"""How much is written to it without a look, at most."""
KEPT_FILES: Final = 4
REMEMBERED_BYTES: Final = 8 * 1024
TAIL_BYTES: Final = 4 * 1024
_TIME_BYTES: Final = len(b"2026-11-28T15:00:00.123Z ")
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_LEAST_FD: Final = 200
"""From which descriptors of our own are numbered: a handler may close low ones, or put something in their place."""


class Sink:
    """Writes to ``fd``, waiting where the reader is slow. Nothing raises: lost output does not fail a handler.

    With ``path``, ``fd`` is that file, open for appending. It is followed when another process rotates it, and rotated
    here when it is larger than ``rotate_at`` bytes: ``output.log`` becomes ``output.log.1``, and so on. ``copy`` gets
    the same; one that ``is_copy`` is looked after less often.
    """

    def __init__(
        self, fd: int, path: str | None = None, *, rotate_at: int = ROTATE_AT_BYTES, copy: Sink | None = None,
        is_copy: bool = False,
    ) -> None:  # fmt: skip
        self._fd = fd
        self._path = path
        self._rotate_at = rotate_at
        self._copy = copy
        self._is_copy = is_copy
        self._look_at = 0.0
        self._unseen = 0
        self._remembered = b""

    def writable(self) -> bool:
        """Return whether a write would not have to wait."""
        poller = select.poll()
        poller.register(self._fd, select.POLLOUT)
        return bool(poller.poll(0))

    def write(self, data: bytes) -> None:
        """Write all of it."""
        self._remembered = (self._remembered + data)[-REMEMBERED_BYTES:]
        if self._copy is not None:
            self._copy.write(data)
        if self._path is not None:
            now, self._unseen = time.monotonic(), self._unseen + len(data)
            if now >= self._look_at or self._unseen > LOOK_BYTES:
                self._look_at, self._unseen = now + COPY_LOOK_S if self._is_copy else now, 0
                with suppress(OSError, ValueError):  # a full disk, a folder that is gone: the old file serves
                    self._follow(self._path)
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # another process made it non-blocking: all who share it are affected
                select.select([], [self._fd], [])
            except OSError:
                return  # nothing reads it any more

    def tail_of(self, prefix: bytes) -> str:
        """Return the end of what was written in lines with this prefix, without it.

        It has 4 KiB at most, and begins with a whole line unless the last one alone is longer.
        """
        begin = _TIME_BYTES + len(prefix)
        lines = [line[begin:] for line in self._remembered.split(b"\n") if line.startswith(prefix, _TIME_BYTES)]
        text = b"\n".join(lines)
        if len(text) > TAIL_BYTES:
            text = text[-TAIL_BYTES:]
            text = text.partition(b"\n")[2] or text
        return text.decode(errors="replace")

    def _follow(self, path: str) -> None:
        ours = os.fstat(self._fd)
        try:
            there = os.stat(path)  # noqa: PTH116 - pathlib is not worth its import here
        except FileNotFoundError:
            self._open(path, ours)
            return
        if not os.path.samestat(ours, there) or (there.st_size >= self._rotate_at and rotate(path, there)):
            self._open(path, ours)

    def _open(self, path: str, ours: os.stat_result) -> None:
        """Put a new file in the place of the old one, wherever this process has it open, as at its stdout.

        A copy is no process's stdout; but the process that reads it may write to it, too.
        """
        new = os.open(path, _FLAGS, 0o600)
        try:
            for name in [str(self._fd)] if self._is_copy else os.listdir("/dev/fd"):  # noqa: PTH208
                with suppress(OSError):  # the one of this list is closed by now
                    if int(name) != new and os.path.samestat(ours, os.fstat(int(name))):
                        os.dup2(new, int(name), os.get_inheritable(int(name)))
        finally:
            os.close(new)


def copy_into(path: str | None) -> Sink | None:
    """Return what appends to a small file, rotated too; None without one, or where it cannot be opened."""
    if path is None:
        return None
    try:
        opened = os.open(path, _FLAGS, 0o600)
    except OSError:
        return None
    try:
        fd = above_handlers(opened)
    finally:
        os.close(opened)
    return Sink(fd, path, rotate_at=COPY_ROTATE_AT_BYTES, is_copy=True)


def above_handlers(fd: int) -> int:
    """Return a copy of a descriptor, out of the reach of handlers."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _LEAST_FD)


def generations(path: str) -> list[BinaryIO]:
    """Open what there is of a file that is rotated, the oldest first; one that is renamed meanwhile is taken once."""
    found: dict[int, BinaryIO] = {}
    for each in (path, *(f"{path}.{number}" for number in range(1, KEPT_FILES + 1))):
        with suppress(FileNotFoundError):
            file = open(each, "rb")  # noqa: PTH123, SIM115 - the caller's; pathlib is not worth its import here
            if found.setdefault(os.fstat(file.fileno()).st_ino, file) is not file:
                file.close()
    return list(found.values())[::-1]


def rotate(path: str, seen: os.stat_result) -> bool:
    """Rename the file that was ``seen``, and those kept before; say whether another file is in its place now.

    Several processes may try at once. Each locks the file itself, through a descriptor of this call. The one that has
    the lock, and still finds the file in its place, renames.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(seen, os.fstat(fd)) and os.path.samestat(seen, os.stat(path)):  # noqa: PTH116
            for number in range(KEPT_FILES, 1, -1):
                with suppress(FileNotFoundError):
                    os.replace(f"{path}.{number - 1}", f"{path}.{number}")  # noqa: PTH105
            os.replace(path, f"{path}.1")  # noqa: PTH105
        return True
    except BlockingIOError:
        return False  # another process is about it: the next write finds the new file
    finally:
        os.close(fd)
