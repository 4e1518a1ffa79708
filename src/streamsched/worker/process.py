"""The pool's end of one executor process: start it, write without waiting, read, see what it left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Final

import msgspec

from streamsched.domain.options import Options
from streamsched.worker import guardian, wire
from streamsched.worker import page as pages
from streamsched.worker.devices import Devices
from streamsched.worker.jobs import Job
from streamsched.worker.kill_reason import KillReason, possible
from streamsched.worker.output import remains
from streamsched.worker.page import Current

_READ: Final = 256 * 1024
_READS_IN_A_TURN: Final = 4  # so that one executor that sends without end holds up no other
_READS_AT_THE_END: Final = 64  # more than a socket holds
_QUIET: Final = (signal.SIGINT, signal.SIGTERM)
_SWEEP_S: Final = guardian.PATIENCE_S + 1.0
"""Seconds in which a guardian ends all that runs below it; after that it is killed itself."""
_HARMLESS: Final = ("STREAMSCHED_BROKERS", "STREAMSCHED_PREFIX", "STREAMSCHED_DATA_DIR")
"""The settings that handlers inherit: where the log is. All others may be secrets, or name files with secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorConfig:
    """What all executors of a pool have in common. ``output_fd`` is the pool's own, open as long as the pool is."""

    allow: tuple[str, ...]
    output_fd: int | None
    checkpoint_tick: float
    payload_limit: int
    reuse: int
    plan_limit: int
    output_path: str | None = None
    copy_path: str | None = None
    devices: Devices | None = None


