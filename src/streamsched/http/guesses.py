"""Addresses that people guess, such as ``/tasks/ID``: the page that they mean is behind the ``#`` of ``/``."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlencode

from starlette.requests import Request

PAGES: Final = {
    "index.html": "", "overview": "", "tasks": "tasks", "task": "tasks", "schedules": "schedules",
    "schedule": "schedules", "nodes": "nodes", "node": "nodes", "workers": "nodes", "dead-letters": "dead-letters",
    "system": "system", "new": "new",
}  # fmt: skip
"""The first part of an address, and the page that it means."""
PARTS: Final = 4
"""Of the address of a page at most."""
LENGTH: Final = 2_000
"""Characters of an address at most."""


def page_meant(request: Request) -> str | None:
    """Return the address of the page that a browser asks for by a guess; None where it is no browser, or no guess.

    It is always one of this server: it begins with ``/#/``, and what follows is percent-encoded.
    """
    if request.method not in ("GET", "HEAD") or "text/html" not in request.headers.get("accept", "").lower():
        return None
    path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    parts = [unquote_to_bytes(part) for part in path.partition(b"?")[0].split(b"/") if part]
    page = PAGES.get(parts[0].decode("ascii", "replace")) if parts else None
    if page is None or len(parts) > PARTS or len(path) + len(request.url.query) > LENGTH:
        return None
    meant = "/".join([page, *(quote_from_bytes(part, safe="") for part in parts[1:])])
    asked = urlencode(request.query_params.multi_items())
    return f"/#/{meant}{f'?{asked}' if asked else ''}"
