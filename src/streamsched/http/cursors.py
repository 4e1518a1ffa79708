"""Cursors: where the next page of a list begins, bound to the list and its filter; opaque to those who send them."""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256
from typing import Final

import msgspec

from streamsched.domain.errors import InputError

_MARK_BYTES: Final = 8


def write(place: str | None, kind: str, told: object) -> str | None:
    """Make the cursor of a place; None for None."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(_mark(place, kind, told) + place.encode()).decode().rstrip("=")


def read(cursor: str | None, kind: str, told: object) -> str | None:
    """Return the place of a cursor that was made for this list and filter. Raise InputError."""
    if cursor is None:
        return None
    try:
        data = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        place = data[_MARK_BYTES:].decode()
    except (binascii.Error, ValueError):
        data, place = b"", ""
    if data[:_MARK_BYTES] != _mark(place, kind, told):
        remedy = "give the next of a page of the same list with the same filter, or none"
        raise InputError("the cursor is not of this list and filter", remedy, source="cursor")
    return place


def _mark(place: str, kind: str, told: object) -> bytes:
    return sha256(msgspec.json.encode([kind, told, place], order="sorted")).digest()[:_MARK_BYTES]