class ExecutorProcess:
    """One executor, and the jobs that it holds. ``fileno`` is readable when it has news, or is gone.

    It runs its jobs in the order in which they were given: the first one held is the one that runs, or is to run next.
    """

    def __init__(self, config: ExecutorConfig, slot: int = 0) -> None:
        self.slot = slot
        self.held: dict[int, Job] = {}
        self.dropped: set[int] = set()
        self.stopping: dict[int, int] = {}  # deadlines of the grace period, monotonic nanoseconds
        self.kill_reason: KillReason | None = None
        self.dying = False
        self.ready = False  # it has spoken: what it runs from then on may be anything
        self.fault = ""  # what it did that our own code does not do
        self.deaf = False  # the selector does not watch it any more
        self.closed_at = 0  # when its link ended, monotonic nanoseconds
        self.told = False  # where the journal is
        self.asked: list[str] = []  # topics that it asks about
        self.asked_back = False  # jobs may come back in any order
        self.last_ended = -1
        self.quiet_since = 0  # since when it holds jobs and runs none of them
        self.prepared = 0  # when its setup had ended: once
        self.seen = (-1, 0)  # the running job, and when its page says that it began
        self.recalled = -1  # the running job behind which nothing waits any more
        self.suspect = -1  # the running job that was seen once beyond a limit
        self.measured = (0, 0)
        self.lanes = 1  # how many of its jobs may run at once
        self.kind: tuple[str, str | None] = ("", None)  # handler and options of what it was given last
        self.setup = ""  # what it was given last of such
        self.alone = False  # what it holds is to run with nothing beside it
        self.blocked_at = 0  # since when a job is seen that holds up its loop
        self.freed_at = 0  # when that was seen last
        self.memory_look = 0  # when to look at its memory again, monotonic nanoseconds
        self.starved = ""  # the kernel killed it for want of memory: how that is known
        self.cancelled: dict[int, tuple[KillReason, int]] = {}
        """Why async jobs were cancelled, and until when they may end."""
        self._out = bytearray()
        self._frames = wire.Frames(wire.MAX_NEWS)
        self._ordered_at: float | None = None
        self._sock, theirs = socket.socketpair()
        self._sock.setblocking(False)
        fd = pages.create()
        self.page = pages.Page(fd)
        self.page.ready(pages.STARTING)
        setup = wire.Setup(
            link=theirs.fileno(), page=fd, allow=config.allow, checkpoint_tick=config.checkpoint_tick,
            payload_limit=config.payload_limit, output_path=config.output_path, copy_path=config.copy_path,
            reuse=config.reuse, plan_limit=config.plan_limit,
        )  # fmt: skip
        # Held back until the executor has its own handlers, or a Ctrl-C would end one that is just starting.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _QUIET)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
                # -P: the working directory becomes importable only when the executor's own imports are done,
                # so that a handler's json.py or numbers.py cannot break it.
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "streamsched.worker.guardian",
                    str(os.getpid()),
                    f"{theirs.fileno()},{fd}",
                    msgspec.json.encode(setup).decode(),
                ],
                env=_environment() | ({} if config.devices is None else config.devices.environment(slot)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if config.output_fd is None else config.output_fd,
                stderr=config.output_fd,
                pass_fds=(theirs.fileno(), fd),
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
            os.close(fd)

    @property
    def pid(self) -> int:
        """The process that runs the handlers, or is about to start it."""
        return self.page.pid() or self._process.pid

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._sock.fileno()

    @property
    def backlog(self) -> bool:
        """Whether orders wait until the executor reads."""
        return bool(self._out)

    def send(self, order: wire.Order) -> None:
        """Send an order, as far as that goes without waiting; ``push`` sends the rest."""
        self._out += wire.order_frame(order)
        self.push()

    def push(self) -> None:
        """Send what waits, as far as that goes without waiting."""
        try:
            while self._out:
                del self._out[: self._sock.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:  # it is gone, or will be: reading tells
            self._out.clear()

    def receive(self, now: int, reads: int = _READS_IN_A_TURN) -> list[wire.Said]:
        """Return what news can be read now, in so many reads; notes a fault, or the end of the link."""
        news: list[wire.Said] = []
        try:
            for _ in range(reads):
                data = self._sock.recv(_READ)
                if not data:
                    self.closed_at = self.closed_at or now
                    break
                for body in self._frames.feed(data):
                    news += wire.decode_news(body)
                    self.ready = True
                if len(data) < _READ:
                    break
        except BlockingIOError:
            pass
        except OSError:
            self.closed_at = self.closed_at or now
        except wire.LinkBroken as broken:
            self.fault = str(broken)
        return news

    @property
    def takes(self) -> bool:
        """Whether it may be given jobs: it is not about to leave, and not killed, nor perhaps for a cancelled job."""
        return not (self.dying or self.cancelled or self.page.state() == pages.CLOSING)

    @property
    def shares(self) -> bool:
        """Whether it holds jobs that run beside others like them, or alone."""
        return bool(self.held) and (self.lanes > 1 or self.alone)

    def take(self, job: Job, options: Options, *, alone: bool) -> None:
        """Hold a job; it is sent later."""
        self.held[job.key] = job
        self.lanes, self.kind, self.alone = options.concurrency or 1, (job.handler, job.options), alone
        self.setup = options.setup or self.setup

    @property
    def has_lanes(self) -> bool:
        """Whether async jobs run."""
        return self.page.state() in (pages.LANES, pages.CLOSING)

    def look_at_lanes(self, now: int) -> list[Current]:
        """Return the async jobs that run; notes a fault where the page says what cannot be."""
        found = self.page.lanes(self.lanes)
        if not all(possible(each, now) or possible(each, time.monotonic_ns()) for each in found):
            self.fault = self.fault or "its page has impossible times"
            return []
        return found

    def look(self, now: int) -> Current | None:
        """Return what runs, unless nothing does; notes a fault where the page says what cannot be."""
        current = self.page.current()
        if current is None:
            return next(iter(self.look_at_lanes(now)), None) if self.has_lanes else None
        if self.seen[0] != current.key:
            self.seen = (current.key, current.started)
        # The clock once more: this process may have been frozen since it was asked.
        again = self.prepared > 0 and self.prepared != current.prepared
        self.prepared = current.prepared
        if (
            again
            or self.seen[1] != current.started
            or not (possible(current, now) or possible(current, time.monotonic_ns()))
        ):
            self.fault = self.fault or "its page has impossible times"
            return None
        return current

    def kill(self, kill_reason: KillReason | None) -> None:
        """Kill the process and all that runs below it; they are gone when ``gone`` says so."""
        if not self.dying:
            self.dying = True
            self.kill_reason = kill_reason
        if self._ordered_at is None:
            self._ordered_at = time.monotonic()
            if self._process.poll() is None:
                self._process.send_signal(guardian.END)

    def gone(self) -> bool:
        """Return whether the process has ended with all that ran below it, so that it can be reaped."""
        if self._process.poll() is not None:
            return True
        if self._ordered_at is not None and time.monotonic() > self._ordered_at + _SWEEP_S:
            self._process.kill()  # stopped by its own executor, perhaps: that one dies with it
        return False

    def wait(self, timeout: float) -> None:
        """Wait for the end of a process that was killed or told to quit."""
        try:
            self._process.wait(timeout if self._ordered_at is None else _SWEEP_S)
        except subprocess.TimeoutExpired:
            if self._ordered_at is None:
                self.kill(None)
                self.wait(0.0)
            else:
                self._process.kill()
                self._process.wait()

    def drain(self, now: int) -> list[wire.Said]:
        """Return the news that a dead executor sent, and what it had no time to send; none after a fault."""
        news = [] if self.fault else self.receive(now, _READS_AT_THE_END)
        if not self.fault:
            try:
                news += wire.news_items(*self.page.pending())
            except wire.LinkBroken as broken:
                self.fault = str(broken)
        return news

    def remains(self) -> bytes:
        """Return what a dead executor had printed and had no time to write."""
        return remains(self.page.text)

    def cause(self) -> str:
        """Return how the process ended."""
        code = self._process.returncode
        if code is None or code >= 0:
            return f"the executor process ended with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return f"the executor process was killed by {name}{hint}"

    @property
    def was_killed(self) -> bool:
        """Whether it was killed by a signal that nobody here has sent."""
        return self._process.returncode == -signal.SIGKILL and self._ordered_at is None

    @property
    def lost_link(self) -> bool:
        """Whether it ended because its own end of the link was gone."""
        return self._process.returncode == wire.LINK_LOST

    @property
    def stood_still(self) -> bool:
        """Whether it was ended because it had been stopped (SIGSTOP) for long."""
        return self._process.returncode == guardian.STOOD_STILL

    def close(self) -> None:
        """Release the socket and the page."""
        self._sock.close()
        self.page.close()


def _environment() -> dict[str, str]:
    """Return what executors and so handlers inherit: all but our own settings."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("STREAMSCHED_") or name in _HARMLESS
    }
