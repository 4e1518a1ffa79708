"""The application: each request is checked, its handler called, and every error becomes a problem document."""

from __future__ import annotations

import gzip
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Address
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamsched.http import bodies, positions
from streamsched.http.access import NOBODY, Role
from streamsched.http.bodies import JSON
from streamsched.http.call import BYTES, ENDING, Call, Route, Shared
from streamsched.http.encoding import encode, takes_gzip
from streamsched.http.guard import HEADERS, Guard
from streamsched.http.guesses import page_meant
from streamsched.http.inputs import EventQuery
from streamsched.http.measures import PAGES, Measures
from streamsched.http.openapi import document
from streamsched.http.problems import NoSuchMethod, NoSuchPage, WrongContent, problem_answer
from streamsched.http.static import pages_of
from streamsched.http.table import ROUTES

STALE: Final = "Streamsched-Stale"
"""Seconds since the log has answered, where it does not now."""
WORTH_PACKING: Final = 1_000
"""Bytes of an answer."""
PACKED: Final = frozenset({JSON, BYTES})
PLACE: Final = "streamsched.place"
"""In the scope of a request: its address, as it stands in the table."""
REPEATED: Final = frozenset({"label", "worker"})
"""Parameters that may stand more than once."""
Endpoint = Callable[[Request], Awaitable[Response]]


def application(shared: Shared, guard: Guard) -> ASGIApp:
    """Make the application."""
    api = encode(document())
    addresses = [_address(shared, route) for route in ROUTES]
    addresses.append(Address("/openapi.json", lambda _: Response(api, media_type="application/json")))
    addresses += pages_of()
    app = Starlette(routes=addresses, exception_handlers={HTTPException: _refused, Exception: _failed})
    app.router.redirect_slashes = False
    return Front(app, guard, shared.measures)


class Front:
    """Stands before all addresses, also those that are none: looks at the host, adds headers, measures."""

    def __init__(self, app: ASGIApp, guard: Guard, measures: Measures) -> None:
        self._app = app
        self._guard = guard
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            return

        begun = time.perf_counter()

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                path, took = scope.get(PLACE, PAGES), time.perf_counter() - begun
                self._measures.note(path, scope["method"], message["status"], took)
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        request = Request(scope, receive)
        try:
            self._guard.check(request)
        except Exception as error:
            await problem_answer(error)(scope, receive, marked)
            return
        with ExitStack() as scope[ENDING]:
            await self._app(scope, receive, marked)


def _address(shared: Shared, route: Route) -> Address:
    async def endpoint(request: Request) -> Response:
        request.scope[PLACE] = route.path
        try:
            user = NOBODY if route.role is Role.NONE else await shared.sign_ins.user_of(request)
            user.need(route.role)
            query = bodies.convert(_parameters(request), route.query)
            body = None
            if route.body is not None:
                body = await bodies.read(request, route.body, route.body_type)
            call = Call(shared, request, user, query, body)
            at_least = getattr(query, "at_least", None)
            if at_least is not None and not isinstance(query, EventQuery):
                await shared.desk.reach(positions.read(at_least, "at_least"))
            response = await route.handler(call)
            _pack(request, response)
        except Exception as error:
            response = problem_answer(error)
        if shared.desk.trouble:
            response.headers[STALE] = f"{shared.desk.age_s:.0f}"
        return response

    return Address(route.path, endpoint, methods=[route.method])


def _pack(request: Request, response: Response) -> None:
    """Pack a long document or grid, for who takes that."""
    if type(response) is not Response or response.media_type not in PACKED or len(response.body) <= WORTH_PACKING:
        return
    response.headers["Vary"] = "Accept-Encoding"
    if takes_gzip(request.headers.get("accept-encoding")):
        response.body = gzip.compress(response.body, 1, mtime=0)
        response.headers["Content-Length"] = str(len(response.body))
        response.headers["Content-Encoding"] = "gzip"


def _parameters(request: Request) -> dict[str, Any]:
    """Return the parameters of an address. Raise WrongContent for one that stands twice."""
    found: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in REPEATED:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise WrongContent(f"{name[:100]!r} is given twice", "give it once", f"/{name[:100]}")
        else:
            found[name] = value
    return found


async def _refused(request: Request, error: Exception) -> Response:
    """Answer for an address that is none, or does not take this method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        allowed = getattr(error, "headers", None) or {}
        response = problem_answer(NoSuchMethod(f"{request.method[:20]} is not taken here", "see /openapi.json"))
        response.headers["Allow"] = allowed.get("Allow", "GET, HEAD")
        return response
    if status == 404:
        page = page_meant(request)
        if page is not None:
            return Response(status_code=303, headers={"Location": page, "Vary": "Accept"})
        return problem_answer(NoSuchPage(f"there is nothing at {request.url.path[:200]!r}", "see /openapi.json"))
    return problem_answer(error)


async def _failed(_: Request, error: Exception) -> Response:
    return problem_answer(error)
