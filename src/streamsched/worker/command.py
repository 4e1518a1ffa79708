"""Run a program as a child: start it, pass its output on, ask it to stop, and put its end into words.

It has a session of its own. Its limits, and the kill of all that runs below it, are the pool's: they are those of the
executor. What it leaves running is ended with it.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from streamsched.domain import values
from streamsched.domain.command import FAIL, Call, call_of
from streamsched.domain.routing import EVERYTHING, allows
from streamsched.worker import descendants, isolation, oom
from streamsched.worker.context import ChildContext
from streamsched.worker.errors import (
    BadArguments,
    ChildError,
    CommandFailed,
    CommandNotFound,
    HandlerNotAllowed,
    StopChild,
)
from streamsched.worker.handlers import refusal
from streamsched.worker.payload import write_result

TICK_S: Final = 0.05
"""Seconds between two looks for a stop; a running program counts as alive meanwhile."""
READ_BYTES: Final = 16 * 1024
WORDS_BYTES: Final = 2_000
"""Bytes of the last line on stderr that go into an error."""
LAST_S: Final = 1.0
"""Seconds in which output is read on after the end: another user's process may hold the pipe."""
OOM_EXIT: Final = 137
"""The exit code of what SIGKILL ended, as shells tell it."""
_ABSENT: Final = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP)

Write = Callable[[bytes, int], None]
"""Takes output: bytes of stream 0 (stdout) or 1 (stderr)."""


def run_command(
    context: ChildContext, arguments: str, exit_codes: Mapping[str, str], *, allow: Sequence[str], limit: int,
    write: Write,
) -> str | None:  # fmt: skip
    """Run the program of ``context.handler``, ``$ PROGRAM``, to its end; returns its result as JSON text.

    Raise HandlerNotAllowed, CommandNotFound, BadArguments, CommandFailed (a class named after the end), or StopChild
    where it was asked to stop: it has not completed then, whatever its exit code.
    """
    code = context.handler
    if not (EVERYTHING in allow or allows(allow, code)):
        raise HandlerNotAllowed(refusal(code, code, allow))
    try:
        call = call_of(code, arguments)
    except ValueError as error:
        raise BadArguments(f"the arguments of {code} cannot be read: {error}") from None
    kills = oom.kills()
    running = Running(call, context, limit, write)
    status = running.until_end()
    if running.told:
        raise StopChild
    if status:
        raise failure(call.program, status, exit_codes, running.errors.line(), starved=oom.kills() > kills)
    return running.result()


class CommandNotStarted(CommandFailed):
    """A program could not be started just now, or not in its folder."""


class Tail:
    """The last line of a stream; longer ones than ``limit`` bytes are not kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = bytearray()
        self._cut = False

    def take(self, data: bytes) -> None:
        """Take what comes next."""
        self._bytes += data
        most = self._limit + READ_BYTES
        if len(self._bytes) > 4 * most:
            del self._bytes[:-most]
            self._cut = True

    def line(self) -> bytes | None:
        """Return the last line that is not empty; None where it is too long."""
        text = self._bytes.rstrip()
        at = text.rfind(b"\n")
        line = bytes(text[at + 1 :])
        return None if len(line) > self._limit or (at < 0 and self._cut) else line


class Running:
    """A program that runs. It has started when this is made."""

    def __init__(self, call: Call, context: ChildContext, limit: int, write: Write) -> None:
        if context.should_stop:
            raise StopChild
        self.told = False
        """Whether it was asked to stop."""
        self.output, self.errors = Tail(limit), Tail(WORDS_BYTES)
        self._limit = limit
        self._context = context
        self._write = write
        self._process = _start(call, _line(context, call))
        self._poller = select.poll()
        self._streams: dict[int, tuple[int, Tail]] = {}
        pipes = (self._process.stdout, self.output), (self._process.stderr, self.errors)
        for number, (pipe, tail) in enumerate(pipes):
            if pipe is not None:
                self._streams[pipe.fileno()] = number, tail
                self._poller.register(pipe, select.POLLIN)

    def until_end(self) -> int:
        """Pass its output on until it ends; returns its exit code, or a signal's number below 0."""
        pid = self._process.pid
        status: int | None = None
        end = -1
        try:
            with suppress(AttributeError, OSError):  # not on macOS, nor on old kernels
                end = os.pidfd_open(pid)
            if end >= 0:
                self._poller.register(end, select.POLLIN)
            due = 0.0
            while status is None:
                ended = self._pass_on(TICK_S if end >= 0 or self._streams else TICK_S / 10, end)
                if ended or time.monotonic() >= due:
                    due = time.monotonic() + TICK_S
                    self._context.heartbeat()
                    status = descendants.reap().get(pid)  # with it, what has lost its parent
                    self._ask()
            self._process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if status is None:  # an interrupt of ``try``, or the executor's end
                self._signal(signal.SIGKILL)
            if end >= 0:
                self._poller.unregister(end)
                os.close(end)
            if descendants.has_children():
                isolation.end_processes()
            self._close()
        return self._process.returncode

    def result(self) -> str | None:
        """Return the last line of its output if that is JSON, else None; says why where it was perhaps meant to be."""
        line = self.output.line()
        if line is None:
            self._write(b"streamsched: no result: the last line has more than %d bytes\n" % self._limit, 1)
            return None
        try:
            return write_result(values.read(line.decode()), self._limit)
        except (ValueError, ChildError) as error:
            if line[:1] in (b"{", b"["):
                self._write(f"streamsched: no result: the last line is not JSON: {error}\n".encode(errors="replace"), 1)
            return None

    def _pass_on(self, timeout: float, end: int = -1) -> bool:
        """Pass on what there is, waiting for some; returns whether the program has ended."""
        ended = False
        for number, _ in self._poller.poll(timeout * 1000):
            if number == end:
                ended = True
                continue
            stream, tail = self._streams[number]
            data = os.read(number, READ_BYTES)
            if not data:
                self._poller.unregister(number)
                del self._streams[number]
                continue
            tail.take(data)
            self._write(data, stream)
        return ended

    def _ask(self) -> None:
        if self._context.should_stop and not self.told:
            self.told = True
            self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _close(self) -> None:
        """Read what is left in its pipes, which nothing holds any more."""
        until = time.monotonic() + LAST_S
        while self._streams and (left := until - time.monotonic()) > 0:
            self._pass_on(left)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def failure(
    program: str, status: int, exit_codes: Mapping[str, str], words: bytes | None, *, starved: bool
) -> CommandFailed:
    """Return the error for a program that ended like this; ``starved``: the kernel ended something for its memory."""
    said = (words or b"").decode("utf-8", "replace").strip()
    said = f"; the last that it said: {said}" if said else ""
    named = exit_codes.get(str(status))
    if named is None and (starved or status == OOM_EXIT):
        kind, how = "oom", f"ended for want of memory ({_how(status)})"
    elif status < 0:
        kind, how = f"Signal{_signal_name(-status)}", _how(status)
    else:
        kind, how = f"Exit{status}", _how(status)
    # A class of its own, so that templates can name it.
    made: type[CommandFailed] = type(kind, (CommandFailed,), {"__module__": "streamsched", "exit_code": status})
    return made(f"the program {program} {how}{said}", retryable=named != FAIL)


