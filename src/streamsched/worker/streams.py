"""Replacements of ``sys.stdout`` and ``sys.stderr`` in an executor, restored for each child."""

from __future__ import annotations

import io
import logging
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from streamsched.worker.output import PIECE, Output
from streamsched.worker.sink import Sink, above_handlers, copy_into

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Raw(io.RawIOBase):
    """The unbuffered layer. Closing it does nothing: it belongs to the children to come as well."""

    mode = "wb"

    def __init__(self, output: Output, fd: int, name: str) -> None:
        self.name = name
        self._output = output
        self._fd = fd

    def writable(self) -> bool:
        """Return True: it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the process's own descriptor, for processes that the handler starts: their lines get no prefix."""
        return self._fd

    def write(self, data: ReadableBuffer, /) -> int:
        """Take bytes."""
        view = memoryview(data).cast("B")
        for at in range(0, len(view), PIECE):
            self._output.write(bytes(view[at : at + PIECE]), self._fd - 1)
        return len(view)

    def flush(self) -> None:
        """Write the lines that are whole."""
        self._output.flush()

    def close(self) -> None:
        """Write the lines that are whole."""
        self._output.flush()


class Binary(io.BufferedWriter):
    """The layer of bytes. It keeps nothing back: text and bytes come out in the order in which they were written."""

    raw: Raw

    def write(self, data: ReadableBuffer, /) -> int:
        """Take bytes."""
        return self.raw.write(data)

    def flush(self) -> None:
        """Write the lines that are whole."""
        self.raw.flush()

    def close(self) -> None:
        """Write the lines that are whole."""
        self.raw.flush()

    def detach(self) -> Raw:
        """Return the unbuffered layer; this one continues working."""
        return self.raw


class Stream(io.TextIOWrapper):
    """The text layer. It always writes UTF-8 and escapes lone surrogates; ``reconfigure`` does not change that."""

    buffer: Binary

    def __init__(self, output: Output, fd: int, name: str) -> None:
        super().__init__(
            Binary(Raw(output, fd, f"<{name}>")), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )
        vars(self)["mode"] = "w"
        self.write = partial(output.write_text, fd - 1)  # type: ignore[method-assign] # one call less for each print

    @property
    def closed(self) -> bool:
        """Whether this child has closed it."""
        return "_shut" in vars(self)

    def flush(self) -> None:
        """Write the lines that are whole."""
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        self.buffer.flush()

    def close(self) -> None:
        """Close it for this child."""
        self.buffer.flush()
        vars(self)["_shut"] = True
        vars(self).pop("write", None)

    def detach(self) -> Binary:
        """Return the layer of bytes; this one continues working, for the children to come."""
        self.flush()
        return self.buffer

    def reconfigure(self, **options: Any) -> None:
        """Change what it says of itself, for this child."""
        super().reconfigure(**options)
        vars(self)["_reconfigured"] = True

    def restore(self) -> None:
        """Restore the attributes that it had at first."""
        super().reconfigure(
            encoding="utf-8", errors="backslashreplace", newline=None, line_buffering=True, write_through=False
        )


class Capture(Output):
    """The output of this process: what is printed to ``sys.stdout`` and ``sys.stderr``, and logged from INFO on.

    If a handler replaces the streams, ``isolation`` restores them; if it changes them inside, this class does.
    """

    def __init__(self, path: str | None, copy_path: str | None, memory: memoryview) -> None:
        super().__init__(Sink(above_handlers(1), path, copy=copy_into(copy_path)), memory)
        self._out, self._err = Stream(self, 1, "stdout"), Stream(self, 2, "stderr")
        self._logs = logging.StreamHandler(self._err)
        logging.basicConfig(level=logging.INFO, handlers=[self._logs], format="%(levelname)s %(name)s: %(message)s")
        pair = (self._out, self._err)
        self._parts: list[Any] = [part for stream in pair for part in (stream, stream.buffer, stream.buffer.raw)]
        self._parts.append(self._logs)
        self._inside = [vars(part) for part in self._parts]
        self.note()
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = pair  # type: ignore[misc]

    def note(self) -> None:
        """Record the present state as the one to restore: the import of a handler's module may set up logging."""
        self._noted = [_copied(attributes) for attributes in self._inside]

    def begin(self, task_id: str, child: int | str, attempt: int) -> None:
        """Set whose output comes now, and undo what the previous child changed inside the streams."""
        self._voices.begin(task_id, child, attempt)
        try:
            changed = self._inside != self._noted or sys.__stdout__ is not self._out or sys.__stderr__ is not self._err
        except BaseException:  # what a handler has set there may raise when it is compared
            changed = True
        if changed:
            for attributes, noted in zip(self._inside, self._noted, strict=True):
                attributes.clear()
                attributes.update(_copied(noted))
            self._out.restore()
            self._err.restore()
            sys.__stdout__, sys.__stderr__ = self._out, self._err  # type: ignore[misc]


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if type(value) is list else value for name, value in attributes.items()}
