"""What a child may change for its whole process, and how the next child is kept from it.

After each child a few values are compared with those of before (``Surroundings.tidy``). What differs is set back. What
cannot be set back, threads and processes above all, is a reason to replace the executor. What a handler's module sets
while it is imported stays: it belongs to the process. ``docs/handlers.md`` lists all of it for users.
"""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]
import _thread
import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from streamsched.worker import descendants
from streamsched.worker.loggers import Loggers
from streamsched.worker.seeding import Seeding

PATIENCE_S: Final = 3.0
"""Seconds in which the processes that a child left are killed."""
_LAST_STEPS_S: Final = 0.05
"""Seconds that threads have which are about to end, as those of a pool that was let go."""
SHORT_NS: Final = 1_000_000
"""A child that ran less than this is compared by what is cheap; wholly where it did one of these, or where
``subprocess`` is imported:"""
_ACTS: Final = frozenset({
    "os.chdir", "os.putenv", "os.unsetenv", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen",
    "resource.setrlimit", "resource.prlimit", "signal.signal",
})  # fmt: skip
_SIGNALS: Final = (
    signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGCHLD,
    signal.SIGUSR1, signal.SIGUSR2, signal.SIGVTALRM, signal.SIGPROF, signal.SIGXCPU, signal.SIGABRT,
)  # fmt: skip
_NUMBERS: Final = tuple(map(int, _SIGNALS))
_TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_SYS: Final = (
    "stdin", "stdout", "stderr", "argv", "path", "excepthook", "displayhook", "unraisablehook", "breakpointhook",
)  # fmt: skip
_LISTS: Final = ("argv", "path")
_sys = vars(sys)
_getsignal, _set_handler = _signal.getsignal, _signal.signal  # without the enums of ``signal``
_getcwd, _umask, _alarm, _setitimer, _dup2 = os.getcwd, os.umask, _signal.alarm, signal.setitimer, os.dup2
_end_watch = faulthandler.cancel_dump_traceback_later
_thread_count = _thread._count  # noqa: SLF001 - active_count() takes a lock and knows no thread that C code started
_locale_of = _locale.setlocale
_cpus_of: Any = getattr(os, "sched_getaffinity", int)


