"""A copy of this process in which something is run, and which may die in the middle as a process that is killed."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import msgspec

T = TypeVar("T")


def run_in_copy(work: Callable[[Callable[[T], NoReturn]], T], kind: Any) -> T:
    """Run ``work`` in a copy made by fork, and return what it returns: plain data of the type ``kind``.

    It is given a function that ends the copy then and there, with this as what is returned: no ``finally`` runs, and
    what is buffered is lost. Raise RuntimeError with the traceback of what is raised there.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # handlers of a cluster have threads, which stand still
        pid = os.fork()
    if not pid:
        _live(work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(pid, 0)
    found, error = msgspec.json.decode(told or b'[null,"it ended without a word"]')
    if error:
        raise RuntimeError(f"in a copy of this process: {error}")
    made: T = msgspec.convert(found, kind)
    return made


def _live(work: Callable[[Callable[[T], NoReturn]], T], writing: int) -> NoReturn:
    def tell(found: T | None, error: str = "") -> NoReturn:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(msgspec.json.encode([found, error]))
        os._exit(0)

    try:
        found = work(tell)
        sys.stdout.flush()
        tell(found)
    except BaseException:
        tell(None, traceback.format_exc())
