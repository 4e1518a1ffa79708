"""Around every request: the host that it means, the site that it comes from, and the headers of every answer."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from streamsched.http.problems import BadRequest, NotPermitted

SAFE: Final = ("GET", "HEAD", "OPTIONS")
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""The Content-Security-Policy of pages."""
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Headers of every answer that does not set them itself."""
_LOOPBACK_NAMES: Final = ("localhost",)


def is_loopback(host: str) -> bool:
    """Return whether an address, or the name of one, is of this machine alone."""
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host.lower() in _LOOPBACK_NAMES


class Guard:
    """Lets requests pass that mean this server and come from its own pages, or from no page."""

    def __init__(self, bound_to: str, names: Collection[str]) -> None:
        self._loopback = is_loopback(bound_to)
        self._names = {name.lower() for name in (*names, bound_to)}

    def check(self, request: Request) -> None:
        """Raise BadRequest for another host, as after DNS rebinding, and NotPermitted for a page of another site."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            shown = ", ".join(hosts)[:100]
            raise BadRequest(f"this server is not {shown!r}", "use its own address, or start it with --allow-host NAME")
        site = request.headers.get("sec-fetch-site", "none")
        safe = request.method in SAFE
        is_navigation = request.headers.get("sec-fetch-mode") == "navigate" and safe
        if site not in ("same-origin", "none") and not is_navigation:
            raise NotPermitted(f"the request comes from a page that is {site[:20]}", "use the pages of this server")
        origin = request.headers.get("origin")
        if origin is not None and not _same(origin, hosts[0]):
            raise NotPermitted(f"the request comes from a page of {origin[:100]!r}", "use the pages of this server")

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._names or is_loopback(name):
            return True
        if self._loopback:
            return False
        with suppress(ValueError):  # an address cannot be rebound
            return bool(ipaddress.ip_address(name))
        return False


def _same(origin: str, host: str) -> bool:
    """Return whether an origin is of this host; the port counts too."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
