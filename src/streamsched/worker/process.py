"""The pool's end of one executor process: start it, write without waiting, read, see what it left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

import msgspec

from streamsched.worker import page as pages
from streamsched.worker import wire
from streamsched.worker.jobs import Job, News
from streamsched.worker.output import remains
from streamsched.worker.verdict import Verdict

_READ: Final = 256 * 1024
_QUIET: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """What all executors of a pool have in common."""

    allow: tuple[str, ...]
    output_fd: int | None
    checkpoint_tick: float
    payload_limit: int
    output_path: str | None = None


class ExecutorProcess:
    """One executor, and the jobs that it holds. ``fileno`` is readable when it has news, or is gone."""

    def __init__(self, outfit: Outfit) -> None:
        self.held: dict[int, Job] = {}
        self.dropped: set[int] = set()
        self.stopping: dict[int, int] = {}  # deadlines of the grace period, monotonic nanoseconds
        self.verdict: Verdict | None = None
        self.dying = False
        self.recalled = -1  # the running job behind which nothing waits any more
        self.suspect = -1  # the running job that was seen once beyond a limit
        self.measured = (0, 0)
        self._out = bytearray()
        self._frames = wire.Frames()
        self._sock, theirs = socket.socketpair()
        self._sock.setblocking(False)
        fd = pages.create()
        self.page = pages.Page(fd)
        self.page.ready(pages.STARTING)
        setup = wire.Setup(
            link=theirs.fileno(),
            page=fd,
            parent=os.getpid(),
            allow=outfit.allow,
            checkpoint_tick=outfit.checkpoint_tick,
            payload_limit=outfit.payload_limit,
            output_path=outfit.output_path,
        )
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
                    "streamsched.worker.executor",
                    msgspec.json.encode(setup).decode(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if outfit.output_fd is None else outfit.output_fd,
                stderr=outfit.output_fd,
                pass_fds=(theirs.fileno(), fd),
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
            os.close(fd)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

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
        except OSError:  # it is gone, or will be
            self._out.clear()
            self.kill(None)

    def receive(self) -> list[News]:
        """Return all news that can be read now."""
        news: list[News] = []
        try:
            while True:
                data = self._sock.recv(_READ)
                if not data:
                    self.kill(None)
                    break
                for body in self._frames.feed(data):
                    news += wire.decode_news(body)
                if len(data) < _READ:
                    break
        except BlockingIOError:
            pass
        except OSError:
            self.kill(None)
        return news

    def kill(self, verdict: Verdict | None) -> None:
        """Kill the process; it is gone when ``gone`` says so."""
        if not self.dying:
            self.dying = True
            self.verdict = verdict
            self._process.kill()

    def gone(self) -> bool:
        """Say whether the process has ended, and is to be buried."""
        return self._process.poll() is not None

    def wait(self, timeout: float) -> None:
        """Wait for the end of a process that was killed or told to quit."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_words(self) -> list[News]:
        """Return the news that a dead executor sent, and what it had no time to send."""
        return self.receive() + wire.news_items(*self.page.pending())

    def remains(self) -> bytes:
        """Return what a dead executor had printed and had no time to write."""
        return remains(self.page.text)

    def cause(self) -> str:
        """Say how the process ended."""
        code = self._process.returncode
        if code is None or code >= 0:
            return f"the executor process ended with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return f"the executor process was killed by {name}{hint}"

    def close(self) -> None:
        """Give everything back."""
        self._sock.close()
        self.page.close()
