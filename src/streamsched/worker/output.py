"""Collect what handlers print and log, and write it line by line, each with its time, task, child and attempt.

What is not written yet lies in memory that the pool shares, so that it outlives the process: ``remains`` reads it.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from streamsched.worker.sink import Sink
from streamsched.worker.voices import PREFIX_BYTES, Voice, Voices, prefix_of

CHUNK_BYTES: Final = 4096  # a pipe takes so much at once: lines of executors do not mix; also the longest line
TEXT_BYTES: Final = 64 * 1024
MEMORY_BYTES: Final = 8 + TEXT_BYTES  # a word that says what part of the text is not written yet, then the text
PIECE: Final = 16 * 1024  # characters or bytes of a large write that are copied at once
_SHORT: Final = CHUNK_BYTES - PREFIX_BYTES - 4  # a line below it fits into a chunk
_ROOMY: Final = TEXT_BYTES - CHUNK_BYTES  # below it there is room for a line
_END_BITS: Final = 32
_END_MASK: Final = (1 << _END_BITS) - 1
_RETURNS: Final = re.compile(rb"\n?\r+\n?")
_PLAIN, _CAREFUL, _BUSY = range(3)  # may ``write_text`` go the short way; is another write under way


class Output:
    """Writes lines to ``sink``, prefixed ``2026-11-28T15:00:00.123Z <task id>[<child>]#<attempt> ``.

    A line is written when it is whole: at a flush, at the end of the child, every 20 ms, or when 4 KiB have come
    together. A line longer than 4 KiB is cut into several, each with the prefix. A carriage return ends a line too, so
    that each state of a progress bar is a line. Writing blocks when the reader is slow; that holds up this process and
    no other.
    """

    def __init__(self, sink: Sink, memory: memoryview | None = None) -> None:
        self._sink = sink
        self._through = False
        self._voices = voices = Voices()
        self._head = voices.head
        self._speaker = threading.get_ident
        self._prepare(memory)

    def _prepare(self, memory: memoryview | None) -> None:
        memory = memory if memory is not None else memoryview(bytearray(MEMORY_BYTES))
        self._word, self._text = memory[:8].cast("Q"), memory[8:]
        self._start = self._whole = self._end = 0  # not written yet: whole lines, then perhaps the begin of one
        self._line = 0  # bytes of the line that has begun, with its prefix
        self._key = 0  # the thread and stream that began it
        self._ended: set[int] = set()  # threads and streams whose line was ended for them: their own end is passed over
        self._lock = threading.RLock()
        self._state = _PLAIN
        self._late: deque[tuple[int, bytes]] = deque()

    def begin(self, task_id: str, child: int | str, attempt: int) -> None:
        """Set whose output comes now, the reduce by its name. What threads of earlier children write stays theirs."""
        self._voices.begin(task_id, child, attempt)

    def note(self) -> None:
        """Do nothing; ``streams.Capture`` notes what a handler's module has set up."""

    def write(self, data: bytes, stream: int = 0) -> None:
        """Take bytes of ``stream`` 0 or 1; any thread may."""
        with self._lock:
            self._accept(self._speaker() + stream, data)  # idents are addresses, and even

    def write_text(self, stream: int, text: str) -> int:
        """Take text, and return its length. A third of ``write``'s time, where it is short and has one line at most."""
        if type(text) is not str:
            if not issubclass(type(text), str):
                raise TypeError(f"write() argument must be str, not {type(text).__name__}")
            text = str.__str__(text)
        count = len(text)
        if count > PIECE:
            for at in range(0, count, PIECE):
                self.write(text[at : at + PIECE].encode("utf-8", "backslashreplace"), stream)
            return count
        try:
            data = text.encode()
        except UnicodeEncodeError:
            data = text.encode("utf-8", "backslashreplace")
        size = len(data)
        key = self._speaker() + stream
        with self._lock:
            if not self._state:
                self._state = _BUSY
                try:
                    line, at = self._line, self._end
                    if (
                        (key == self._key or not line)
                        and 0 < size < _SHORT - line
                        and at < _ROOMY
                        and (text == "\n" or text.isprintable() or _is_one_line(data))
                    ):
                        if not line:
                            self._key = key
                            data = self._head(key) + data
                            size = len(data)
                        self._end = end = at + size
                        self._text[at:end] = data
                        if data[-1] == 0x0A:
                            self._whole, self._line = end, 0
                        else:
                            self._line = line + size
                        self._word[0] = self._start << _END_BITS | end
                        data = b""
                finally:
                    self._state = _PLAIN
            if data or self._late or self._whole - self._start >= CHUNK_BYTES:
                self._accept(key, data)
        return count

    def flush(self) -> None:
        """Write the lines that are whole."""
        if self._end or self._late:
            self._alone(self._end_forked if self._through else self._write_lines)

    def end(self) -> None:
        """Write everything; a last line without an end gets one."""
        with self._lock:
            while (self._end or self._late) and self._state != _BUSY:  # a signal handler may print meanwhile
                self._alone(self._write_all)

    def tail(self, task_id: str, child: int | str, attempt: int) -> str:
        """Return the end of what a child has printed, once that is written."""
        return self._sink.tail_of(prefix_of(task_id, child, attempt))

    def voice(self, task_id: str, child: int | str, attempt: int) -> Voice:
        """Return what to set as ``VOICE`` where a child runs that shares its thread with others."""
        self._speaker = self._voices.speaker
        return Voice(prefix_of(task_id, child, attempt))

    def end_voice(self, voice: Voice) -> None:
        """Write what a child has printed; a last line without an end gets one."""
        keys = set(voice.keys.values())

        def end() -> None:
            if self._line and self._key & ~1 in keys:
                self._append(b"\n")
            self._write_lines()
            self._ended -= keys | {key + 1 for key in keys}

        if self._end or self._late:
            self._alone(end)
        self._voices.end(voice)

    def flush_if_writable(self) -> None:
        """Write the lines that are whole, as far as that goes without waiting."""
        if self._whole > self._start and self._lock.acquire(blocking=False):
            try:
                while self._whole > self._start and self._sink.writable():
                    self._write_chunk()
            finally:
                self._lock.release()

    def forked(self) -> None:
        """Go on in a forked copy: the parent writes what is in the shared memory, and no thread writes what is here."""
        self._prepare(None)
        self._through, self._state = True, _CAREFUL

    # --- inside, under the lock ---

    def _accept(self, key: int, data: bytes) -> None:
        if self._state == _BUSY:  # this is a signal handler or a finalizer, in the midst of another write of its thread
            self._late.append((key, data))
            return
        self._alone(lambda: self._take(key, data))

    def _alone(self, act: Callable[[], None]) -> None:
        """Do something that nothing may interrupt, and then what came meanwhile."""
        with self._lock:
            if self._state == _BUSY:
                return
            self._state = _BUSY
            try:
                act()
                while self._late:
                    self._take(*self._late.popleft())
                if self._whole - self._start >= CHUNK_BYTES or self._through:
                    self._write_lines(all_of_them=self._through)
            finally:
                self._state = _CAREFUL if self._ended or self._through else _PLAIN

    def _take(self, key: int, data: bytes) -> None:
        half = False
        if b"\r" in data:
            half = data.endswith(b"\r")
            if not self._line or key != self._key:
                data = data.lstrip(b"\r")  # a progress bar begins with it
            data = _RETURNS.sub(b"\n", data)
        if self._ended and key in self._ended:
            self._ended.discard(key)
            data = data.removeprefix(b"\n")
        if not data:
            return
        if self._line and key != self._key:
            self._ended.add(self._key)
            self._append(b"\n")
        self._key = key
        at, size = self._append_lines(data), len(data)
        while at < size:
            end = data.find(b"\n", at) + 1 or size
            self._put(data[at:end])
            at = end
        if half:  # the other half of an end of line may come with the next write
            self._ended.add(key)

    def _append_lines(self, data: bytes) -> int:
        """Add many short lines at once, and return how many bytes they were; 0 where each has to be looked at."""
        count, end = data.count(b"\n"), data.rfind(b"\n") + 1
        if count < 2 or self._line or max(map(len, data.split(b"\n"))) >= _SHORT:
            return 0
        head = self._head(self._key)
        if end + count * len(head) > TEXT_BYTES:
            return 0
        self._append(head + data[: end - 1].replace(b"\n", b"\n" + head) + b"\n")
        return end

    def _put(self, piece: bytes) -> None:
        """Add a line, or a part of one."""
        while True:
            head = b"" if self._line else self._head(self._key)
            room = CHUNK_BYTES - self._line - len(head)
            if len(piece) <= room - 4 or (len(piece) <= room and piece.endswith(b"\n")):
                self._append(head + piece)
                return
            cut = max(0, room - 4)
            while cut < min(len(piece), room - 1) and piece[cut] & 0xC0 == 0x80:  # not inside a character
                cut += 1
            if cut == len(piece):  # the rest of one
                self._append(head + piece)
                return
            self._append(head + piece[:cut] + b"\n")
            piece = piece[cut:]

    def _append(self, data: bytes) -> None:
        end = self._end + len(data)
        if end > TEXT_BYTES:
            self._make_room()
            end = self._end + len(data)
        self._text[self._end : end] = data
        self._end = end
        if data[-1] == 0x0A:
            self._whole, self._line = end, 0
        else:
            self._line += len(data)
        self._word[0] = self._start << _END_BITS | end

    def _make_room(self) -> None:
        self._write_lines()
        if self._start:  # the begin of a line is left, and is shorter than what was written before it
            rest = bytes(self._text[self._start : self._end])
            self._text[: len(rest)] = rest
            self._start, self._whole, self._end = 0, 0, len(rest)
            self._word[0] = self._end

    def _write_all(self) -> None:
        if self._line:
            self._append(b"\n")
        self._write_lines()
        self._ended.clear()

    def _end_forked(self) -> None:
        self._ended.add(self._key)
        self._write_all()

    def _write_lines(self, *, all_of_them: bool = True) -> None:
        least = 0 if all_of_them else CHUNK_BYTES - 1
        while self._whole - self._start > least:
            self._write_chunk()

    def _write_chunk(self) -> None:
        text = bytes(self._text[self._start : min(self._whole, self._start + CHUNK_BYTES)])
        text = text[: text.rfind(b"\n") + 1]
        self._sink.write(_utf_8(text))
        self._start += len(text)
        if self._start == self._end:
            self._start = self._whole = self._end = 0
        self._word[0] = self._start << _END_BITS | self._end


def remains(memory: memoryview) -> bytes:
    """Return what an executor that is dead had not written; the last line may lack its second half."""
    start, end = memory[:8].cast("Q")[0] >> _END_BITS, memory[:8].cast("Q")[0] & _END_MASK
    text = bytes(memory[8 + start : 8 + end])
    return _utf_8(text if text.endswith(b"\n") or not text else text + b"\n")


def _is_one_line(data: bytes) -> bool:
    return b"\r" not in data and data.find(b"\n", 0, len(data) - 1) < 0


def _utf_8(text: bytes) -> bytes:
    if text.isascii():
        return text
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode("utf-8", "replace").encode()
    return text
