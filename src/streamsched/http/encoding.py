"""Documents as bytes."""

from __future__ import annotations

import json
from operator import methodcaller
from typing import Any, Final

import msgspec

_encode: Final = msgspec.json.Encoder(enc_hook=methodcaller("shown")).encode


def encode(document: object) -> bytes:
    """Write a document as JSON, the same as ``--json`` does; text that is not UTF-8 is escaped."""
    try:
        return _encode(document)
    except UnicodeEncodeError:
        plain: Any = msgspec.to_builtins(document, enc_hook=methodcaller("shown"))
        return json.dumps(plain, separators=(",", ":")).encode()


def takes_gzip(accepted: str | None) -> bool:
    """Return whether an ``Accept-Encoding`` takes gzip."""
    parts = [each.strip().lower() for each in (accepted or "").split(",")]
    return any(each.partition(";")[0] == "gzip" and not each.replace(" ", "").endswith("q=0") for each in parts)
