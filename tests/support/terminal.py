"""A terminal as people have it: a real process on a pseudo-terminal, keys that are sent, a screen that is read."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import pyte

from tests.support.cli import LIMIT, Cli


class Terminal:
    """Runs a command of a folder on a terminal of this size. Use it as a context manager."""

    def __init__(
        self, cli: Cli, *arguments: str | Path, columns: int = 80, lines: int = 24, term: str = "xterm-256color"
    ) -> None:
        self._master, slave = pty.openpty()
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""
        """All that came, with what the terminal obeys."""
        self._size(columns, lines)
        self._begun = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamsched", *map(str, arguments)],
            cwd=cli.folder, env={**_without_size(cli.environment), "TERM": term},
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=_take_terminal,
        )  # fmt: skip
        self._slave = slave

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._slave)
        os.close(self._master)

    @property
    def rows(self) -> list[str]:
        """The rows of the screen as they are now."""
        return [row.rstrip() for row in self._screen.display]

    @property
    def text(self) -> str:
        """The screen."""
        return "\n".join(self.rows).rstrip()

    @property
    def cells(self) -> list[tuple[str, Any]]:
        """What stands on the screen and its colour, sign by sign."""
        return [
            (cell.data, cell.fg)
            for row in self._screen.buffer.values()
            for cell in row.values()
            if cell.data.strip()
        ]  # fmt: skip

    @property
    def restored(self) -> bool:
        """Whether the terminal is as it was: its modes, the cursor, and the screen that was there before."""
        modes = termios.tcgetattr(self._slave) == self._begun
        entered, left = (self.written.rfind(code) for code in (b"\x1b[?1049h", b"\x1b[?1049l"))
        return modes and not self._screen.cursor.hidden and left >= entered

    def until(self, condition: Callable[[str], bool]) -> str:
        """Read until the screen is as wanted; returns it."""
        deadline = time.monotonic() + LIMIT
        while not condition(self.text):
            assert time.monotonic() < deadline, f"never so:\n{self.text}"
            self._read(0.1)
        return self.text

    def send(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the window."""
        self._screen.resize(lines, columns)
        self._size(columns, lines)
        self.process.send_signal(signal.SIGWINCH)

    def ended(self) -> int:
        """Wait for the end of the process; returns its code."""
        deadline = time.monotonic() + LIMIT
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.text}"
            self._read(0.1)
        while self._read(0.1):
            pass
        return self.process.returncode

    def _size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        data = os.read(self._master, 1 << 16)
        self.written += data
        self._stream.feed(data)
        return bool(data)


def _without_size(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out the size that a runner of tests says: it would go before that of the terminal."""
    return {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
