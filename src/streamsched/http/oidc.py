"""Users of an OpenID issuer: by the tokens that it signs, and by a sign-in of browsers there."""

from __future__ import annotations

import hmac
import time
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request

from streamsched.http.access import Plain, User
from streamsched.http.auth_file import AuthFile
from streamsched.http.code_flow import CodeFlow
from streamsched.http.grants import check_groups, check_name, user_of
from streamsched.http.issuer import Issuer, Known, WrongIssuer
from streamsched.http.oidc_file import OidcFile, audiences, check_file, trusted
from streamsched.http.problems import NotAuthenticated
from streamsched.http.signed import Claims, check, claims_of, refused

MOST_SEEN: Final = 4_096
"""Tokens whose signatures need not be checked again."""


class Oidc(Plain):
    """Users by tokens of one issuer. A token that was accepted is so until it ends, or the issuer's keys change."""

    kind = "oidc"

    def __init__(self, path: Path) -> None:
        file = self._file = AuthFile(path, OidcFile)
        given = file.given
        check_file(file)
        self._audiences = audiences(given)
        self._leeway_s = file.seconds("leeway", given.leeway, 0, 300)
        lasts_s = file.seconds("session", given.session, 60, 86_400)
        has_groups = given.groups_claim is not None
        self._grants = file.grants(given.roles, has_groups=has_groups, field="groups_claim")
        self._issuer = Issuer(given.issuer, trusted(file))
        self._seen: dict[bytes, tuple[User, float]] = {}
        self._seen_with: Known | None = None
        if given.client_id is not None and given.url is not None:
            secret = given.client_secret_file
            self.flow = CodeFlow(
                self._issuer, self._signed_in, url=given.url.removesuffix("/"), scopes=given.scopes, lasts_s=lasts_s,
                client=(given.client_id, None if secret is None else file.secret("client_secret_file", secret)),
                title=given.title or urlsplit(given.issuer).hostname or "",
            )  # fmt: skip
            self.hosts = (urlsplit(given.url).hostname or "",)

    async def check(self) -> str:
        """Ask the issuer for the first time; returns why it is away, or nothing. Raise InputError if it is another."""
        try:
            return await self._issuer.check()
        except WrongIssuer as error:
            raise self._file.refuse(("issuer",), str(error), "write it as the issuer does, to the last /") from None

    async def user_of(self, token: str | None, request: Request) -> User:
        """Return who has this token. Raise NotAuthenticated, NotPermitted, IssuerAway."""
        if not token:
            raise NotAuthenticated("a token is missing", "send Authorization: Bearer TOKEN, or sign in")
        known = await self._issuer.known()
        if known is not self._seen_with:
            self._seen, self._seen_with = {}, known
        digest = sha256(token.encode(errors="replace")).digest()
        if (seen := self._seen.get(digest)) is not None:
            if time.time() >= seen[1]:
                raise refused("it has expired")
            return seen[0]
        claims = await claims_of(token, self._issuer, self._file.given.algorithms)
        until = check(claims, self._issuer.name, self._audiences, self._leeway_s)
        user = self._user(claims)
        while len(self._seen) >= MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        self._seen[digest] = user, until
        return user

    async def _signed_in(self, token: str, nonce: str) -> User:
        """Return who signed in, by the ID token of a sign-in with this nonce."""
        client = self._file.given.client_id or ""
        claims = await claims_of(token, self._issuer, self._file.given.algorithms)
        check(claims, self._issuer.name, (client,), self._leeway_s)
        if not hmac.compare_digest(str(claims.get("nonce")).encode(errors="replace"), nonce.encode()):
            raise refused("it is of another sign-in")
        others = isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1
        if claims.get("azp", "" if others else client) != client:
            raise refused("it was made for another client")
        return self._user(claims)

    def _user(self, claims: Claims) -> User:
        given = self._file.given
        if given.name_claim == "email" and claims.get("email_verified") in (False, "false"):
            raise refused("its e-mail address is not verified")
        groups = [] if given.groups_claim is None else _claim(claims, given.groups_claim)
        listed = groups if isinstance(groups, list) else [] if groups is None else [groups]
        return user_of(self._grants, check_name(_claim(claims, given.name_claim)), check_groups(listed))


def _claim(claims: Claims, name: str) -> Any:
    """Return a claim: that of this name, or the one to which its steps lead, as ``realm_access.roles``."""
    found: Any = claims
    for step in [name] if name in claims else name.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found
