"""The parent of a ``worker`` or ``scheduler``: starts the node, passes signals on, and exits with the node's code.

It never restarts the node: systemd or Kubernetes does. When the node dies without having left its group, the same
command line is run once more to evict it, so that another node has its partitions within a second. A socket connects
the two: the node reports its membership through it, and sees the parent's death as its end. The parent adopts orphans
below it, waits for them, also as process 1 of a container, and kills those that are left when the node has ended.
To stay small it imports the standard library only, in a process that is executed anew (``become_parent``).
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
"""Time to kill what the node left."""
SIGNALS: Final = {
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGINT: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,  # the terminal is gone
}
"""Signals that the parent receives, and what it sends to the node for each."""


def is_node() -> bool:
    """Return whether this process is the node, started by a parent."""
    return NODE in os.environ


def to_evict() -> dict[str, str] | None:
    """Return the node that this process is to evict: ``node``, ``group``, ``member`` and ``writer``; or None."""
    found = os.environ.get(EVICT)
    return None if found is None else dict(json.loads(found))


def become_parent(arguments: Sequence[str]) -> NoReturn:
    """Replace this process by the parent of a node that runs this command line."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "streamsched.hosting.supervise", *arguments])  # noqa: S606


def supervise(arguments: Sequence[str]) -> int:
    """Run this command line as a node in a child process until it ends; returns the exit code."""
    ours, its = socket.socketpair()
    descendants.adopt()
    children = _Children()
    # Blocked until there are handlers, here and in the node, which inherits the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    children.start(
        arguments,
        env={**os.environ, NODE: f"{its.fileno()}:{os.getpid()}"},
        pass_fds=[its.fileno()],
        stdin=subprocess.DEVNULL,
        process_group=0,  # so that a Ctrl-C reaches the node once, through us
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
        with suppress(OSError):  # a full disk must not prevent the eviction
            sys.stderr.write(f"streamsched: the node died (exit code {code}), its membership is evicted\n")
            sys.stderr.flush()
        children.start(arguments, env={**os.environ, EVICT: json.dumps(membership)})
        children.wait()
    descendants.end_all(PATIENCE_S)
    ignore_signals()
    return code if code >= 0 else 128 - code


class _Children:
    """Reaps every child of this process as it ends, its own and those that it adopted."""

    def __init__(self) -> None:
        self._own = 0
        self._ended: dict[int, int] = {}
        signal.signal(signal.SIGCHLD, self._reap)

    def start(self, arguments: Sequence[str], **options: Any) -> int:
        """Start the command line anew, one at a time; returns the process id."""
        self._own, self._ended = 0, {}  # until it is known, each end may be its end
        process = subprocess.Popen([*_COMMAND, *arguments], **options)  # noqa: S603 - our own command line
        process.returncode = 0  # it is waited for here, and by nothing else
        self._own = process.pid
        return process.pid

    def signal(self, number: int) -> None:
        """Send a signal to our child, unless it has ended: its number may be reused."""
        if self._own and self._own not in self._ended:
            with suppress(ProcessLookupError):  # waited for in this moment
                os.kill(self._own, number)

    def wait(self) -> int:
        """Wait for the end of our child; returns its exit code, or minus the signal."""
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
        for pid, status in ended.items():
            if pid == self._own or not self._own:  # the others were adopted
                self._ended[pid] = status  # one step: the next signal may come within any line here


def ignore_signals() -> None:
    """Ignore signals from now on: Python's shutdown would let one kill a process that has finished."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Membership:
    """A node's line to its parent, if it has one. From its creation on, the node dies with its parent."""

    def __init__(self) -> None:
        self._reported: tuple[str, ...] | None = None
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

    def report(self, node: str, group: str, membership: tuple[str, str]) -> None:
        """Report the node's membership of its group, if it has changed."""
        self._send(node, group, *membership)

    def left(self) -> None:
        """Report that the node has left its group."""
        self._send("", "", "", "")

    def _send(self, *membership: str) -> None:
        if self._link is None or self._reported == membership:
            return
        self._reported = membership
        line = json.dumps(dict(zip(("node", "group", "member", "writer"), membership, strict=True)))
        with suppress(OSError):
            self._link.sendall(f"{line}\n".encode())

    @staticmethod
    def _watch(link: socket.socket) -> None:
        with suppress(OSError):
            link.recv(1)
        os._exit(1)


def _last_line(lines: Iterable[str]) -> dict[str, str] | None:
    """Read until the node ends; returns its last report."""
    last = None
    with suppress(OSError):
        for line in lines:
            with suppress(ValueError):
                last = json.loads(line)
    return last


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
