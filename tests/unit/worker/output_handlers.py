# ruff: noqa: T201 - printing is what they are for
"""Handlers that treat their output, and their errors, as no handler should; executors import this by its bare name."""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import faulthandler
import io
import logging
import logging.config
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from streamsched.worker.context import ChildContext
from streamsched.worker.errors import ChildError, StopChild

logger = logging.getLogger(__name__)
python: Any = sys
set_attribute: Any = setattr
close: Any = os.close


def says(ctx: ChildContext, text: str = "a line of the next child") -> None:
    print(text)
    print(f"{text}, err", file=python.stderr)
    print(f"{text}, dunder", file=python.__stdout__)
    python.stdout.buffer.write(f"{text}, bytes\n".encode())
    logger.info("%s, logged", text)
    ctx.log.info("%s, ctx", text)
    logging.getLogger("library").info("%s, library", text)


def leaves(ctx: ChildContext, what: str) -> None:
    LEAVES[what]()
    with contextlib.suppress(Exception):
        print("not to be read")


def _detached() -> None:
    python.stdout = io.TextIOWrapper(python.stdout.detach(), encoding="ascii")


def _redirected() -> None:
    contextlib.redirect_stdout(io.StringIO()).__enter__()
    contextlib.redirect_stderr(io.StringIO()).__enter__()


def _patched() -> None:
    python.stdout.write = python.stderr.write = python.stdout.buffer.write = lambda text: len(text)


class _Odd:
    def __eq__(self, other: object) -> bool:
        raise SystemExit

    __hash__ = object.__hash__


def _odd_attribute() -> None:
    python.stdout.mode = _Odd()


def _closed() -> None:
    python.stdout.close()
    python.stderr.close()
    assert python.stdout.closed
    with contextlib.suppress(ValueError):
        print("closed")
        raise AssertionError


def _deleted() -> None:
    del python.stdout, python.stderr, python.__stdout__


def _dict_config() -> None:
    logging.config.dictConfig({"version": 1, "root": {"level": "CRITICAL", "handlers": []}})


def _quiet_loggers() -> None:
    logger.setLevel(logging.CRITICAL)
    logging.getLogger("output_handlers.says").propagate = False
    logging.getLogger("output_handlers.says").disabled = True


def _null(number: int) -> Any:
    return os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _own_handler() -> Any:
    return logging.getLogger().handlers[0]


def _close_layers() -> None:
    for stream in (python.stdout, python.stderr):
        stream.buffer.close()
        stream.buffer.raw.close()


LEAVES: dict[str, Callable[[], Any]] = {
    "replaced": lambda: [set_attribute(sys, name, io.StringIO()) for name in ("stdout", "stderr", "__stdout__")],
    "none": lambda: [set_attribute(sys, name, None) for name in ("stdout", "stderr", "__stdout__")],
    "closed": _closed,
    "layers closed": _close_layers,
    "layers detached": lambda: python.stdout.buffer.detach(),
    "wrapped": lambda: set_attribute(sys, "stdout", io.TextIOWrapper(python.stdout.buffer)),
    "detached": _detached,
    "deleted": _deleted,
    "redirected": _redirected,
    "patched": _patched,
    "an odd attribute": _odd_attribute,
    "reconfigured": lambda: python.stdout.reconfigure(
        encoding="utf-16", errors="strict", newline="\r\n", line_buffering=False
    ),
    "descriptors closed": lambda: [close(number) for number in (1, 2)],
    "descriptors elsewhere": lambda: [_null(number) for number in (1, 2)],
    "logging off": lambda: logging.disable(logging.CRITICAL),
    "logging elsewhere": lambda: logging.basicConfig(stream=io.StringIO(), level=logging.ERROR, force=True),
    "logging to nowhere": lambda: logging.getLogger().handlers.clear(),
    "handlers replaced": lambda: set_attribute(logging.getLogger(), "handlers", [logging.NullHandler()]),
    "handler quiet": lambda: logging.getLogger().handlers[0].setLevel(logging.CRITICAL),
    "handler filters": lambda: logging.getLogger().handlers[0].addFilter(lambda record: False),
    "handler's stream": lambda: _own_handler().setStream(io.StringIO()),
    "root filters": lambda: logging.getLogger().addFilter(lambda record: False),
    "logging shut": logging.shutdown,
    "logging by dict": _dict_config,
    "loggers quiet": _quiet_loggers,
}


def stdout(ctx: ChildContext, call: str) -> Any:
    return STDOUT[call]()


def _refuses(write: Callable[[], object]) -> str:
    try:
        write()
    except TypeError as error:
        return f"TypeError: {error}"
    return "taken"


def _kinds(stream: Any) -> list[bool]:
    return [
        isinstance(stream, io.TextIOBase),
        isinstance(stream, io.TextIOWrapper),
        isinstance(stream.buffer, io.BufferedIOBase),
        isinstance(stream.buffer, io.BufferedWriter),
        isinstance(stream.buffer.raw, io.RawIOBase),
    ]


def _flushed() -> None:
    print("first", flush=True)
    subprocess.run(["echo", "second"], stdout=python.stdout, check=True)


