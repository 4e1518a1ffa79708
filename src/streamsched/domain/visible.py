"""Text of others, made safe to show: what a terminal obeys, reorders or does not show is written as its escape."""

from __future__ import annotations

import re
from typing import Final

_IGNORED: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
"""Signs that count as printable and show nothing."""


def visible(text: str, limit: int | None = None) -> str:
    r"""Write controls, bidirectional and invisible signs, line ends and lone surrogates as ``\x1b``, ``\u202e``.

    The result is one line that any UTF-8 stream takes; beyond ``limit`` characters it ends with three dots.
    """
    if limit is not None and len(text) > limit:
        text = f"{text[: max(0, limit - 3)]}..."
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else _escape(sign) for sign in text)
    return text if text.isascii() else _IGNORED.sub(lambda sign: _escape(sign[0]), text)


def is_visible(text: str) -> bool:
    """Return whether a text shows as it is."""
    return visible(text) == text


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode()
