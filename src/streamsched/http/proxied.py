"""Users whom a proxy names in headers: it is known by its network and by a secret in a header of its own."""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

from msgspec import Struct
from starlette.requests import Request

from streamsched.http.access import Plain, User
from streamsched.http.auth_file import AuthFile
from streamsched.http.grants import Grant, check_groups, check_name, user_of
from streamsched.http.problems import NotAuthenticated

SHORTEST: Final = 16
"""Characters of a secret."""
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_OTHERS: Final = frozenset({
    "accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "cookie", "host",
    "idempotency-key", "if-match", "if-none-match", "last-event-id", "origin", "prefer", "referer", "te", "trailer",
    "transfer-encoding", "upgrade", "user-agent",
})  # fmt: skip
"""Headers that mean something else."""


class ProxyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file of ``proxy:FILE`` holds."""

    networks: list[str]
    secret_header: str
    secret_file: str
    user_header: str
    roles: list[Grant]
    groups_header: str | None = None


class Proxied(Plain):
    """Users by the headers of a proxy. All that it does not send itself, or sends twice, is refused."""

    kind = "proxy"

    def __init__(self, path: Path) -> None:
        file = AuthFile(path, ProxyFile)
        given = file.given
        self._networks = _networks(file, given.networks)
        self._user, self._secret_in, self._groups = _headers(file)
        self._secret = file.secret("secret_file", given.secret_file, least=SHORTEST).encode()
        has_groups = given.groups_header is not None
        self._grants = file.grants(given.roles, has_groups=has_groups, field="groups_header")

    async def user_of(self, token: str | None, request: Request) -> User:
        """Return who sends this request. Raise NotAuthenticated, NotPermitted."""
        if request.client is None or not self._is_known(request.client.host):
            raise NotAuthenticated("the request does not come from a network of the proxy", "ask through the proxy")
        found = self._given(request)
        secret = found.get(self._secret_in, b"")
        if not hmac.compare_digest(secret, self._secret):
            raise NotAuthenticated("the request does not have the secret of the proxy", "ask through the proxy")
        name = _text(found.get(self._user, b""))
        if "," in name:
            raise NotAuthenticated("several users are named", "have the proxy set the header, not add to it")
        groups = [each.strip() for each in _text(found.get(self._groups, b"")).split(",")]
        return user_of(self._grants, check_name(name), check_groups([each for each in groups if each]))

    def _is_known(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any((mapped or address) in network for network in self._networks)

    def _given(self, request: Request) -> dict[bytes, bytes]:
        """Return the proxy's headers. Raise NotAuthenticated for one that stands twice, or under another spelling."""
        own = {self._user, self._secret_in, self._groups} - {b""}
        found: dict[bytes, bytes] = {}
        for name, value in request.headers.raw:
            plain = name.lower().replace(b"_", b"-")
            if plain == b"connection":
                if own & {each.strip().lower() for each in value.split(b",")}:
                    raise NotAuthenticated("Connection names a header of the proxy", "ask without that")
            elif plain in own:
                if name.lower() != plain or plain in found:
                    reason = f"{plain.decode()} is there twice, or misspelt"
                    raise NotAuthenticated(reason, "have the proxy remove what it is sent")
                found[plain] = value
        return found


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise NotAuthenticated("a header of the proxy is not UTF-8", "have the proxy corrected") from None


def _networks(file: AuthFile[ProxyFile], given: Collection[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    if not given:
        raise file.refuse(("networks",), "there is no network in it", "write the proxy's own, as 10.0.0.7/32")
    found = []
    for number, text in enumerate(given):
        try:
            network = ip_network(text)
        except ValueError as error:
            raise file.refuse(("networks", number), f"is no network: {error}", "write one, as 10.1.0.0/16") from None
        if network.prefixlen == 0:
            raise file.refuse(("networks", number), "is every address", "write the proxy's own, as 10.0.0.7/32")
        found.append(network)
    return tuple(found)


def _headers(file: AuthFile[ProxyFile]) -> tuple[bytes, bytes, bytes]:
    """Return the names of the user's header, the secret's and the groups', the last empty where there is none."""
    given = file.given
    names = {"user_header": given.user_header, "secret_header": given.secret_header}
    if given.groups_header is not None:
        names["groups_header"] = given.groups_header
    for field, name in names.items():
        if not _HEADER.fullmatch(name):
            raise file.refuse((field,), f"{name!r} is no name of a header", "use letters, digits and '-'")
        if name.lower() in _OTHERS:
            raise file.refuse((field,), f"{name} means something else", "use a name of its own, as X-Remote-User")
    if len({name.lower() for name in names.values()}) < len(names):
        raise file.refuse(("secret_header",), "two headers have the same name", "use a name of its own for each")
    found = {field: name.lower().encode() for field, name in names.items()}
    return found["user_header"], found["secret_header"], found.get("groups_header", b"")
