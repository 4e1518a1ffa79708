"""Put any error into text: its name, its message, its traceback.

The error is the user's, and nothing of it is trusted. What Python itself keeps of an error is read directly, past
whatever its class overrides. What only its class knows is asked for with care. Nothing here raises. The number of
errors, frames and characters that are shown is bounded.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final

MESSAGE_LIMIT_BYTES: Final = 4 * 1024
TRACEBACK_LIMIT_BYTES: Final = 16 * 1024
NAME_LIMIT_BYTES: Final = 256
LINE_LIMIT_BYTES: Final = 2 * 1024
HEAD_FRAMES: Final = 20
TAIL_FRAMES: Final = 60
MOST_ERRORS: Final = 24  # of one chain, with all that its groups hold
MOST_IN_GROUP: Final = 10
MOST_NOTES: Final = 20
SOURCE_LIMIT_BYTES: Final = 4 * 1024 * 1024
_CAUSED: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_DURING: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"
_SYNTAX: Final = (SyntaxError, IndentationError, TabError)
_SYNTAX_FIELDS: Final = ("filename", "lineno", "offset", "text", "end_lineno", "end_offset")


def _own(cls: type, name: str) -> Any:
    """Return the getter of ``cls`` itself for this attribute, which no subclass and no metaclass overrides."""
    return cls.__dict__[name].__get__


_name, _qualified, _module = _own(type, "__name__"), _own(type, "__qualname__"), _own(type, "__module__")
_cause, _context = _own(BaseException, "__cause__"), _own(BaseException, "__context__")
_suppressed = _own(BaseException, "__suppress_context__")
_grouped = _own(BaseExceptionGroup, "exceptions")
frames_of: Any = _own(BaseException, "__traceback__")
"""Return the traceback that Python keeps of an error, or ``None``."""


def cut(text: str, limit: int) -> str:
    """Shorten to ``limit`` bytes of UTF-8: a quarter from the beginning, the rest from the end."""
    if len(text) > 2 * limit:  # or all of it would be encoded
        text = text[:limit] + text[-limit:]
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > limit:
        gap = b"\n...\n"
        head = limit // 4
        data = data[:head] + gap + data[len(data) - (limit - head - len(gap)) :]
    return data.decode("utf-8", "ignore")


def is_a(error: BaseException, cls: type) -> bool:
    """Return whether the error is of this class. ``isinstance`` would believe the error's own ``__class__``."""
    return issubclass(type(error), cls)


def type_name(value: object) -> str:
    """Return the name of a value's class, whatever its metaclass says."""
    return cut(str.__str__(_name(type(value))), NAME_LIMIT_BYTES)


def name_of(error: BaseException) -> str:
    """Return the name of the error's class."""
    return type_name(error)


def qualified_name_of(error: BaseException) -> str:
    """Return the name of the error's class with its module, as in a traceback of Python's own."""
    cls = type(error)
    name = str.__str__(_qualified(cls))
    try:
        module = _module(cls)
    except AttributeError:
        module = None
    if issubclass(type(module), str) and module not in ("__main__", "builtins"):
        name = f"{str.__str__(module)}.{name}"
    return cut(name, NAME_LIMIT_BYTES)


def message_of(error: BaseException) -> str:
    """Return what the error says of itself, or its class's name where it says nothing."""
    try:
        text = str.__str__(str(error))
    except BaseException as broken:  # a broken __str__ of the user's must not hide the error
        text = f"(its message cannot be shown: {name_of(broken)} in its __str__)"
    return cut(text or name_of(error), MESSAGE_LIMIT_BYTES)


def trace_of(error: BaseException, frames: TracebackType | None) -> str:
    """Return the traceback of an error and of those before it. ``frames``: those to show of the error itself."""
    try:
        return cut("".join(_Trace().chain(error, frames)), TRACEBACK_LIMIT_BYTES)
    except BaseException:  # for want of memory, or because a name or a loader of the user's is no such thing
        return f"{qualified_name_of(error)}: {message_of(error)}\n"


