"""What the handlers of a task have printed, from the file that ``run`` and ``up`` write it to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from streamsched.domain.errors import InputError
from streamsched.worker.sink import generations
from streamsched.worker.voices import printed_name

STAGES: Final = ("split", "reduce")
LINE_BYTES: Final = 64 * 1024
_TIME: Final = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "
_PARTS: Final = re.compile(r"(\S+) \S+\[(\d+|split|reduce)\]#(\d+) (.*)", re.DOTALL | re.ASCII)


def begin_of(task_id: str, child: str | None) -> re.Pattern[bytes]:
    """Return what the lines of a task, or of one child of it, begin with."""
    which = rb"(?:\d+|split|reduce)" if child is None else re.escape(child.encode())
    return re.compile(_TIME + re.escape(printed_name(task_id).encode()) + rb"\[" + which + rb"\]#\d{1,10} ")


def child_shown(child: str, source: str) -> str:
    """Return what stands for a child in its lines: its number, ``split`` or ``reduce``. Raise InputError."""
    if child in STAGES:
        return child
    if not (child.isascii() and child.isdigit()):
        raise InputError(f"{child[:200]!r} is no child", f"give its number, or {' or '.join(STAGES)}", source=source)
    return child.lstrip("0") or "0"


def parts_of(line: str) -> tuple[str, str, int, str]:
    """Return time, child, attempt and text of a line."""
    found = _PARTS.fullmatch(line)
    assert found is not None, line  # noqa: S101 - it was chosen by ``begin_of``
    return found[1], found[2], int(found[3]), found[4]


class Printed:
    """The lines of a task, or of one child of it: those that are there, then those that come. Close it."""

    def __init__(self, path: Path, task_id: str, child: str | None = None) -> None:
        self._path = path
        self._wanted = begin_of(task_id, child)
        self._files: list[BinaryIO] = []
        self._begun = b""
        """The begin of a line whose end is not written yet."""

    def read(self) -> Iterator[str]:
        """Yield the lines that came since the last call."""
        self._files = self._files or generations(str(self._path))
        while self._files:
            yield from self._lines(self._files[0])
            if len(self._files) > 1:
                self._files.pop(0).close()
            elif not (newer := self._newer(self._files[0])):
                return
            else:
                self._files += newer
                yield from self._lines(self._files[0])  # what came before the other took its place
                self._files.pop(0).close()

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
        self._files.clear()

    def _newer(self, file: BinaryIO) -> list[BinaryIO]:
        """Return the file that is in the place of this one now, if that is another."""
        with suppress(FileNotFoundError):
            new = self._path.open("rb")
            if not os.path.samestat(os.fstat(new.fileno()), os.fstat(file.fileno())):
                return [new]
            new.close()
        return []

    def _lines(self, file: BinaryIO) -> Iterator[str]:
        while part := file.readline(LINE_BYTES):
            line, self._begun = self._begun + part, b""
            if not line.endswith(b"\n") and len(line) < LINE_BYTES:
                self._begun = line
            elif self._wanted.match(line):
                yield line.decode(errors="replace").rstrip("\n")
