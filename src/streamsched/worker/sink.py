"""Where lines of output go: to a descriptor, or to a file that is rotated when it is large."""

from __future__ import annotations

import fcntl
import os
import select
from contextlib import suppress
from typing import Final

ROTATE_AT_BYTES: Final = 64 * 1024 * 1024
KEPT_FILES: Final = 4
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class Sink:
    """Writes to ``fd``, waiting where the reader is slow. Nothing raises: lost output does not fail a handler.

    With ``path``, ``fd`` is that file, open for appending. It is followed when another process rotates it, and rotated
    here when it is larger than ``rotate_at`` bytes: ``output.log`` becomes ``output.log.1``, and so on.
    """

    def __init__(self, fd: int, path: str | None = None, *, rotate_at: int = ROTATE_AT_BYTES) -> None:
        self._fd = fd
        self._path = path
        self._rotate_at = rotate_at

    def writable(self) -> bool:
        """Return whether a write would not have to wait."""
        poller = select.poll()
        poller.register(self._fd, select.POLLOUT)
        return bool(poller.poll(0))

    def write(self, data: bytes) -> None:
        """Write all of it."""
        if self._path is not None:
            with suppress(OSError, ValueError):  # a full disk, a folder that is gone: the old file serves
                self._follow(self._path)
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # another process made it non-blocking: all who share it are affected
                select.select([], [self._fd], [])
            except OSError:
                return  # nothing reads it any more

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
        """Put a new file in the place of the old one, wherever this process has it open, as at its stdout."""
        new = os.open(path, _FLAGS, 0o600)
        try:
            for name in os.listdir("/dev/fd"):  # noqa: PTH208
                with suppress(OSError):  # the one of this list is closed by now
                    if int(name) != new and os.path.samestat(ours, os.fstat(int(name))):
                        os.dup2(new, int(name), os.get_inheritable(int(name)))
        finally:
            os.close(new)


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
