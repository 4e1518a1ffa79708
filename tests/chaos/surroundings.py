"""What is wrong around a node: its clock, and the disk under it."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import struct
import tempfile
from pathlib import Path
from typing import Final

HOUR: Final = 3600
_NS: Final = 1_000_000_000
_BLOCK: Final = 4096


class Clock:
    """The wall clock of one node: real time plus some seconds, which may change at any moment."""

    def __init__(self, file: Path, seconds: float) -> None:
        self._file = file
        self.set(seconds)

    @property
    def env(self) -> dict[str, str]:
        """The environment in which a node and its executors use this clock."""
        path = [str(Path(__file__).parent / "clock"), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {"PYTHONPATH": os.pathsep.join(path), "CHAOS_CLOCK": str(self._file)}

    def set(self, seconds: float) -> None:
        """Make it wrong by so many seconds from now on."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("q", int(seconds * _NS)))


class SmallDisk:
    """A file system in memory with room for so many bytes. Only root may mount one.

    Raises:
        PermissionError: this user may not.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        folder.mkdir()
        self._libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
        options = f"size={size}".encode()
        if self._libc.mount(b"chaos", str(folder).encode(), b"tmpfs", 0, options) != 0:
            raise PermissionError(ctypes.get_errno(), f"cannot mount a small disk: {os.strerror(ctypes.get_errno())}")

    @classmethod
    def possible(cls) -> bool:
        """Return whether this user may mount one."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                cls(Path(folder) / "disk", _BLOCK).unmount()
            except PermissionError:
                return False
        return True

    def fill(self) -> None:
        """Write until nothing fits any more."""
        with (self.folder / "fill").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(_BLOCK))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def unmount(self) -> None:
        """Unmount it, even if files on it are still open."""
        self._libc.umount2(str(self.folder).encode(), 2)  # MNT_DETACH
