"""The addresses at which a browser signs in: with a token, or at an issuer, from which it comes back."""

from __future__ import annotations

import re
from html import escape
from typing import Annotated, Final

from msgspec import Meta, Struct
from starlette.responses import Response

from streamsched.http.access import Flow, User
from streamsched.http.call import HTML, Call, answer
from streamsched.http.inputs import Text
from streamsched.http.problems import HttpError, NoSuchPage, Problem, WrongContent, problem_answer, problem_of
from streamsched.http.sign_in import BEGIN, KEPT, KEPT_S, kept_cookie
from streamsched.queries.documents import Document

_OWN: Final = re.compile(r"/(#[!-~]*)?")
"""A page of this server; what may follow ``#`` can lead to no other."""
_PAGE: Final = '<!doctype html><html lang="en"><meta charset="utf-8"><title>streamsched</title>{}</html>\n'
Long = Annotated[str, Meta(max_length=8_000)]


class Self(Document, frozen=True):
    """Who sends this request, and what that user may do."""

    name: str
    role: str
    within: str

    @classmethod
    def of(cls, user: User) -> Self:
        """Tell of a user."""
        return cls(user.name, user.role.name.lower(), user.within)


class Ways(Document, frozen=True):
    """How to sign in: ``kind`` as in ``--auth``; where a browser goes for it, and the name of that place, if any."""

    kind: str
    sign_in: str | None
    title: str | None


class BeginQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to go on afterwards."""

    to: Annotated[Text, Meta(description="a page of this server, as /#/tasks")] = "/"


class CallbackQuery(Struct, frozen=True):
    """What an issuer sends; it may send more."""

    state: Long = ""
    code: Long = ""
    error: Text = ""


async def me(call: Call) -> Response:
    """Answer who sends this request."""
    return answer(Self.of(call.user))


async def ways(call: Call) -> Response:
    """Answer how to sign in."""
    flow = call.shared.sign_ins.flow
    return answer(Ways(call.shared.sign_ins.kind, BEGIN if flow else None, flow.title if flow else None))


async def sign_in(call: Call) -> Response:
    """Begin a session with the token of this request: a cookie for browsers, whose streams cannot send headers."""
    user, cookie = await call.shared.sign_ins.begin(call.request)
    response = answer(Self.of(user), 201)
    response.headers["Set-Cookie"] = cookie
    return response


async def sign_out(call: Call) -> Response:
    """End the session of this request."""
    response = Response(status_code=204)
    response.headers["Set-Cookie"] = call.shared.sign_ins.end(call.request)
    return response


async def begin(call: Call) -> Response:
    """Send a browser to the issuer."""
    flow = _flow(call)
    query: BeginQuery = call.query
    if not _OWN.fullmatch(query.to):
        raise WrongContent(f"{query.to[:100]!r} is no page of this server", "give one as /#/tasks", "/to")
    try:
        address, kept = await flow.begin(query.to)
    except HttpError as error:
        return _told(call, error)
    response = Response(status_code=303, headers={"Location": address})
    response.headers.append("Set-Cookie", kept_cookie(kept, KEPT_S, secure=flow.secure))
    return response


async def callback(call: Call) -> Response:
    """Take a browser back from the issuer: with a session, or with what is wrong.

    It comes from another site, so a cookie for this site alone (SameSite=Strict) would not be sent with a redirect: the
    answer is a page, which goes on by itself.
    """
    flow = _flow(call)
    query: CallbackQuery = call.query
    try:
        kept = call.request.cookies.get(KEPT, "")
        user, to = await flow.finish(kept, query.state, query.code, query.error)
    except HttpError as error:
        response = _told(call, error)
    else:
        place = escape(to)
        body = (
            f'<meta http-equiv="refresh" content="0; url={place}"><p>You are signed in. <a href="{place}">Go on</a></p>'
        )
        response = Response(_PAGE.format(body), media_type=HTML)
        response.headers.append("Set-Cookie", call.shared.sign_ins.admit(user, flow))
    response.headers.append("Set-Cookie", kept_cookie("", 0, secure=flow.secure))
    return response


def _flow(call: Call) -> Flow:
    found = call.shared.sign_ins.flow
    if found is None:
        raise NoSuchPage("this server has no sign-in at an issuer", "sign in with a token: POST /v1/session")
    return found


def _told(call: Call, error: HttpError) -> Response:
    """Answer what is wrong: with a plain page for a browser that shows it, else with the problem document."""
    if "text/html" not in (call.header("accept") or ""):
        return problem_answer(error)
    told, headers = problem_of(error)
    return Response(_PAGE.format(_words(told)), told.status, headers, media_type=HTML)


def _words(told: Problem) -> str:
    return (
        f"<h1>{escape(told.title)}</h1><p>{escape(told.detail)}</p>"
        f'<p><a href="{BEGIN}">Sign in again</a>, or <a href="/">go to the first page</a></p>'
    )