def _how(status: int) -> str:
    return f"was killed by {_signal_name(-status)}" if status < 0 else f"ended with exit code {status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _line(context: ChildContext, call: Call) -> bytes:
    """Return what it reads."""
    told = {
        "task": context.task_id, "child": context.child_index, "attempt": context.attempt,
        "token": context.fencing_token, "args": call.args, "state": context.last_checkpoint,
    }  # fmt: skip
    return values.canonical(told).encode() + b"\n"


def _start(call: Call, line: bytes) -> subprocess.Popen[bytes]:
    path = find(call.program)
    cwd = call.cwd or None
    stdin = _filled(line)
    try:
        return subprocess.Popen(  # noqa: S603 - the worker allows it
            [call.program, *call.words], executable=path, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=cwd, env={**os.environ, **call.env}, start_new_session=True, bufsize=0,
        )  # fmt: skip
    except ValueError as error:  # a NUL, half a character
        raise BadArguments(f"the arguments of {call.program} cannot be passed: {error}") from None
    except OSError as error:
        if error.errno == errno.E2BIG:
            remedy = "what is long goes into args, which it reads"
            raise BadArguments(f"the arguments of {call.program} are too long for this system; {remedy}") from None
        if cwd is not None and error.filename == cwd:
            raise CommandNotStarted(f"the working folder {cwd!r} of {call.program}: {error.strerror}") from None
        if error.errno not in _ABSENT:  # want of memory or processes, a file that is just being written
            raise CommandNotStarted(f"command {call.program}: {error.strerror}") from None
        hint = "; a script begins with a line such as #!/bin/sh" if error.errno in (errno.ENOEXEC, errno.ENOENT) else ""
        raise CommandNotFound(f"command {call.program} cannot be started: {error.strerror}{hint}") from None
    finally:
        os.close(stdin)


def find(program: str) -> str:
    """Return the file of a program: a name is looked for on PATH, a path begins at this process's folder.

    Neither depends on what a template says. Raise CommandNotFound.
    """
    places = [program] if "/" in program else [f"{folder}/{program}" for folder in os.get_exec_path()]
    there = [place for place in map(os.path.abspath, places) if os.path.isfile(place)]  # noqa: PTH113
    for place in there:
        if os.access(place, os.X_OK):
            return place
    if there:
        raise CommandNotFound(f"command {program}: {there[0]} may not be executed; chmod +x it")
    where = "in the folders of PATH" if "/" not in program else f"at {os.path.abspath(program)}"  # noqa: PTH100
    raise CommandNotFound(f"command {program} is not there: no such file {where}")


def _filled(line: bytes) -> int:
    """Return a descriptor from which this is read."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("stdin", os.MFD_CLOEXEC)
    else:
        import tempfile

        number, path = tempfile.mkstemp()
        os.unlink(path)  # noqa: PTH108
    left = memoryview(line)
    while left:
        left = left[os.write(number, left) :]
    os.lseek(number, 0, os.SEEK_SET)
    return number
