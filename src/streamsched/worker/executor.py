"""An executor: the process in which handlers run, one after the other.

The main thread runs handlers and nothing else. A second thread reads orders, and about every 20 ms sends what
waits: endings, the running job's latest checkpoint, captured output. Endings lie in the shared page until
they are sent, so that a kill loses none. The process ends when its pool closes the link or dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Collection
from typing import Any, Final

import msgspec

from streamsched.worker import errors, wire
from streamsched.worker.context import ChildContext
from streamsched.worker.handlers import Handlers
from streamsched.worker.jobs import (
    Ending,
    Job,
    JobCheckpointed,
    JobCompleted,
    JobFailed,
    JobReturned,
    JobStopped,
)
from streamsched.worker.output import Output
from streamsched.worker.page import Page
from streamsched.worker.streams import Capture

TICK: Final = 0.020
FLUSH_AFTER_NS: Final = 2_000_000
FLUSH_COUNT: Final = 96  # endings, so that the pool can send more before this executor has run dry
_PR_SET_PDEATHSIG: Final = 1
_READ: Final = 256 * 1024
_encode_json = msgspec.json.Encoder().encode
_decode_args = msgspec.json.Decoder(dict[str, Any]).decode
_monotonic_ns = time.monotonic_ns


class Executor:
    """Runs the jobs that come over ``link``, one by one. Also the transport of its handlers' contexts."""

    def __init__(self, setup: wire.Setup, link: socket.socket, page: Page, output: Output) -> None:
        self._link = link
        self._page = page
        self._output = output
        self._payload_limit = setup.payload_limit
        self._checkpoint_tick = round(setup.checkpoint_tick * 1e9)
        self._handlers = Handlers(setup.allow)
        self._pid = os.getpid()
        self._queue: deque[Job] = deque()
        self._context: ChildContext | None = None
        self._key = -1
        self._began = 0
        self._confirmed = 0
        self._quitting = False
        self._checkpointed = 0
        self._flushed = 0
        # _lock guards queue, running job and pending news and is never held while waiting; _writing is held
        # while a frame is written, so that news of one job is sent in its order.
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._work = threading.Semaphore(0)  # released for each order that may give the main thread something
        self._news = threading.Condition()  # for a handler that waits for its checkpoint

    # --- the main thread: handlers ---

    def run(self) -> None:
        """Run jobs until told to quit and none is left."""
        threading.Thread(target=self._serve, name="link", daemon=True).start()
        self._page.ready()
        wall = time.time_ns() - _monotonic_ns()
        while True:
            job = self._next(wall)
            if job is None:
                self._flush()
                if self._quitting and not self._queue:
                    return
                self._work.acquire()
                wall = time.time_ns() - _monotonic_ns()
                continue
            self._run(job, wall)

    def _next(self, wall: int) -> Job | None:
        with self._lock:
            if not self._queue:
                return None
            job = self._queue.popleft()
            self._key = job.key
            self._confirmed = 0
            self._context = ChildContext(
                self,
                task_id=job.task_id,
                child_index=job.child,
                attempt=job.attempt,
                fencing_token=job.token,
                handler=job.handler,
                state=job.state,
                payload_limit=self._payload_limit,
            )
            now = _monotonic_ns()
            self._page.begin(job.key, now, (wall + now) // 1_000_000)
            self._began = now
            return job

    def _run(self, job: Job, wall: int) -> None:
        context = self._context
        assert context is not None  # noqa: S101 - _next made it
        output = self._output
        output.begin(job.task_id, job.child, job.attempt)
        result: str | None = None
        failure: errors.Telling | None = None
        stopped = False
        try:
            handler = self._handlers.resolve(job.handler)
            output.resolved(job.handler)
            result = self._serialise(handler(context, **self._arguments(job)))
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: the process is not the handler's
            context.finish()
            stopped = issubclass(type(error), errors.StopChild) and context.should_stop
            failure = None if stopped else errors.tell(error)
        if os.getpid() != self._pid:  # the handler forked, and this is the copy that came back
            os._exit(0)
        output.end()
        now = _monotonic_ns()
        began_at, ended_at = (wall + self._began) // 1_000_000, (wall + now) // 1_000_000
        with self._lock:
            # From here on the other thread tells of no checkpoint, so the ending must: nothing comes after
            # it.
            told = context.tell()
            self._context = None
            state = None if told is None else told[0]
            ending: Ending
            if failure is not None:
                ending = _failed(job.key, began_at, ended_at, failure, state)
            elif stopped:
                ending = JobStopped(key=job.key, started_at=began_at, finished_at=ended_at, state=state)
            else:
                ending = JobCompleted(
                    key=job.key, started_at=began_at, finished_at=ended_at, result=result, state=state
                )
            item = wire.encode_item(ending)
            pushed = self._page.push(item)
        if not pushed:
            self._flush()
            self._page.push(item)
        self._page.end(now - self._began)
        if now - self._flushed > FLUSH_AFTER_NS or self._page.waiting() >= FLUSH_COUNT:
            self._flush()

    def _arguments(self, job: Job) -> dict[str, Any]:
        try:
            return _decode_args(job.args)
        except msgspec.DecodeError as error:
            raise errors.BadArguments(f"the arguments are not a JSON object: {error}") from error

    def _serialise(self, result: Any) -> str | None:
        if result is None:
            return None
        try:
            data = _encode_json(result)
        except Exception as error:
            raise errors.ResultNotSerialisable(
                f"the handler returned a {type(result).__name__} that has no JSON form: {error}"
            ) from error
        if len(data) > self._payload_limit:
            raise errors.PayloadTooLarge(
                f"the result is {len(data):,} bytes of JSON, above the limit of {self._payload_limit:,}; "
                "store it outside and return a reference to it"
            )
        return data.decode()

    # --- the transport of the handler's context ---

    def heartbeat(self) -> None:
        """Touch the page."""
        self._page.beat(_monotonic_ns())

    def progress(self, done: float, total: float) -> None:
        """Write into the page."""
        self._page.progress(done, total)

    def wait(self, number: int) -> None:
        """Send the checkpoint now, and wait for its confirmation or a stop; waiting counts as being alive."""
        context = self._context
        if context is None:
            return
        self._flush(waiting=True)
        with self._news:
            while self._confirmed < number and not context.should_stop:
                self._news.wait(0.1)
                self.heartbeat()

    # --- the other thread: the link ---

    def _serve(self) -> None:
        try:
            self._listen()
        except BaseException:  # an executor that hears nothing any more is worse than none
            import traceback

            os.write(2, traceback.format_exc().encode())
            os._exit(70)

    def _listen(self) -> None:
        frames = wire.Frames()
        poller = select.poll()
        poller.register(self._link, select.POLLIN)
        while True:
            # Nothing is held, nothing can become due.
            with self._lock:
                held = self._context is not None or self._queue or self._page.waiting()
            if not poller.poll(TICK * 1000 if held else None):
                self._tick()
                continue
            data = self._link.recv(_READ)
            if not data:
                os._exit(0)  # the pool is gone, and nobody would hear of what still runs
            for body in frames.feed(data):
                self._obey(wire.decode_order(body))
            if _monotonic_ns() - self._flushed > TICK * 1e9:
                self._tick()

    def _tick(self) -> None:
        # Where the main thread is writing, this one goes on reading: the pool may be waiting for that.
        if self._writing.acquire(blocking=False):
            try:
                self._write()
            finally:
                self._writing.release()
        self._output.flush_if_writable()

    def _obey(self, order: wire.Order) -> None:
        if isinstance(order, wire.Begin):
            with self._lock:
                self._queue.extend(order.jobs)
            self._work.release()
        elif isinstance(order, wire.Recall):
            self._recall(order.keys)
        elif isinstance(order, wire.Confirm):
            with self._lock:  # or the next job could begin in between, and believe it
                if order.key == self._key:
                    self._confirmed = max(self._confirmed, order.number)
            with self._news:
                self._news.notify_all()
        elif isinstance(order, wire.Stop):
            self._recall((order.key,))
            with self._lock:
                if self._context is not None and self._key == order.key:
                    self._context.request_stop()
            with self._news:
                self._news.notify_all()
        else:
            self._quitting = True
            self._work.release()

    def _recall(self, keys: Collection[int] | None) -> None:
        with self._lock:
            back = [job for job in self._queue if keys is None or job.key in keys]
            if not back:
                return
            if len(back) == len(self._queue):
                self._queue.clear()
            else:
                gone = {job.key for job in back}
                self._queue = deque(job for job in self._queue if job.key not in gone)
        news = [wire.encode_item(JobReturned(key=job.key)) for job in back]
        with self._writing:
            self._write(news)

    # --- both threads ---

    def _flush(self, *, waiting: bool = False) -> None:
        with self._writing:
            self._write(waiting=waiting)

    def _write(self, news: list[bytes] | None = None, *, waiting: bool = False) -> None:
        """Send all news there is; the caller holds ``_writing``."""
        items = news or []
        self._flushed = now = _monotonic_ns()
        with self._lock:
            ended, count = self._page.pending()
            if self._context is not None and (waiting or now - self._checkpointed >= self._checkpoint_tick):
                told = self._context.tell(again=waiting)
                if told is not None:
                    self._checkpointed = now
                    state, number = told
                    item = JobCheckpointed(key=self._key, state=state, number=number, wait=waiting)
                    items.append(wire.encode_item(item))
        if not (count or items):
            return
        try:
            self._link.sendall(wire.news_frame(ended + b"".join(items), count + len(items)))
        except OSError:
            os._exit(0)
        with self._lock:
            self._page.sent(len(ended), count)


def _failed(key: int, began_at: int, ended_at: int, telling: errors.Telling, state: str | None) -> JobFailed:
    return JobFailed(
        key=key,
        started_at=began_at,
        finished_at=ended_at,
        reason="error",
        error_type=telling.error_type,
        message=telling.message,
        traceback=telling.traceback,
        retryable=telling.retryable,
        delay_ms=telling.delay_ms,
        state=state,
    )


def main() -> None:
    """Run an executor; the pool gives its setup as JSON in the one argument."""
    setup = msgspec.json.decode(sys.argv[1], type=wire.Setup)
    # Ctrl-C and a service manager's SIGTERM go to the whole group; the worker decides what they mean. A
    # function, because ignoring would be inherited by the processes that handlers start.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != setup.parent:
        return
    link = socket.socket(fileno=setup.link)
    page = Page(setup.page)
    os.close(setup.page)
    os.set_inheritable(setup.link, False)
    with contextlib.suppress(FileNotFoundError):  # it may have been deleted
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - pathlib is not worth its import here
    faulthandler.enable(2)
    output = Capture(setup.output_path, page.text)
    gc.freeze()
    Executor(setup, link, page, output).run()


if __name__ == "__main__":
    main()
