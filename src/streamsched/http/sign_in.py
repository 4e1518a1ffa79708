"""Sessions of browsers: a cookie in place of the token, for streams cannot send headers."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from streamsched.http.access import Access, Flow, User

COOKIE: Final = "streamsched_session"
KEPT: Final = "streamsched_sign_in"
"""The cookie of a sign-in at another place that has begun. It comes along from there, and opens nothing."""
BEGIN: Final = "/v1/session/begin"
CALLBACK: Final = "/v1/session/callback"
KEPT_S: Final = 600
"""How long a sign-in at another place may take."""
LASTS_S: Final = 12 * 3600
"""How long a session lasts that began with a token."""
MOST: Final = 20
"""Sessions of one user; a new one ends the oldest."""
MOST_OF_ALL: Final = 10_000
"""Sessions of all users; a new one ends the oldest."""


@dataclass(frozen=True, slots=True)
class _Session:
    """It stands for a token, which is asked for again with each request, or for a user who has signed in elsewhere."""

    user: User
    token: str | None
    until: float
    elsewhere: bool


class SignIns:
    """The sessions of this process."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._sessions: dict[str, _Session] = {}
        """The oldest first."""

    @property
    def kind(self) -> str:
        """The kind of sign-in."""
        return self._access.kind

    @property
    def flow(self) -> Flow | None:
        """The sign-in at another place, where there is one."""
        return self._access.flow

    async def user_of(self, request: Request) -> User:
        """Return who sends a request, by its bearer token or its cookie. Raise NotAuthenticated, NotPermitted."""
        token = _bearer(request)
        session = self._of_cookie(request) if token is None else None
        if session is not None and session.elsewhere:
            return session.user
        return await self._access.user_of(token if session is None else session.token, request)

    async def begin(self, request: Request) -> tuple[User, str]:
        """Begin a session with the token of this request; returns its cookie. Raise NotAuthenticated, NotPermitted.

        A cookie does not do: a session would have no end.
        """
        token = _bearer(request)
        user = await self._access.user_of(token, request)
        return user, self._add(user, token, LASTS_S, secure=request.url.scheme == "https")

    def admit(self, user: User, flow: Flow) -> str:
        """Begin a session of a user who has signed in elsewhere; returns its cookie."""
        return self._add(user, None, flow.lasts_s, secure=flow.secure, elsewhere=True)

    def end(self, request: Request) -> str:
        """End the session of this request; returns a cookie that is none."""
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        return cookie("", 0, secure=request.url.scheme == "https")

    def _add(self, user: User, token: str | None, lasts_s: float, *, secure: bool, elsewhere: bool = False) -> str:
        now = time.monotonic()
        self._sessions = {name: each for name, each in self._sessions.items() if now < each.until}
        same = [name for name, each in reversed(self._sessions.items()) if each.user.name == user.name]
        for name in same[MOST - 1 :]:
            del self._sessions[name]
        while len(self._sessions) >= MOST_OF_ALL:
            del self._sessions[next(iter(self._sessions))]
        name = secrets.token_urlsafe(32)
        self._sessions[name] = _Session(user, token, now + lasts_s, elsewhere)
        return cookie(name, int(lasts_s), secure=secure)

    def _of_cookie(self, request: Request) -> _Session | None:
        name = request.cookies.get(COOKIE, "")
        found = self._sessions.get(name)
        if found is not None and time.monotonic() >= found.until:
            del self._sessions[name]
            return None
        return found


def _bearer(request: Request) -> str | None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def cookie(value: str, seconds: int, *, secure: bool) -> str:
    """Write the cookie of a session."""
    return f"{COOKIE}={value}; Path=/; SameSite=Strict; {_marks(seconds, secure)}"


def kept_cookie(value: str, seconds: int, *, secure: bool) -> str:
    """Write the cookie of a sign-in that has begun."""
    return f"{KEPT}={value}; Path={CALLBACK}; SameSite=Lax; {_marks(seconds, secure)}"


def _marks(seconds: int, secure: bool) -> str:
    return f"Max-Age={seconds}; HttpOnly{'; Secure' if secure else ''}"
