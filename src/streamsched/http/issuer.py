"""An OpenID issuer: its addresses and its keys, kept for a while, and asked for again where a key is not known."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from msgspec import Struct

from streamsched.domain.visible import visible
from streamsched.http.fetching import Unreachable, fetch, problem_of_url
from streamsched.http.problems import IssuerAway

FRESH_S: Final = 600.0
"""Age of the keys from which they are asked for again, while the old ones still do."""
LAST_S: Final = 86_400.0
"""Age from which keys do no more: the issuer was away for so long."""
AGAIN_S: Final = 15.0
"""Between two questions to the issuer, whatever tokens say."""
MOST_KEYS: Final = 100
"""Of those that the issuer shows, the first ones."""
_LEAST_MODULUS: Final = 342
"""Characters of an RSA modulus of 2,048 bits in base64url."""
_MOST_MODULUS: Final = 1_366
_KINDS: Final[dict[str, type[RSAKey] | type[ECKey]]] = {"RSA": RSAKey, "EC": ECKey}
DISCOVERY: Final = "/.well-known/openid-configuration"
T = TypeVar("T", bound=Struct)
logger = logging.getLogger(__name__)


class Endpoints(Struct, frozen=True):
    """What an issuer says of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class WrongIssuer(Exception):
    """The issuer answers, and is not the one that is meant: only the file can be wrong."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key of the issuer: of which kind, and for which algorithm, where it says so."""

    kid: str | None
    kind: str
    algorithm: str | None
    key: RSAKey | ECKey


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the issuer; ``at`` is when it was asked, by the monotonic clock."""

    endpoints: Endpoints
    keys: Sequence[PublicKey]
    at: float


class Issuer:
    """One issuer, which may be away: then what is known of it does for a day."""

    def __init__(self, name: str, trust: ssl.SSLContext) -> None:
        self.name = name
        self.trust = trust
        self._known: Known | None = None
        self._asked = -AGAIN_S
        self._asking: asyncio.Task[None] | None = None
        self._trouble = "it was not asked yet"

    async def check(self) -> str:
        """Ask for the first time; returns why it is away, or nothing. Raise WrongIssuer."""
        try:
            self._known = await self._ask()
        except Unreachable as error:
            self._trouble = str(error)
        else:
            self._trouble = ""
        return self._trouble

    async def known(self) -> Known:
        """Return what is known of it. Raise IssuerAway."""
        found = self._known
        age = time.monotonic() - found.at if found is not None else LAST_S
        if found is None or age >= LAST_S:
            return await self.again()
        if age >= FRESH_S:
            self._begin()
        return found

    async def again(self) -> Known:
        """Ask again, unless it was asked just now, and return what is known then. Raise IssuerAway."""
        if asking := self._begin():
            await asyncio.shield(asking)
        found = self._known
        if found is None or time.monotonic() - found.at >= LAST_S:
            raise IssuerAway(f"the issuer {self.name} is away: {self._trouble}", "ask again in a moment")
        return found

    def _begin(self) -> asyncio.Task[None] | None:
        """Begin to ask, if that was not done just now; returns what is being asked."""
        if self._asking is not None:
            return self._asking
        now = time.monotonic()
        if now - self._asked < AGAIN_S:
            return None
        self._asked = now
        self._asking = asyncio.create_task(self._refresh())
        return self._asking

    async def _refresh(self) -> None:
        try:
            self._known, self._trouble = await self._ask(), ""
        except (Unreachable, WrongIssuer) as error:
            self._trouble = str(error)
            logger.warning("the issuer %s does not answer as it must: %s", self.name, error)
        finally:
            self._asking = None

    async def _ask(self) -> Known:
        """Ask for its addresses and its keys. Raise Unreachable, WrongIssuer."""
        endpoints = _decode(await self._get(self.name.removesuffix("/") + DISCOVERY), Endpoints)
        if endpoints.issuer != self.name:
            raise WrongIssuer(f"it names itself {visible(endpoints.issuer, 200)!r}")
        for url in (endpoints.authorization_endpoint, endpoints.token_endpoint, endpoints.jwks_uri):
            if problem := problem_of_url(url):
                raise Unreachable(f"its address {visible(url, 200)!r} {problem}")
        given = _decode(await self._get(endpoints.jwks_uri), _KeySet).keys
        keys = [key for each in given[:MOST_KEYS] if (key := _key(each)) is not None]
        if not keys:
            raise Unreachable("it has no public key that can be used")
        return Known(endpoints, keys, time.monotonic())

    async def _get(self, url: str) -> bytes:
        status, body = await fetch(url, self.trust)
        if status != 200:
            raise Unreachable(f"{visible(url, 200)} answers {status}")
        return body


class _KeySet(Struct, frozen=True):
    keys: list[dict[str, Any]]


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreachable(f"its answer cannot be read: {visible(str(error), 200)}") from None


def _key(given: dict[str, Any]) -> PublicKey | None:
    """Read a public key for signatures; None for one of another use or kind, or too weak."""
    kind, kid, algorithm = given.get("kty"), given.get("kid"), given.get("alg")
    if not _are_texts(kind, kid, algorithm) or kind not in _KINDS or given.get("use", "sig") != "sig":
        return None
    modulus = given.get("n", "")
    if kind == "RSA" and not (isinstance(modulus, str) and _LEAST_MODULUS <= len(modulus) <= _MOST_MODULUS):
        return None
    public = {name: given[name] for name in ("kty", "n", "e", "crv", "x", "y") if isinstance(given.get(name), str)}
    try:
        key = _KINDS[kind].import_key(public)
        key.raw_value  # noqa: B018 - it is read here, and refused where it is none
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return PublicKey(kid, kind, algorithm, key)


def _are_texts(*given: object) -> bool:
    return all(each is None or isinstance(each, str) for each in given)
