"""Whose output it is that is printed, and what its lines begin with; a part of ``output``.

A child speaks with the thread that it runs in. Where several take turns in one thread, each has a *voice*.
"""

from __future__ import annotations

import _thread
import sys
import threading
import time
from contextvars import ContextVar
from itertools import count
from typing import Final

PREFIX_BYTES: Final = 512
_numbers: Final = count(2, 2)
_time_ns = time.time_ns
_ident = threading.get_ident
_thread_count = _thread._count  # noqa: SLF001 - active_count() takes a lock


class Voice:
    """One of these children, with the prefix of its lines."""

    __slots__ = ("keys", "prefix")

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.keys: dict[int, int] = {}
        """By thread, what stands for it: a line is of one child and one thread."""


VOICE: Final[ContextVar[Voice | None]] = ContextVar("voice", default=None)


def prefix_of(task_id: str, child: int | str, attempt: int) -> bytes:
    """Return what stands before the lines of a child, behind their time; nothing before the first child."""
    if not task_id:
        return b""
    return f"{printed_name(task_id)}[{child}]#{attempt} ".encode()


def printed_name(task_id: str) -> str:
    """Return what stands for a task before its lines: the begin of a long id, a strange one in escapes."""
    return (task_id if task_id.isprintable() else ascii(task_id)[1:-1])[: PREFIX_BYTES // 4]


def is_unmistakable(task_id: str) -> bool:
    """Return whether no other task has the same name before its lines."""
    return task_id.isprintable() and len(task_id) < PREFIX_BYTES // 4 and "\\" not in task_id


class Voices:
    """Tells children apart by the thread that prints, or by their voice, and makes what their lines begin with."""

    def __init__(self) -> None:
        self._who: tuple[str, int | str, int] = ("", 0, 0)
        self._millis = self._second = -1
        self._date = self._stamp = self._head = b""  # the last is what lines begin with in this millisecond
        self._threads = -1  # not counted yet
        self._ours: frozenset[int] = frozenset()
        self._prefixes: dict[int, bytes] = {}  # of voices, and of threads that ended children left behind

    def begin(self, task_id: str, child: int | str, attempt: int) -> None:
        """Set whose output comes now, the reduce by its name. What threads of earlier children write stays theirs."""
        count = _thread_count()
        if count != self._threads or self._prefixes:
            self._threads = count
            self._look_at_threads()
        self._who, self._head = (task_id, child, attempt), b""

    def _look_at_threads(self) -> None:
        threads = sys._current_frames()  # noqa: SLF001 - it is documented, and knows threads that C started too
        if not self._ours:
            self._ours = frozenset(threads)
        before = prefix_of(*self._who)
        self._prefixes = {each: self._prefixes.get(each, before) for each in threads if each not in self._ours}

    def speaker(self) -> int:
        """Return what stands for this thread, or for the child that runs in it just now: an even number."""
        voice, ident = VOICE.get(), _ident()
        if voice is None:
            return ident
        key = voice.keys.get(ident)
        if key is None:
            key = voice.keys[ident] = -next(_numbers)  # no ident is negative
            self._prefixes[key] = voice.prefix
        return key

    def head(self, key: int) -> bytes:
        """Return what a line begins with now. ``key`` is the speaker, or that plus one for the other stream."""
        millis = _time_ns() // 1_000_000
        if millis != self._millis:
            self._millis = millis
            second, rest = divmod(millis, 1000)
            if second != self._second:
                self._second = second
                self._date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
            self._stamp, self._head = b"%s.%03dZ " % (self._date, rest), b""
        if self._prefixes and (prefix := self._prefixes.get(key & ~1)):
            return self._stamp + prefix
        if not self._head:
            self._head = self._stamp + prefix_of(*self._who)
        return self._head

    def end(self, voice: Voice) -> None:
        """Forget a voice: its child has ended."""
        for key in voice.keys.values():
            self._prefixes.pop(key, None)
        voice.keys.clear()
