"""The file of ``oidc:FILE``: an issuer, whom its tokens must be for, and who of its users has which role."""

from __future__ import annotations

import re
import ssl
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from streamsched.domain.refusal import suggest
from streamsched.http.auth_file import AuthFile
from streamsched.http.fetching import problem_of_url
from streamsched.http.grants import Grant
from streamsched.http.signed import ALGORITHMS

_CLIENT: Final = re.compile(r"[!-~]+")
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+")


class OidcFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file of ``oidc:FILE`` holds."""

    issuer: str
    roles: list[Grant]
    audience: str | list[str] | None = None
    client_id: str | None = None
    client_secret_file: str | None = None
    url: str | None = None
    title: str | None = None
    scopes: tuple[str, ...] = ("openid",)
    name_claim: str = "sub"
    groups_claim: str | None = None
    algorithms: tuple[str, ...] = ALGORITHMS
    leeway: str | float = "30s"
    session: str | float = "8h"
    ca_file: str | None = None


def audiences(given: OidcFile) -> Sequence[str]:
    """Return for whom a token may be."""
    found = given.audience if given.audience is not None else given.client_id
    return [found] if isinstance(found, str) else found or []


def check_file(file: AuthFile[OidcFile]) -> None:
    """Raise InputError for what cannot be."""
    given = file.given
    if problem := problem_of_url(given.issuer) or ("has a query" if "?" in given.issuer else ""):
        raise file.refuse(("issuer",), f"{given.issuer!r} {problem}", "write its https address, as it names itself")
    if not audiences(given) or not all(audiences(given)):
        raise file.refuse(("audience",), "is missing", "write for whom tokens must be, or a client_id")
    _check_client(file)
    if "openid" not in given.scopes or not all(_SCOPE.fullmatch(each) for each in given.scopes):
        raise file.refuse(("scopes",), "are no names with openid among them", "write [openid, profile]")
    if not given.algorithms:
        raise file.refuse(("algorithms",), "there is none in it", f"known here: {', '.join(ALGORITHMS)}")
    for number, each in enumerate(given.algorithms):
        if each not in ALGORITHMS:
            raise file.refuse(("algorithms", number), f"{each!r} is not accepted", suggest(each, ALGORITHMS))
    for field in ("name_claim", "groups_claim", "title"):
        file.check_name((field,), getattr(given, field), "write one, or leave it out")


def _check_client(file: AuthFile[OidcFile]) -> None:
    """Raise InputError where browsers could not sign in as the file says."""
    given = file.given
    if given.client_id is not None and not _CLIENT.fullmatch(given.client_id):
        raise file.refuse(("client_id",), "is no name of a client", "write the one that the issuer knows")
    if given.url is None:
        if given.client_secret_file is not None:
            reason = "is missing: a secret is for the sign-in of browsers"
            raise file.refuse(("url",), reason, "write the address of this server that browsers have")
        return
    if given.client_id is None:
        raise file.refuse(("client_id",), "is missing, and url is given", "write the one that the issuer knows")
    parts = urlsplit(given.url) if not problem_of_url(given.url) else None
    if parts is None or parts.path not in ("", "/") or parts.query:
        reason = f"{given.url!r} is no https address of a server, without a path"
        raise file.refuse(("url",), reason, "write the one that browsers have, as https://jobs.example.com")


def trusted(file: AuthFile[OidcFile]) -> ssl.SSLContext:
    """Return what certificates are trusted: those of the machine, or those of a file."""
    name = file.given.ca_file
    try:
        return ssl.create_default_context(cafile=None if name is None else file.beside(name))
    except (OSError, ssl.SSLError) as error:
        reason = f"{name} cannot be read ({error.strerror or error})"
        raise file.refuse(("ca_file",), reason, "name a PEM file of certificates") from None
