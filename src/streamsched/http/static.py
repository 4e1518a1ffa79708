"""The pages: the files of ``streamsched/ui``, where they are, read once."""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Awaitable, Callable
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Address

from streamsched.http.encoding import takes_gzip
from streamsched.http.guard import PAGE_POLICY
from streamsched.http.positions import matches

INDEX: Final = "index.html"
NO_PAGES: Final = (
    b"<!doctype html><title>streamsched</title><p>This installation has no pages; see /openapi.json.</p>\n"
)


def pages_of() -> list[Address]:
    """Return the addresses of the pages: ``/``, and a file each below ``/assets``."""
    found = dict(_found())
    index = found.pop(INDEX, NO_PAGES)
    addresses = [Address("/", _file(index, "text/html; charset=utf-8"))]
    for name, data in found.items():
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        text = "; charset=utf-8" if kind.startswith("text/") else ""
        addresses.append(Address(f"/{name}", _file(data, kind + text)))
    return addresses


def _found() -> list[tuple[str, bytes]]:
    folder = files("streamsched") / "ui"
    if not folder.is_dir():
        return []
    index = folder / INDEX
    own = [(INDEX, index.read_bytes())] if index.is_file() else []
    assets = folder / "assets"
    return own + (_below(assets, "assets/") if assets.is_dir() else [])


def _below(folder: Traversable, path: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _below(each, f"{path}{each.name}/")
        else:
            found.append((path + each.name, each.read_bytes()))
    return found


def _file(data: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    packed = gzip.compress(data, 9, mtime=0)
    etag = f'"{sha256(data).hexdigest()[:16]}"'
    headers = {
        "ETag": etag, "Cache-Control": "no-cache", "Content-Security-Policy": PAGE_POLICY, "Vary": "Accept-Encoding",
    }  # fmt: skip

    async def endpoint(request: Request) -> Response:
        if matches(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        if len(packed) < len(data) and takes_gzip(request.headers.get("accept-encoding")):
            return Response(packed, media_type=kind, headers={**headers, "Content-Encoding": "gzip"})
        return Response(data, media_type=kind, headers=headers)

    return endpoint