def _logging_handler() -> None:
    handler = logging.StreamHandler(python.stdout)
    handler.handle(logging.makeLogRecord({"msg": "by a handler"}))


def _bar() -> None:
    for n in range(3):
        python.stderr.write(f"\r{n} of 3")
        python.stderr.flush()
    python.stderr.write("\n")


def _in_threads() -> None:
    threads = [threading.Thread(target=print, args=("thread", n)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _forked(text: str) -> None:
    print("in the fork:", text)
    print("without an end", end="")


def _by_multiprocessing() -> int | None:
    process = multiprocessing.get_context("fork").Process(target=_forked, args=("x",))
    print("begun ...", end="")
    process.start()
    process.join()
    print(" and ended")
    return process.exitcode


STDOUT: dict[str, Callable[[], Any]] = {
    "bytes": lambda: _refuses(lambda: python.stdout.write(b"raw")),
    "none": lambda: _refuses(lambda: python.stdout.write(None)),
    "lines of bytes": lambda: _refuses(lambda: python.stdout.writelines([b"raw"])),
    "text to bytes": lambda: _refuses(lambda: python.stdout.buffer.write("text")),
    "attributes": lambda: {
        name: getattr(python.stdout, name)
        for name in ("name", "mode", "encoding", "errors", "newlines", "line_buffering", "write_through", "closed")
    },
    "calls": lambda: {
        name: getattr(python.stdout, name)() for name in ("isatty", "readable", "writable", "seekable", "fileno")
    },
    "types": lambda: [kind for stream in (python.stdout, python.stderr, python.__stdout__) for kind in _kinds(stream)],
    "unsupported": lambda: [
        type(_raised(getattr(python.stdout, name))).__name__ for name in ("read", "readline", "tell", "truncate")
    ],
    "reconfigure": lambda: (python.stdout.reconfigure(line_buffering=True, encoding="ascii"), python.stdout.encoding)[
        1
    ],
    "counts": lambda: [
        python.stdout.write("é\n"),
        python.stdout.buffer.write(b"abc\n"),
        python.stdout.buffer.raw.write(b"r\n"),
    ],
    "writelines": lambda: python.stdout.writelines(["a\n", "b", "c\n"]),
    "flushed": _flushed,
    "os.write": lambda: (python.stdout.flush(), os.write(1, b"by its number\n"))[1],
    "faulthandler": lambda: faulthandler.dump_traceback(python.stderr),
    "logging": _logging_handler,
    "bar": _bar,
    "threads": _in_threads,
    "multiprocessing": _by_multiprocessing,
}


def _raised(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError


def dies(ctx: ChildContext, how: str, text: str = "last words\n") -> None:
    print("before")
    python.stderr.write(text)
    python.stdout.buffer.write(text.encode())
    logger.warning("logged last")
    print("half", end="")
    DIES[how]()


def _hang() -> None:
    ctypes.PyDLL(None).sleep(60)  # with the lock of the interpreter: no other thread can write


DIES: dict[str, Callable[[], Any]] = {
    "exit": lambda: os._exit(9),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "hang": _hang,
    "fork": lambda: os._exit(0 if os.fork() else 1),
}


def left_thread(ctx: ChildContext) -> None:
    def talk() -> None:
        for _ in range(8):
            time.sleep(0.05)
            print("line of child 0")

    threading.Thread(target=talk, daemon=True).start()
    threading.Timer(0.1, logger.info, ("line of child 0",)).start()
    _thread.start_new_thread(talk, ())
    time.sleep(0.05)  # until it has begun: before, nothing tells whose it is


def waits(ctx: ChildContext) -> None:
    time.sleep(0.7)
    print("waited")


def fails(ctx: ChildContext, how: str) -> None:
    ERRORS[how]()


class OwnError(ChildError):
    def __init__(self, code: int) -> None:
        self.code = code


class Unspeakable(ValueError):
    def __str__(self) -> str:
        sys.exit(5)


class Sneaky(ValueError):
    __class__ = StopChild  # type: ignore[assignment]


def _raise(error: BaseException) -> None:
    raise error


def _recurse_little() -> None:
    sys.setrecursionlimit(30)
    ERRORS["recursion"]()


ERRORS: dict[str, Callable[[], None]] = {
    "retryable": lambda: _raise(ChildError("x", retryable="no")),  # type: ignore[arg-type]
    "delay": lambda: _raise(ChildError("x", retry_after=float("nan"))),
    "init": lambda: _raise(OwnError(5)),
    "str": lambda: _raise(Unspeakable("real")),
    "class": lambda: _raise(Sneaky("real")),
    "stop": lambda: _raise(StopChild()),
    "exit": lambda: _raise(SystemExit(3)),
    "generator": lambda: _raise(GeneratorExit()),
    "surrogate": lambda: _raise(ValueError("\ud800\0")),
    "huge": lambda: _raise(ValueError("x" * 100_000_000)),
    "recursion": lambda: ERRORS["recursion"](),
    "limit": _recurse_little,
}