class Surroundings:
    """The process state around a child: recorded at first and after each handler import, then compared and restored."""

    def __init__(self) -> None:
        # Of our own, beyond the numbers that code closes: what stands at 1 and 2 is put back from here.
        self._output = [_keep(number) for number in (1, 2)]
        self._most_files = os.sysconf("SC_OPEN_MAX") * 3 // 4
        self._seeding = Seeding()
        self._environ = os.environ
        self._acts: list[str] = []
        """The audit events of the last child's acts that may have changed something."""
        acts, notice = _ACTS, self._acts.append
        sys.addaudithook(lambda event, _: notice(event) if event in acts else None)
        _signal.signal = _set_and_report
        self.note()

    def note(self) -> None:
        """Record the present state as the one to restore."""
        self._cwd = _getcwd_or_none()
        self._variables = dict(os.environ._data)  # type: ignore[attr-defined] # noqa: SLF001 - a copy as bytes
        self._mask = os.umask(0o022)
        os.umask(self._mask)
        self._handlers = [_getsignal(number) for number in _NUMBERS]
        self._blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._threads = _thread_count()
        self._sys = {name: _sys.get(name) for name in _SYS}
        self._lists = {name: list(_sys[name]) for name in _LISTS}
        self._limits = self._python_limits()
        self._recursion = sys.getrecursionlimit()
        self._process = _process_state()
        self._resources = _resources()
        self._locale = _locale_of(_locale.LC_ALL)
        self._filters = list(warnings.filters)
        self._loggers = Loggers()
        self._seeding.watch()

    def tidy(self, took_ns: int) -> str:
        """Restore what a child changed that ran for ``took_ns``; return why its executor must be replaced, or empty."""
        try:
            short = took_ns < SHORT_NS and not self._acts and "_posixsubprocess" not in sys.modules
            if self._seems_as_it_was() and (short or self._is_as_it_was()):
                return ""
            return self._set_back()
        except BaseException as error:  # an alarm of the handler's, a stream of its own, anything
            _disarm()
            return f"what it changed could not be set back: {type(error).__name__}"
        finally:
            self._acts.clear()

    def _seems_as_it_was(self) -> bool:
        """Compare what is cheap and raises no audit event."""
        modules, current, noted, lists = sys.modules, _sys, self._sys, self._lists
        return (
            _end_watch() is None
            and not _alarm(0)  # the same timer as ITIMER_REAL, at half the price
            and _thread_count() <= self._threads
            and _umask(self._mask) == self._mask
            and current["stdout"] is noted["stdout"]
            and current["stderr"] is noted["stderr"]
            and current["argv"] == lists["argv"]
            and current["path"] == lists["path"]
            and sys.getrecursionlimit() == self._recursion
            and os.environ is self._environ
            and warnings.filters == self._filters
            and self._loggers.are_untouched()
            and not self._seeding.touched
            and ("random" in modules, "numpy.random" in modules) == self._seeding.watches
            and ("locale" not in modules or _locale_of(_locale.LC_ALL) == self._locale)
        )

    def _is_as_it_was(self) -> bool:
        """Compare all of it; dearer than a child that does nothing."""
        for number, kept in enumerate(self._output, 1):
            _dup2(kept, number)
        return (
            list(map(_getsignal, _NUMBERS)) == self._handlers
            and _getcwd() == self._cwd
            and self._environ._data == self._variables  # type: ignore[attr-defined] # noqa: SLF001
            and {name: _sys.get(name) for name in _SYS} == self._sys
            and self._python_limits() == self._limits
            and _resources() == self._resources
            and _process_state() == self._process
            and signal.pthread_sigmask(signal.SIG_BLOCK, ()) == self._blocked
            and not descendants.has_children()
            and _next_file() < self._most_files
        )

    @staticmethod
    def _python_limits() -> tuple[Any, ...]:
        return (
            sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled(), socket.getdefaulttimeout(),
            sys.gettrace(), sys.getprofile(), threading.excepthook, threading.gettrace(), threading.getprofile(),
            gc.get_threshold(), gc.get_debug(), sys.get_int_max_str_digits(),
        )  # fmt: skip

    def _set_back(self) -> str:
        _disarm()
        for number, handler in zip(_NUMBERS, self._handlers, strict=True):
            if _getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)
        self._set_back_sys()
        if os.environ is not self._environ:
            os.environ = self._environ  # noqa: B003 - ours, which knows how
        self._set_back_variables()
        if self._cwd is not None and _getcwd_or_none() != self._cwd:
            os.chdir(self._cwd)
        recursion, switch, collects, timeout, trace, profile, hook, *of_threads, threshold, debug, digits = self._limits
        sys.setrecursionlimit(recursion)
        sys.setswitchinterval(switch)
        (gc.enable if collects else gc.disable)()
        gc.set_threshold(*threshold)
        gc.set_debug(debug)
        socket.setdefaulttimeout(timeout)
        sys.settrace(trace)
        sys.setprofile(profile)
        threading.excepthook = hook
        threading.settrace(of_threads[0])
        threading.setprofile(of_threads[1])
        sys.set_int_max_str_digits(digits)
        if warnings.filters != self._filters:
            warnings.filters[:] = self._filters  # type: ignore[index]
            warnings._filters_mutated()  # type: ignore[attr-defined] # noqa: SLF001 - as its own functions do
        if _locale_of(_locale.LC_ALL) != self._locale:
            _locale.setlocale(_locale.LC_ALL, self._locale)
        self._loggers.set_back()
        self._seeding.seed_anew()
        return self._what_cannot_be()

    def _set_back_sys(self) -> None:
        for name in ("stdout", "stderr"):
            if _sys.get(name) is not self._sys[name]:
                with suppress(Exception):  # a stream of the handler's own
                    _sys[name].flush()
        for name in _SYS:
            setattr(sys, name, self._sys[name])
        for name in _LISTS:
            if _sys[name] != self._lists[name]:
                _sys[name][:] = self._lists[name]

    def _set_back_variables(self) -> None:
        data: dict[bytes, bytes] = self._environ._data  # type: ignore[attr-defined] # noqa: SLF001
        if data == self._variables:
            return
        zone = data.get(b"TZ")
        for name in data.keys() - self._variables.keys():
            del os.environb[name]
        for name, value in self._variables.items():
            if data.get(name) != value:
                os.environb[name] = value
        if data.get(b"TZ") != zone:
            time.tzset()

    def _what_cannot_be(self) -> str:
        if descendants.has_children() and end_processes():
            return "it left processes"
        deadline = time.monotonic() + _LAST_STEPS_S
        while _thread_count() > self._threads:
            if time.monotonic() > deadline:
                return "it left threads"
            time.sleep(0.001)
        if _process_state() != self._process:
            return "it changed its user, its priority or its CPUs"
        if _resources() not in (None, self._resources) and self._resources is not None:
            return "it changed its resource limits"
        if self._resources is None and _resources() is not None:
            self._resources = _resources()
        return "" if _next_file() < self._most_files else "it left so many files open"


def _set_and_report(number: int, handler: Any, /) -> Any:
    """Set a signal's handler and raise an audit event, which Python does not: comparing all handlers costs 0.5 us."""
    sys.audit("signal.signal")
    return _set_handler(number, handler)


def _keep(number: int) -> int:
    import fcntl

    with suppress(OSError):
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 200)
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _next_file() -> int:
    number = os.dup(1)
    os.close(number)
    return number


def _disarm() -> None:
    for timer in _TIMERS:
        _setitimer(timer, 0.0)


def _getcwd_or_none() -> str | None:
    try:
        return _getcwd()
    except OSError:
        return None


def _process_state() -> tuple[Any, ...]:
    return os.geteuid(), os.getegid(), os.getpriority(os.PRIO_PROCESS, 0), _cpus_of(0)


def _resources() -> list[tuple[int, int]] | None:
    """Return the limits that a handler may have set, once it can have."""
    resource = sys.modules.get("resource")
    if resource is None:
        return None
    names = ("RLIMIT_CPU", "RLIMIT_AS", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_DATA", "RLIMIT_STACK")
    return [resource.getrlimit(getattr(resource, name)) for name in names]


def end_processes() -> bool:
    """End all that runs below; False if nothing of it still ran but the helpers of ``multiprocessing``.

    Those are told to end: they clear away what else would be left (shared memory), and are started anew when needed.
    """
    descendants.reap()
    helpers = _helpers()
    left = set(descendants.below(os.getpid())) - helpers.keys()
    descendants.end_all(PATIENCE_S, spare=helpers.keys())
    for stop in helpers.values():
        with suppress(Exception):
            stop()
    return bool(left) or (descendants.has_children() and not descendants.end_all(PATIENCE_S))


def _helpers() -> dict[int, Callable[[], None]]:
    found: dict[int, Callable[[], None]] = {}
    for module, attribute, pid in (
        ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
        ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
    ):
        helper = getattr(sys.modules.get(module), attribute, None)
        number = getattr(helper, pid, None)
        if isinstance(number, int) and hasattr(helper, "_stop"):
            found[number] = helper._stop  # type: ignore[union-attr] # noqa: SLF001 - there is no public way
    return found
