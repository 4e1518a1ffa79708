"""``worker`` and ``scheduler`` as processes: a small parent, and the node.

The parent starts the node, passes signals on, and exits with the node's code; it never restarts it. When the node
dies without having left, the parent evicts it from its group and fences its writer at once, so that another node has
its partitions within a second. The node dies with its parent.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from streamsched.api.settings import Settings
from streamsched.api.wiring import Installation
from streamsched.log.port import LogError
from streamsched.worker.node import Pace
from streamsched.worker.pool import ExecutorPool

PR_SET_PDEATHSIG: Final = 1
STEP: Final = 1.0
"""Seconds that a turn of an idle node may wait."""

log = logging.getLogger(__name__)


def supervise(arguments: Sequence[str], settings: Settings) -> int:
    """Run a node in a child process until it ends; returns the exit code.

    ``arguments`` is the command line that makes the child run ``serve_…`` itself: the same command with
    ``STREAMSCHED_NODE`` in its environment.
    """
    told, tell = os.pipe()
    child = subprocess.Popen(  # noqa: S603 - our own command line
        [sys.executable, "-m", "streamsched", *arguments],
        env={**os.environ, "STREAMSCHED_NODE": str(tell)},
        pass_fds=[tell],
    )
    os.close(tell)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: _pass_on(child, received))
    with os.fdopen(told) as memberships:
        membership = _last_line(memberships)
    code = child.wait()
    if membership and membership["group"]:
        _evict(settings, membership)
    return code if code >= 0 else 128 - code


def serve_scheduler(site: Installation, name: str | None) -> None:
    """Run a scheduler node until SIGTERM or SIGINT."""
    scheduler = site.scheduler(name)
    signals = _Signals()
    tell = _Membership(site.topics.scheduler_group)
    while not signals.received:
        scheduler.step(STEP)
        tell(scheduler.membership)
    scheduler.stop()
    tell(None)


def serve_worker(site: Installation, *, name: str | None, slots: int, allow: Sequence[str], pace: Pace) -> None:
    """Run a worker node until it is drained."""
    pool = ExecutorPool(slots, allow=allow, output_fd=sys.stdout.fileno())
    worker = site.worker(pool, slots, name, pace)
    signals = _Signals()
    tell = _Membership(site.topics.worker_group)
    obeyed = 0
    while not worker.stopped:
        worker.step(STEP)
        tell(worker.membership)
        while obeyed < signals.received:
            obeyed += 1
            worker.drain()
    worker.stop()
    tell(None)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        raise SystemExit("the parent process is gone")


class _Signals:
    """Counts SIGTERM and SIGINT."""

    def __init__(self) -> None:
        self.received = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self.received += 1


class _Membership:
    """Tells the parent who the node is in its group, whenever that changes."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._told: tuple[str, str] | None = ("", "")
        self._tell: Callable[[str], object] = lambda line: None
        if descriptor := os.environ.pop("STREAMSCHED_NODE", ""):
            stream = os.fdopen(int(descriptor), "w", buffering=1)
            self._tell = stream.write

    def __call__(self, membership: tuple[str, str] | None) -> None:
        if membership == self._told:
            return
        self._told = membership
        member_id, transactional_id = membership or ("", "")
        group = self._group if membership else ""
        with suppress(BrokenPipeError):
            self._tell(json.dumps({"group": group, "member": member_id, "writer": transactional_id}) + "\n")


def _pass_on(child: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        child.send_signal(number)


def _last_line(lines: Iterable[str]) -> dict[str, str] | None:
    """Read to the end of the pipe, which is the end of the node, and keep the last word."""
    last = None
    for line in lines:
        with suppress(ValueError):
            last = json.loads(line)
    return last


def _evict(settings: Settings, membership: dict[str, str]) -> None:
    try:
        log.warning("the node died: evicting it, so that its work goes on elsewhere")
        cluster = Installation(settings).log
        cluster.evict(membership["group"], membership["member"])
        cluster.fence(membership["writer"])
        cluster.close()
    except LogError as error:
        log.warning("the dead node was not evicted, its session will run out: %s", error)
