"""Reading what a request holds: bounded in bytes, time and depth, of a known type, without unknown fields."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from streamsched.http.problems import BadRequest, TooLarge, TooSlow, WrongContent, WrongMediaType

MOST_BYTES: Final = 4 * 1024 * 1024
"""Of a body."""
SLOWEST_S: Final = 20.0
"""How long a body may take to arrive."""
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
_PLACE: Final = re.compile(r"(.*) - at `\$(.*)`", re.DOTALL)
T = TypeVar("T")


async def read(request: Request, kind: type[T], media_type: str = JSON) -> T:
    """Read the body as this struct; an empty one has its defaults. Raise the HttpError of what is wrong."""
    data = await _data(request)
    if not data:
        return decode(b"{}", kind)
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in (media_type, JSON):
        raise WrongMediaType(f"the body is {given[:100] or 'of no type'!r}", f"send it as Content-Type: {media_type}")
    return decode(data, kind)


async def _data(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > MOST_BYTES:
        raise _too_large()
    data = bytearray()
    try:
        async with asyncio.timeout(SLOWEST_S):
            async for part in request.stream():
                data += part
                if len(data) > MOST_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise TooSlow(f"the body did not arrive within {SLOWEST_S:g} s", "send it faster") from None
    except ClientDisconnect:
        raise BadRequest("the body ended early", "send all of it") from None
    return bytes(data)


def _too_large() -> TooLarge:
    return TooLarge(f"the body has more than {MOST_BYTES:,} bytes", "pass large data by reference (a path, an address)")


def decode(data: bytes, kind: type[T]) -> T:
    """Read JSON. Raise BadRequest, WrongContent."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise wrong(error) from None
    except RecursionError:
        raise WrongContent("the body is nested too deep", "make it flatter", "") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not JSON: {error}", "send one JSON object") from None


def convert(found: dict[str, Any], kind: type[T]) -> T:
    """Read the parameters of an address. Raise WrongContent."""
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as error:
        raise wrong(error) from None


def wrong(error: msgspec.ValidationError) -> WrongContent:
    """Return what is wrong, and where."""
    reason, steps = located(error)
    return WrongContent(reason[:300], "see /openapi.json", "".join(f"/{step}" for step in steps))


def located(error: msgspec.ValidationError) -> tuple[str, tuple[str | int, ...]]:
    """Return what is wrong with a value, and the keys and positions that lead there."""
    text = str(error)
    place = _PLACE.fullmatch(text)
    reason, path = (text, "") if place is None else (place[1], place[2])
    steps: list[str | int] = []
    for name, number in re.findall(r"\.([^.\[]+)|\[([^\]]*)\]", path):
        steps.append(int(number) if number.isdecimal() else name or number)
    unknown = re.search(r"unknown field `(.*)`", reason)
    return reason, (*steps, unknown[1]) if unknown else tuple(steps)
