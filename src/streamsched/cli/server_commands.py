"""``server``: the HTTP API; and the same beside ``run`` and ``up``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from streamsched.cli.exits import leave_threads
from streamsched.cli.given import settings_of
from streamsched.cli.printing import note
from streamsched.domain.errors import InputError, StreamschedError

if TYPE_CHECKING:
    import socket

    from streamsched.http.access import Access
    from streamsched.installation.settings import Settings

SWITCH_S: Final = 0.0005
"""How long the thread that folds keeps the interpreter from the one that answers, who needs it for each send again."""
STOP_S: Final = 5.0
"""How long a ``run`` waits for its pages to end."""

Http = Annotated[str, typer.Option("--http", metavar="HOST:PORT", help="Where to listen; port 0 is any free one.")]
HttpBeside = Annotated[
    str | None,
    typer.Option("--http", metavar="HOST:PORT", show_default=False,
                 help="The loopback address of the pages; implies --ui [default: 127.0.0.1:8080]"),
]  # fmt: skip
Ui = Annotated[bool, typer.Option("--ui", help="Serve the pages and the HTTP API too, as 'streamsched server' does.")]
ADDRESS: Final = "127.0.0.1:8080"
_KINDS: Final = "none, tokens:FILE, oidc:FILE or proxy:FILE"


def server(
    context: typer.Context,
    http: Http = ADDRESS,
    auth: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="Who may do what: none (only on a loopback address), tokens:FILE with lines of NAME:ROLE:SHA256, "
            "oidc:FILE for the users of an issuer (extra 'oidc'), or proxy:FILE for those that a proxy names.",
        ),
    ] = "none",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A host name under which it may be asked; may be repeated."),
    ] = None,
) -> int:
    """Serve the HTTP API and the pages.

    Those of the cluster, or of the embedded log of this folder. It follows the journal with a view of its own. Beside
    an 'up' or 'run' of the folder it only reads, and its commands are requests as those of the command line. SIGTERM
    and Ctrl-C end it within seconds. The API is described at /openapi.json; it needs the extra 'server'.
    """
    _need_extra()
    from streamsched.http.service import Service, bind
    from streamsched.runtime.service import collect_less, return_large_blocks

    sys.setswitchinterval(SWITCH_S)
    return_large_blocks()
    settings = settings_of(context)
    access = _access(auth, http)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # nothing has begun
    listening, host = bind(http)
    service = Service(settings, listening, host, access, allow_host or ())
    collect_less()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: service.stop())
    ended = service.run(
        lambda: note(f"listening on {_address(host, service.port)}, process {os.getpid()}"),
        lambda: note(f"ready: the journal of {settings.where} was folded"),
    )
    if not ended:
        leave_threads()
    return 0


class Address(NamedTuple):
    """Where pages are served beside a ``run`` or ``up``, and to whom."""

    access: Access
    listening: socket.socket
    host: str


def address_beside(http: str | None, *, ui: bool) -> Address | None:
    """Take the address of the pages before anything begins; None where none are wanted. Raise InputError."""
    at = http or (ADDRESS if ui else None)
    if at is None:
        return None
    _need_extra()
    from streamsched.http.service import bind

    return Address(_access("none", at), *bind(at))


@contextmanager
def pages_beside(settings: Settings, address: Address | None, page: str = "") -> Iterator[None]:
    """Serve the pages in a thread beside a ``run`` or ``up``, which has the log, and say where ``page`` is."""
    if address is None:
        yield
        return
    from streamsched.http.service import Service

    service = Service(settings, address.listening, address.host, address.access)
    ended = True

    def serve() -> None:
        nonlocal ended
        try:
            ended = service.run(lambda: note(f"the pages are at {_address(address.host, service.port)}{page}"))
        except StreamschedError as error:
            note(f"the pages cannot be served: {error}")

    thread = Thread(target=serve, name="streamsched-server", daemon=True)
    thread.start()
    try:
        yield
    finally:
        service.stop()
        thread.join(STOP_S)
        if thread.is_alive() or not ended:
            leave_threads()


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _need_extra() -> None:
    """Raise InputError where what the server needs is not installed."""
    missing = [name for name in ("starlette", "uvicorn", "prometheus_client") if find_spec(name) is None]
    if missing:
        remedy = "install it with: pip install 'streamsched[server]'"
        raise InputError(f"{' and '.join(missing)} is not installed, which the server needs", remedy)


def _access(auth: str, http: str) -> Access:
    """Return the kind of sign-in. Raise InputError."""
    from streamsched.http.access import Open, Tokens
    from streamsched.http.guard import is_loopback
    from streamsched.installation.site import user_name

    kind, _, path = auth.partition(":")
    if auth == "none":
        if not is_loopback(http.rpartition(":")[0]):
            raise InputError(
                f"{http} can be reached from other machines, and everybody there could do everything",
                "give another --auth, or listen on 127.0.0.1",
                source="--auth",
            )
        return Open(user_name())
    if kind == "tokens" and path:
        return Tokens(Path(path))
    if kind == "proxy" and path:
        from streamsched.http.proxied import Proxied

        return Proxied(Path(path))
    if kind == "oidc" and path:
        return _oidc(Path(path))
    raise InputError(f"unknown kind {auth[:100]!r}", f"write {_KINDS}", source="--auth")


def _oidc(path: Path) -> Access:
    """Return the users of an issuer, which is asked now: it may be away, but not another one. Raise InputError."""
    if find_spec("joserfc") is None:
        remedy = "install it with: pip install 'streamsched[oidc]'"
        raise InputError("joserfc is not installed, which --auth oidc needs", remedy)
    import asyncio

    from streamsched.http.oidc import Oidc

    found = Oidc(path)
    if trouble := asyncio.run(found.check()):
        note(f"the issuer does not answer, and nobody can sign in until it does: {trouble}")
    return found


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)
