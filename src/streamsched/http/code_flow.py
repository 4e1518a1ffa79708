"""The sign-in of a browser at an issuer: the authorization code flow with PKCE (S256), a state and a nonce.

What a browser must bring back lies in a cookie of its own, which is sent along when it comes from the issuer
(SameSite=Lax); nothing is kept here until then, so that who begins many sign-ins fills no memory.
"""

from __future__ import annotations

import base64
import hmac
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import quote_plus, urlencode

import msgspec
from msgspec import Struct

from streamsched.domain.visible import visible
from streamsched.http.access import User
from streamsched.http.fetching import Unreachable, fetch
from streamsched.http.issuer import Issuer, Known
from streamsched.http.problems import IssuerAway, NotAuthenticated
from streamsched.http.sign_in import CALLBACK, KEPT_S

MOST_USED: Final = 10_000
"""States of sign-ins that have come back; each may do so once."""
_AGAIN: Final = "sign in again"
logger = logging.getLogger(__name__)
Verify = Callable[[str, str], Awaitable[User]]
"""Returns the user of an ID token with this nonce. Raises NotAuthenticated, NotPermitted, IssuerAway."""


class _Tokens(Struct, frozen=True):
    id_token: str


class _Refusal(Struct, frozen=True):
    error: str = ""
    error_description: str = ""


class CodeFlow:
    """Signs browsers in at an issuer. ``url`` is the address under which they have this server, without a path."""

    def __init__(
        self,
        issuer: Issuer,
        verify: Verify,
        *,
        client: tuple[str, str | None],
        url: str,
        scopes: Sequence[str],
        title: str,
        lasts_s: float,
    ) -> None:
        self.title = title
        self.secure = url.startswith("https:")
        self.lasts_s = lasts_s
        self._issuer = issuer
        self._verify = verify
        self._client = client
        self._callback = url + CALLBACK
        self._scopes = " ".join(scopes)
        self._key = secrets.token_bytes(32)
        self._used: dict[str, None] = {}
        """States that have come back, the oldest first."""

    async def begin(self, to: str) -> tuple[str, str]:
        """Return the address of the issuer's sign-in, and what the browser is to keep. Raise IssuerAway."""
        endpoint = (await self._issuer.known()).endpoints.authorization_endpoint
        state = secrets.token_urlsafe(32)
        asked = {
            "response_type": "code", "client_id": self._client[0], "redirect_uri": self._callback,
            "scope": self._scopes, "state": state, "nonce": self._made("nonce", state),
            "code_challenge": _base64(sha256(self._made("verifier", state).encode()).digest()),
            "code_challenge_method": "S256",
        }  # fmt: skip
        kept = f"{state}.{int(time.time() + KEPT_S)}.{_base64(to.encode())}"
        address = f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"
        return address, f"{kept}.{self._made('cookie', kept)}"

    async def finish(self, kept: str, state: str, code: str, error: str) -> tuple[User, str]:
        """Return who came back from the issuer, and where to go on.

        Raise NotAuthenticated, NotPermitted, IssuerAway.
        """
        to = self._take(kept, state)
        if error or not code:
            said = error if re.fullmatch(r"[a-z_]{1,50}", error) else "no code"
            raise NotAuthenticated(f"the issuer did not sign you in: {said}", _AGAIN)
        known = await self._issuer.known()
        token = await self._exchange(known, code, self._made("verifier", state))
        return await self._verify(token, self._made("nonce", state)), to

    def _take(self, kept: str, state: str) -> str:
        """Return where to go on, of a sign-in that this browser began and that comes back for the first time."""
        text, _, mark = kept.rpartition(".")
        if not hmac.compare_digest(mark.encode(), self._made("cookie", text).encode()):
            raise NotAuthenticated("this browser has begun no sign-in here, or with another server", _AGAIN)
        own, until, to = text.split(".")
        if not hmac.compare_digest(own.encode(), state.encode()):
            raise NotAuthenticated("this is the end of another sign-in", _AGAIN)
        if time.time() >= int(until) or own in self._used:
            raise NotAuthenticated("this sign-in has ended already, or took too long", _AGAIN)
        while len(self._used) >= MOST_USED:
            del self._used[next(iter(self._used))]
        self._used[own] = None
        return base64.urlsafe_b64decode(to + "=" * (-len(to) % 4)).decode()

    async def _exchange(self, known: Known, code: str, verifier: str) -> str:
        """Return the ID token for a code."""
        name, secret = self._client
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self._callback, "code_verifier": verifier,
        }  # fmt: skip
        headers = {}
        if secret is None:
            form["client_id"] = name
        elif "client_secret_basic" in (ways := known.endpoints.token_endpoint_auth_methods_supported) or (
            "client_secret_post" not in ways
        ):
            pair = f"{quote_plus(name)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": name, "client_secret": secret}
        try:
            status, body = await fetch(
                known.endpoints.token_endpoint, self._issuer.trust, urlencode(form).encode(), headers
            )
        except Unreachable as error:
            raise IssuerAway(f"the issuer {self._issuer.name} is away: {error}", _AGAIN) from None
        if status != 200:
            raise self._refused(status, body)
        try:
            return msgspec.json.decode(body, type=_Tokens).id_token
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise IssuerAway(f"the issuer {self._issuer.name} answers without an ID token", _AGAIN) from None

    def _refused(self, status: int, body: bytes) -> NotAuthenticated | IssuerAway:
        try:
            told = msgspec.json.decode(body, type=_Refusal)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            told = _Refusal()
        said = visible(f"{told.error} {told.error_description}", 300)
        logger.warning("the issuer %s answers %d to a code: %s", self._issuer.name, status, said)
        if told.error == "invalid_grant":
            return NotAuthenticated("the issuer does not know this code, or not any more", _AGAIN)
        return IssuerAway(f"the issuer {self._issuer.name} answers {status}: the server's log says more", _AGAIN)

    def _made(self, what: str, text: str) -> str:
        """Make a secret that only this process can make, and makes again."""
        return _base64(hmac.digest(self._key, f"{what} {text}".encode(errors="replace"), "sha256"))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