class _Trace:
    """Writes one error with its causes and its groups; ``_left`` is how many errors it may still write."""

    def __init__(self) -> None:
        self._left = MOST_ERRORS

    def chain(self, error: BaseException, frames: TracebackType | None) -> Iterator[str]:
        """Write an error after the ones before it, as Python does: the earliest first."""
        links = [(error, frames, "")]
        met = {id(error)}
        more = 0
        at = error
        while True:
            earlier, joint = _cause(at), _CAUSED
            if earlier is None and not _suppressed(at):
                earlier, joint = _context(at), _DURING
            if earlier is None or id(earlier) in met:
                break
            met.add(id(earlier))
            if len(links) < self._left:
                links.append((earlier, frames_of(earlier), joint))
            else:
                more += 1
            at = earlier
        self._left -= len(links)
        if more:
            yield f"({more:,} earlier errors are not shown)\n\n"
        for one, its_frames, joint in reversed(links):
            yield from self._error(one, its_frames)
            yield joint

    def _error(self, error: BaseException, frames: TracebackType | None) -> Iterator[str]:
        if frames is not None:
            yield "Traceback (most recent call last):\n"
            yield from _frame_lines(frames)
        yield _headline(error)
        yield from _notes(error)
        if is_a(error, BaseExceptionGroup):
            yield from self._group(_grouped(error))

    def _group(self, errors: tuple[BaseException, ...]) -> Iterator[str]:
        for number, error in enumerate(errors[:MOST_IN_GROUP], 1):
            if self._left <= 0:
                break
            yield f"  +-- {number} of {len(errors):,}\n"
            for text in self.chain(error, frames_of(error)):
                yield "".join(f"  | {line}" for line in text.splitlines(keepends=True))


def _headline(error: BaseException) -> str:
    if type(error) in _SYNTAX:
        import traceback  # late: most executors never need it

        try:
            return "".join(traceback.format_exception_only(_plain_syntax_error(error)))
        except BaseException:  # noqa: S110 - the line below says what can be said
            pass
    name, text = qualified_name_of(error), message_of(error)
    return f"{name}\n" if text == name_of(error) else f"{name}: {text}\n"


def _plain_syntax_error(error: Any) -> SyntaxError:
    """Copy it with such fields only as a compiler sets: what prints one trusts them, and follows its causes."""
    details = []
    for field in _SYNTAX_FIELDS:
        value = getattr(error, field, None)
        good = len(value) <= LINE_LIMIT_BYTES if type(value) is str else type(value) is int and 0 <= value < 2**31
        details.append(value if good else None)
    made: SyntaxError = type(error)(message_of(error))
    message = getattr(error, "msg", None)
    made.msg = cut(message, MESSAGE_LIMIT_BYTES) if type(message) is str else message_of(error)
    made.filename, made.lineno, made.offset, made.text, made.end_lineno, made.end_offset = details
    return made


def _notes(error: BaseException) -> Iterator[str]:
    try:
        notes = error.__notes__
        if type(notes) is not list:
            return
        for note in notes[:MOST_NOTES]:
            yield cut(str.__str__(note if issubclass(type(note), str) else repr(note)), LINE_LIMIT_BYTES) + "\n"
    except BaseException:
        return


def _frame_lines(frames: TracebackType) -> Iterator[str]:
    """Write the first and the last frames: a recursion may have left hundreds of thousands."""
    import traceback

    last: deque[TracebackType] = deque(maxlen=TAIL_FRAMES)
    count = 0
    at: TracebackType | None = frames
    while at is not None:
        last.append(at)
        count += 1
        at = at.tb_next
    between = count - HEAD_FRAMES - TAIL_FRAMES
    for shown, limit in [(frames, HEAD_FRAMES), (last[0], TAIL_FRAMES)] if between > 0 else [(frames, count)]:
        try:
            _spare_sources(shown, limit)
            lines = traceback.extract_tb(shown, limit).format()
        except BaseException:  # linecache asks loaders, which a module may bring along
            lines = [_frame_line(at) for at in _each(shown, limit)]
        for line in lines:
            yield cut(line, LINE_LIMIT_BYTES)
        if shown is frames and between > 0:
            yield f"  ... {between:,} frames ...\n"


def _frame_line(at: TracebackType) -> str:
    code = at.tb_frame.f_code
    return f'  File "{code.co_filename}", line {at.tb_lineno}, in {code.co_name}\n'


def _each(frames: TracebackType, limit: int) -> Iterator[TracebackType]:
    at: TracebackType | None = frames
    while at is not None and limit:
        yield at
        at, limit = at.tb_next, limit - 1


def _spare_sources(frames: TracebackType, limit: int) -> None:
    """Keep ``linecache`` from what is huge, or not a file: compiled code may name ``/dev/zero`` as its source."""
    import linecache

    for name in {at.tb_frame.f_code.co_filename for at in _each(frames, limit)}:
        try:
            found = os.stat(name)  # noqa: PTH116 - the name need not be a path at all
        except OSError:
            continue
        except ValueError:  # a NUL in it
            odd = True
        else:
            odd = not stat.S_ISREG(found.st_mode) or found.st_size > SOURCE_LIMIT_BYTES
        if odd:
            linecache.cache[name] = (0, None, [], name)
