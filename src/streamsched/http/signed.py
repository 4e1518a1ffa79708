"""Signed tokens (JWT): the signature is of a key of the issuer, by an algorithm for public keys, and the times hold."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Collection
from typing import Any, Final, TypeGuard

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry
from msgspec import Struct

from streamsched.domain.visible import visible
from streamsched.http.issuer import Issuer, PublicKey
from streamsched.http.problems import NotAuthenticated

KINDS: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC"}
ALGORITHMS: Final = tuple(f"{kind}{bits}" for kind in KINDS for bits in (256, 384, 512))
"""For public keys alone: with others the public key would be a password, or there would be none."""
LONGEST: Final = 32 * 1024
"""Characters of a token."""
TYPES: Final = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
"""Of the header ``typ``: a token of another type is for something else, such as to end a session."""
Claims = dict[str, Any]


class _Header(Struct, frozen=True):
    alg: str
    kid: str | None = None
    typ: str | None = None


async def claims_of(token: str, issuer: Issuer, algorithms: Collection[str]) -> Claims:
    """Return what a token says that is signed by this issuer. Raise NotAuthenticated, IssuerAway."""
    header = _header(token)
    if header.alg not in algorithms:
        raise refused(f"it is signed by {visible(header.alg, 50)!r}, which is not accepted")
    if header.typ is not None and header.typ.lower() not in TYPES:
        raise refused(f"it is of the type {visible(header.typ, 50)!r}")
    keys = _fitting((await issuer.known()).keys, header)
    if not keys:
        keys = _fitting((await issuer.again()).keys, header)
    if len(keys) != 1 and header.kid is None:
        raise refused("it does not name its key")
    for each in keys:
        if (payload := _verified(token, each, header.alg)) is not None:
            return _claims(payload)
    raise refused("its signature is wrong" if keys else "it is signed with a key that the issuer does not have")


def check(claims: Claims, issuer: str, audiences: Collection[str], leeway_s: float) -> float:
    """Check whose token it is, for whom, and when; returns when it ends, in seconds since 1970.

    Raise NotAuthenticated.
    """
    if claims.get("iss") != issuer:
        raise refused("it is of another issuer")
    given = claims.get("aud")
    if not set(audiences) & {each for each in (given if isinstance(given, list) else [given]) if isinstance(each, str)}:
        raise refused("it is for another audience")
    now = time.time()
    until, since = claims.get("exp"), claims.get("nbf", 0)
    if not _is_time(until) or not _is_time(since):
        raise refused("it does not say how long it holds")
    if now >= until + leeway_s:
        raise refused("it has expired")
    if now < since - leeway_s:
        raise refused("it does not hold yet")
    return until + leeway_s


def refused(reason: str) -> NotAuthenticated:
    """Return the error for a token."""
    return NotAuthenticated(f"the token is not accepted: {reason}", "sign in again")


def _header(token: str) -> _Header:
    if len(token) > LONGEST or token.count(".") != 2:
        raise refused("it is no JWT")
    first = token.partition(".")[0]
    try:
        data = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4))
        return msgspec.json.decode(data, type=_Header)
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        raise refused("it is no JWT") from None


def _fitting(keys: Collection[PublicKey], header: _Header) -> list[PublicKey]:
    """Return the keys that such a token may be signed with: of its name, its kind, its algorithm."""
    return [
        each
        for each in keys
        if header.kid in (None, each.kid)
        and each.kind == KINDS[header.alg[:2]]
        and each.algorithm in (None, header.alg)
    ]


def _verified(token: str, key: PublicKey, algorithm: str) -> bytes | None:
    """Return what the token holds; None where this key did not sign it."""
    rules = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    rules.max_header_length = rules.max_payload_length = LONGEST  # its own differ by version
    try:
        return jws.deserialize_compact(token, key.key, None, rules).payload
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _claims(payload: bytes) -> Claims:
    try:
        found = msgspec.json.decode(payload, type=Claims)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise refused("it holds no claims") from None
    return found


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 53
