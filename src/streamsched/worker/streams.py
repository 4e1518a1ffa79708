"""What stands in for ``sys.stdout`` and ``sys.stderr`` in an executor: whole again for each child."""

from __future__ import annotations

import fcntl
import io
import os
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from streamsched.worker.logs import Logs
from streamsched.worker.output import PIECE, Output
from streamsched.worker.sink import Sink

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STANDARD: Final = ((1, "stdout"), (2, "stderr"))


class Raw(io.RawIOBase):
    """The unbuffered layer. Closing it does nothing: it belongs to the children to come as well."""

    mode = "wb"

    def __init__(self, output: Output, fd: int, name: str) -> None:
        self.name = name
        self._output = output
        self._fd = fd

    def writable(self) -> bool:
        """Say that it can be written to."""
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
        """Return the unbuffered layer; this one goes on working."""
        return self.raw


class Stream(io.TextIOWrapper):
    """The layer of text. It writes UTF-8, with an escape for what has none, whatever ``reconfigure`` is told."""

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
        """Return the layer of bytes; this one goes on working, for the children to come."""
        self.flush()
        return self.buffer

    def reconfigure(self, **options: Any) -> None:
        """Change what it says of itself, for this child."""
        super().reconfigure(**options)
        vars(self)["_reconfigured"] = True

    def restore(self) -> None:
        """Have it say of itself what it said at first."""
        super().reconfigure(
            encoding="utf-8", errors="backslashreplace", newline=None, line_buffering=True, write_through=False
        )


class Capture(Output):
    """The output of this process: what is printed to ``sys.stdout`` and ``sys.stderr``, and logged from INFO on."""

    def __init__(self, path: str | None, memory: memoryview) -> None:
        # A descriptor of its own: a handler may close the process's stdout, or put something else in its place.
        fd = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
        super().__init__(Sink(fd, path), memory)
        self._out, self._err = (Stream(self, number, name) for number, name in STANDARD)
        pair = (self._out, self._err)
        self._layers = [each for stream in pair for each in (stream, stream.buffer, stream.buffer.raw)]
        self._made = [dict(vars(each)) for each in self._layers]
        self._names = [
            ("stdout", self._out), ("stderr", self._err), ("__stdout__", self._out), ("__stderr__", self._err),
        ]  # fmt: skip
        self._set()
        self._logs = Logs(self._err)
        os.register_at_fork(after_in_child=self.forked)

    def begin(self, task_id: str, child: int, attempt: int) -> None:
        """Say whose output comes now, and put back what the child before has changed."""
        if any(getattr(sys, name, None) is not stream for name, stream in self._names):
            self._set()
        super().begin(task_id, child, attempt)
        try:
            changed = [vars(each) for each in self._layers] != self._made
        except BaseException:  # what a handler has set there may raise when it is compared
            changed = True
        if changed:
            self._make_whole()
        self._logs.restore()

    def end(self) -> None:
        """Write everything, also what the handler's own wrapper around a stream still holds."""
        for name, stream in self._names:
            own = getattr(sys, name, None)
            if own is not stream:
                with suppress(BaseException):
                    own.flush()  # type: ignore[union-attr]
        super().end()

    def resolved(self, handler: str) -> None:
        """Keep how logging is, after the handler's module was imported for the first time, or put it back."""
        self._logs.resolved(handler)

    def _make_whole(self) -> None:
        """Open both streams again, with their own methods and settings."""
        for each, made in zip(self._layers, self._made, strict=True):
            vars(each).clear()
            vars(each).update(made)
        self._out.restore()
        self._err.restore()

    def _set(self) -> None:
        for name, stream in self._names:
            setattr(sys, name, stream)
