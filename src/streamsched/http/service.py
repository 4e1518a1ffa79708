"""The server: its socket, its loop, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Collection, Iterator
from typing import Final

import uvicorn

from streamsched.domain.errors import InputError
from streamsched.http.access import Access
from streamsched.http.app import application
from streamsched.http.call import Shared
from streamsched.http.certificates import Certificates
from streamsched.http.desk import Desk
from streamsched.http.guard import Guard, is_loopback
from streamsched.http.layers import Layers
from streamsched.http.measures import Measures
from streamsched.http.pasts import Pasts
from streamsched.http.problems import NotReady
from streamsched.http.protocol import PatientProtocol
from streamsched.http.session import Change, FollowingSession
from streamsched.http.sign_in import SignIns
from streamsched.http.streams import Streams
from streamsched.installation.settings import Settings
from streamsched.queries.lanes import Endings
from streamsched.runtime.clock import SystemClock

CONNECTIONS: Final = 1_500
"""That are open at once; a request over one more is refused."""
GRACE_S: Final = 2
"""How long answers that have begun may take once the server is to end."""
KEEP_ALIVE_S: Final = 30
"""How long a connection stays open between two requests."""
HEAD_BYTES: Final = 64 * 1024
"""Of the head of a request: its address and its headers."""
logger = logging.getLogger(__name__)


def bind(text: str) -> tuple[socket.socket, str]:
    """Open the socket of HOST:PORT; returns it with its host. Port 0 is any free one. Raise InputError."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not port.isdecimal() or int(port[:9]) > 65_535:
        raise InputError(f"{text[:100]!r} is not an address", "write 127.0.0.1:8080", source="--http")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY where it says so
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, int(port)))
    except OSError as error:
        found.close()
        reason = error.strerror or str(error)
        remedy = "another server or 'up --ui' may have it: choose another with --http HOST:PORT, port 0 for a free one"
        raise InputError(f"{text} cannot be used: {reason}", remedy, source="--http") from None
    return found, host


class Service:
    """One server. ``run`` returns when it was stopped, from a signal handler or another thread."""

    def __init__(
        self, settings: Settings, listening: socket.socket, host: str, access: Access, names: Collection[str] = ()
    ) -> None:
        self._socket = listening
        self._streams = Streams()
        self._endings = Endings(SystemClock().now())
        self._layers = Layers()
        self._pasts = Pasts()
        self._certificates = Certificates()
        self._desk = Desk(settings, self._take)
        self._stops = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        measures = Measures(self._desk, self._streams)
        shared = Shared(
            self._desk, self._streams, self._endings, self._layers, self._pasts, self._certificates,
            SignIns(access), measures, lambda: self._stops > 0,
        )  # fmt: skip
        own = () if is_loopback(host) else (socket.gethostname(),)
        guard = Guard(host, (*own, *names, *access.hosts))
        self._server = _Server(
            uvicorn.Config(
                application(shared, guard), http=PatientProtocol, ws="none", lifespan="off",
                loop="asyncio", log_config=None, log_level="error", access_log=False, server_header=False,
                proxy_headers=False, limit_concurrency=CONNECTIONS, timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S, h11_max_incomplete_event_size=HEAD_BYTES,
            )
        )  # fmt: skip

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._socket.getsockname()[1])

    def run(self, on_listening: Callable[[], None], on_ready: Callable[[], None] = lambda: None) -> bool:
        """Serve until ``stop``; return whether all threads have ended. Raise LogError where there is no log."""
        return asyncio.run(self._run(on_listening, on_ready))

    def stop(self) -> None:
        """End: streams at once, other answers within moments; again: now. Safe in a signal handler."""
        self._stops += 1
        self._desk.stop()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._streams.close()
        self._certificates.stop()
        self._server.should_exit = True
        self._server.force_exit = self._stops > 1

    async def _run(self, on_listening: Callable[[], None], on_ready: Callable[[], None]) -> bool:
        self._loop = asyncio.get_running_loop()
        opening = asyncio.create_task(self._open(on_ready))
        messages = asyncio.create_task(self._streams.serve(self._desk))
        said = logging.getLogger("uvicorn.error")
        said.addFilter(self._is_said)
        self._socket.listen(512)
        on_listening()
        try:
            if not self._stops:
                await self._server.serve(sockets=[self._socket])
        finally:
            self._streams.close()
            opening.cancel()
            outcome, _ = await asyncio.gather(opening, messages, return_exceptions=True)
            ended = all(await asyncio.gather(self._desk.close(), self._certificates.close()))
            if ended:
                self._pasts.close()
            self._socket.close()
            said.removeFilter(self._is_said)
        if isinstance(outcome, Exception):
            raise outcome
        return ended

    def _is_said(self, record: logging.LogRecord) -> bool:
        """Leave out the traceback of an answer that the end has cut off: how many were is said in a line."""
        cut_off = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
        return not (self._stops and cut_off)

    async def _open(self, on_ready: Callable[[], None]) -> None:
        """Fold the journal while the first requests are answered that it is being folded."""
        try:
            await self._desk.open()
        except NotReady:
            return  # it was stopped meanwhile
        except BaseException:
            self._server.should_exit = True
            raise
        on_ready()

    def _take(self, change: Change, session: FollowingSession) -> None:
        """Tell all that follows the journal of an event; in the thread of the session."""
        self._endings.on_event(change.event)
        self._layers.take(change, session)
        self._streams.take(change)


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield
