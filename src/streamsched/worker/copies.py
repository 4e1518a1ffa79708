"""Turn a copy of the executor that a handler forked into an ordinary Python process."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Final, NoReturn

_QUIET: Final = (signal.SIGINT, signal.SIGTERM)


def ignore_signals() -> None:
    """Leave SIGINT and SIGTERM to the worker, which they reach as well: they are sent to the whole group.

    By a function, because ignoring would be inherited by the processes that handlers start.
    """
    for number in _QUIET:
        signal.signal(number, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _QUIET)


def on_fork(let_go: Callable[[], None]) -> None:
    """Register fork hooks: each copy calls ``let_go`` and restores its signal handlers before it receives a signal."""
    masks: list[set[int]] = []

    def begin() -> None:
        masks[:] = [set(signal.pthread_sigmask(signal.SIG_BLOCK, _QUIET))]

    def go_on() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks[0])

    def go_on_in_the_copy() -> None:
        let_go()
        _restore_signals()
        go_on()

    os.register_at_fork(before=begin, after_in_parent=go_on, after_in_child=go_on_in_the_copy)


def _restore_signals() -> None:
    """Restore the default signal handlers in a copy, unless its handler has set others."""
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is _ignore:
            signal.signal(number, default)


def end(error: BaseException | None) -> NoReturn:
    """End a copy: with exit code 0 if its handler returned, as after an uncaught error if it raised."""
    if error is None:
        raise SystemExit(0)
    if isinstance(error, SystemExit | KeyboardInterrupt):
        raise error
    frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
    sys.excepthook(type(error), error.with_traceback(frames), frames)
    raise SystemExit(1)


def _ignore(*_: object) -> None:
    """Ignore a signal: the worker decides about it."""
