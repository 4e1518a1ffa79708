"""The fingerprint of a failure: the same for failures of one cause. Pure, and of bounded cost.

It is made of the error's type, of frames of the user's code, and of the message with all that changes from one failure
to the next replaced: quoted strings, paths, and words with a digit (numbers, ids, times) or of hexadecimal digits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

LOOKED_AT: Final = 1_000
"""Characters of a message that are looked at."""
KEPT: Final = 300
"""Characters that count of what becomes of them."""
DIGITS: Final = 12
"""Hexadecimal digits of a fingerprint."""
_PART: Final = re.compile(
    r"""(?<!\w) (?P<quoted> '(?:[^'\\]|\\.)*+' | "(?:[^"\\]|\\.)*+" | `[^`]*+` ) (?!\w)
    | (?P<path> [^\s,;()\[\]{}<>|"'`]* [/\\] [^\s,;()\[\]{}<>|"'`]*+ )
    | (?P<word> [^\s,;()\[\]{}<>|"'`=]++ )""",
    re.VERBOSE | re.DOTALL,
)
_THOUSANDS: Final = re.compile(r"#(?:,\ ?#)++")
_HEX: Final = re.compile(r"(?:0x)?[0-9a-fA-F-]{8,}+")


def fingerprint(error_type: str, frames: Sequence[str], message: str) -> str:
    """Return the fingerprint of a failure: ``DIGITS`` hexadecimal digits."""
    text = "\n".join([error_type, *frames, normalised(message)])
    return sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:DIGITS]


def normalised(message: str) -> str:
    """Return a message without what changes from one failure to the next."""
    plain = _PART.sub(_plain, " ".join(message[:LOOKED_AT].split()))
    return _THOUSANDS.sub("#", plain)[:KEPT]


def _plain(found: re.Match[str]) -> str:
    word = found["word"]
    if word is None:
        return "''" if found["quoted"] else "/"
    return "#" if any(sign.isdigit() for sign in word) or _HEX.fullmatch(word) else word
