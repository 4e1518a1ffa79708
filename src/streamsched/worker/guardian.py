"""The guardian of one executor: ends what runs below the executor when that ends. Linux.

The pool starts this process, which forks and becomes the executor in the copy. What a handler starts, and what of that
goes its own ways (a session of its own, a parent that ends), remains below the guardian, which ends it all when its
executor dies, when the pool says so (``END``), or when the pool's thread or process dies. Then it ends like its
executor did: with the same exit code, or by the same signal.

It hears no other signal: what a terminal or a service manager sends to the whole group is for the worker to decide.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Final

from streamsched.worker import descendants

PATIENCE_S: Final = 5.0
"""Seconds in which all that runs below is killed: what cannot be is left."""
STOOD_STILL: Final = 71
"""The exit code in place of one that was stopped (SIGSTOP) for long."""
STANDSTILL_S: Final = 30
_TICK_S: Final = 1.0
END: Final = signal.SIGRTMIN + 5 if sys.platform == "linux" else signal.SIGKILL
"""The pool's order to kill the executor and all that runs below it."""


def main() -> None:
    """Run an executor under a guardian; arguments: the pool's process, what the guardian closes, the setup."""
    pool, descriptors, setup = sys.argv[1:]
    if sys.platform != "linux":
        if os.getppid() == int(pool):
            _run(setup)
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as it may be inherited, no end could be waited for
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    descendants.die_with_parent(END)
    descendants.adopt()
    if os.getppid() != int(pool):
        return
    me = os.getpid()
    executor = os.fork()
    if not executor:
        descendants.die_with_parent(signal.SIGKILL)
        if os.getppid() != me:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _run(setup)
        return
    for descriptor in descriptors.split(","):
        os.close(int(descriptor))
    os.chdir("/")
    status = _guard(executor)
    if not descendants.end_all(PATIENCE_S):
        os.write(2, b"streamsched: processes that a handler started could not be killed\n")
    _end_like(status)


def _run(setup: str) -> None:
    os.setsid()  # or a script's `kill 0` would strike the worker, and a prompt for a password its terminal
    from streamsched.worker import starting  # late: a guardian is to stay small

    starting.main(setup)


def _guard(executor: int) -> int:
    """Wait for the executor's end, or bring it about; returns its wait status."""
    stopped_s = 0
    hears = (signal.SIGCHLD, END)
    while True:
        heard = signal.sigtimedwait(hears, _TICK_S) if stopped_s else signal.sigwaitinfo(hears)
        if heard is not None and heard.si_signo == END:
            os.kill(executor, signal.SIGKILL)
            return os.waitpid(executor, 0)[1]
        pid, status = os.waitpid(executor, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if pid and os.WIFSTOPPED(status):
            stopped_s = 1
        elif pid and os.WIFCONTINUED(status):
            stopped_s = 0
        elif pid:
            return status
        elif heard is None:  # by turns: while this process is stopped too, time does not count
            stopped_s += 1
            if stopped_s > STANDSTILL_S:
                os.kill(executor, signal.SIGKILL)
                os.waitpid(executor, 0)
                return STOOD_STILL << 8


def _end_like(status: int) -> None:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        import resource  # late: few need it

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the executor's own is enough
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
        time.sleep(1.0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


if __name__ == "__main__":
    main()
