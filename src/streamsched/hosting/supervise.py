"""The parent of a ``worker`` or ``scheduler``: starts the node, passes signals on, and exits with the node's code.

It never restarts the node: that is systemd's or Kubernetes' work. When the node dies without having left, the same
command line is run once more to evict it, so that another node has its partitions within a second. The node and the
parent hold the two ends of one socket: the node tells its membership through it, and its end is the parent's death.
It adopts what runs below it and loses its parent: whatever ends there is waited for, also where it is process 1 of a
container, and what is left when the node has ended is killed.
Imports the standard library only, and is executed anew (``become_parent``): the parent lives as long as the node and
is to stay small.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

from streamsched.worker import descendants

NODE: Final = "STREAMSCHED_NODE"
EVICT: Final = "STREAMSCHED_EVICT"
_COMMAND: Final = (sys.executable, "-P", "-m", "streamsched")
PATIENCE_S: Final = 5.0
"""Seconds in which what the node left is killed."""
SIGNALS: Final = {
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGINT: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,  # the terminal is gone
}
"""What the parent hears, and what it says to the node."""


def is_node() -> bool:
    """Tell whether this process was started by the parent, as the node."""
    return NODE in os.environ


def to_evict() -> dict[str, str] | None:
    """Tell whom the parent started this process to evict: ``node``, ``group``, ``member`` and ``writer``."""
    found = os.environ.get(EVICT)
    return None if found is None else dict(json.loads(found))


def become_parent(arguments: Sequence[str]) -> NoReturn:
    """Go on as the parent of a node that runs this command line, in a process that has imported nothing else."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "streamsched.hosting.supervise", *arguments])  # noqa: S606


def supervise(arguments: Sequence[str]) -> int:
    """Run this command line as a node in a child process until it ends; returns the exit code."""
    ours, its = socket.socketpair()
    descendants.adopt()
    children = _Children()
    # Blocked until there is somebody to hear them, here and in the node, which inherits the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    children.start(
        arguments,
        env={**os.environ, NODE: f"{its.fileno()}:{os.getpid()}"},
        pass_fds=[its.fileno()],
        stdin=subprocess.DEVNULL,
        process_group=0,  # a Ctrl-C is one signal for the node: ours
    )
    its.close()

    def pass_on(number: int, _: object) -> None:
        children.signal(SIGNALS[signal.Signals(number)])

    for number in SIGNALS:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    with ours, ours.makefile() as memberships:
        membership = _last_line(memberships)
        code = children.wait()
    if membership is not None and membership["group"]:
        with suppress(OSError):  # a log on a disk that is full does not keep the dead in the group
            sys.stderr.write(f"streamsched: the node died (exit code {code}), its membership is evicted\n")
            sys.stderr.flush()
        children.start(arguments, env={**os.environ, EVICT: json.dumps(membership)})
        children.wait()
    descendants.end_all(PATIENCE_S)
    ignore_signals()
    return code if code >= 0 else 128 - code


class _Children:
    """Waits for every child of this process, its own and those that it adopted, at once when it ends."""

    def __init__(self) -> None:
        self._own = 0
        self._ended: dict[int, int] = {}
        signal.signal(signal.SIGCHLD, self._reap)

    def start(self, arguments: Sequence[str], **options: Any) -> int:
        """Start the command line anew; returns the process id. One at a time."""
        self._own = 0  # until it is known, each end may be its end
        process = subprocess.Popen([*_COMMAND, *arguments], **options)  # noqa: S603 - our own command line
        process.returncode = 0  # it is waited for here, and by nothing else
        self._own = process.pid
        return process.pid

    def signal(self, number: int) -> None:
        """Send a signal to the child of our own, unless it has ended: its number may be another's by then."""
        if self._own and self._own not in self._ended:
            with suppress(ProcessLookupError):  # waited for in this moment
                os.kill(self._own, number)

    def wait(self) -> int:
        """Wait for the end of the child of our own; returns its exit code, or minus the signal."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # or its end could be noted between look and wait
        try:
            while self._own not in self._ended:
                self._note(dict([os.waitpid(-1, 0)]))
            return os.waitstatus_to_exitcode(self._ended[self._own])
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])

    def _reap(self, *_: object) -> None:
        self._note(descendants.reap())

    def _note(self, ended: dict[int, int]) -> None:
        self._ended |= ended
        if self._own:  # the others were adopted
            self._ended = {pid: status for pid, status in self._ended.items() if pid == self._own}


def ignore_signals() -> None:
    """Heed no signal any more: all is done, and Python's own end would let one kill the process in its last moments."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Membership:
    """A node's line to its parent. Without a parent it says nothing.

    Made first of all in the node: from then on the node dies with its parent.
    """

    def __init__(self) -> None:
        self._told: tuple[str, ...] | None = None
        self._link: socket.socket | None = None
        descriptor, _, parent = os.environ.pop(NODE, "").partition(":")
        if not parent:
            return
        descendants.die_with_parent(signal.SIGKILL)
        if os.getppid() != int(parent):
            raise SystemExit("streamsched: the parent process is gone")
        self._link = socket.socket(fileno=int(descriptor))
        self._link.set_inheritable(False)
        threading.Thread(target=self._watch, args=(self._link,), name="parent", daemon=True).start()

    def tell(self, node: str, group: str, membership: tuple[str, str]) -> None:
        """Tell who the node is in its group, where that is news."""
        self._say(node, group, *membership)

    def left(self) -> None:
        """Tell that the node has left its group."""
        self._say("", "", "", "")

    def _say(self, *told: str) -> None:
        if self._link is None or self._told == told:
            return
        self._told = told
        line = json.dumps(dict(zip(("node", "group", "member", "writer"), told, strict=True)))
        with suppress(OSError):
            self._link.sendall(f"{line}\n".encode())

    @staticmethod
    def _watch(link: socket.socket) -> None:
        with suppress(OSError):
            link.recv(1)
        os._exit(1)


def _last_line(lines: Iterable[str]) -> dict[str, str] | None:
    """Read to the end of the node and keep its last word."""
    last = None
    with suppress(OSError):
        for line in lines:
            with suppress(ValueError):
                last = json.loads(line)
    return last


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
