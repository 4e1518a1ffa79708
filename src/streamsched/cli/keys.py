"""Single keys from a terminal, whose mode is restored however the block is left."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from streamsched.domain.errors import InputError

_NAMES: Final = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"k": "up", b"\x1b[B": "down", b"\x1bOB": "down", b"j": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down", b"\x1b[H": "home", b"\x1b[F": "end",
    b"\r": "enter", b"\n": "enter", b"\x1b": "back", b"\x7f": "back", b"q": "quit", b"Q": "quit", b"\x04": "quit",
}  # fmt: skip
_LONGEST: Final = max(map(len, _NAMES))
_REST_S: Final = 0.05
"""How long to wait, after Esc, for the rest of a key that begins with it: over a network it may come later."""
ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


def check_terminal(instead: str) -> None:
    """Raise InputError where there is no terminal that can be drawn on; ``instead`` says what else there is."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("a live view needs a terminal, and there is none", instead)
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        raise InputError(f"a live view cannot be drawn on a terminal of TERM={os.environ.get('TERM', '')!r}", instead)


@contextmanager
def single_keys() -> Iterator[None]:
    """Read keys one by one and do not echo them. Ctrl-C interrupts as ever; SIGTERM and SIGHUP raise SystemExit."""
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    handlers = {each: signal.signal(each, _leave) for each in ENDING}
    now = termios.tcgetattr(number)
    now[3] &= ~(termios.ICANON | termios.ECHO)
    now[6][termios.VSUSP] = b"\0"  # Ctrl-Z would leave the shell with this screen
    try:
        termios.tcsetattr(number, termios.TCSADRAIN, now)
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
        for each, handler in handlers.items():
            signal.signal(each, handler)


def pressed(seconds: float) -> list[str]:
    """Return the names of the keys pressed within so many seconds; keys without a name are left out."""
    number = sys.stdin.fileno()
    if not select.select([number], [], [], seconds)[0]:
        return []
    data = os.read(number, 1024) or b"q"  # nobody is at the terminal any more
    if data.endswith(b"\x1b") and select.select([number], [], [], _REST_S)[0]:
        data += os.read(number, 1024)
    return list(_named(data))


def _named(data: bytes) -> Iterator[str]:
    while data:
        size = next((size for size in range(_LONGEST, 0, -1) if data[:size] in _NAMES), 0)
        if size:
            yield _NAMES[data[:size]]
        data = data[size or 1 :]


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
