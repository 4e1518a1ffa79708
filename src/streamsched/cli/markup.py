"""HTML and SVG in which no foreign text can become markup: whatever is not ``Markup`` is escaped."""

from __future__ import annotations

from html import escape
from typing import Final

from streamsched.domain.visible import visible

VOID: Final = frozenset({"meta", "br", "hr"})
"""Elements of HTML that have no end."""


class Markup(str):
    """Text that is markup already. Only this module makes it."""

    __slots__ = ()


def text(value: object, limit: int | None = 2_000) -> Markup:
    """Return foreign text as markup: escaped, controls and invisible signs made visible, cut beyond ``limit``."""
    return Markup(escape(visible(str(value), limit)))


def block(value: str, limit: int) -> Markup:
    """Return a text of several lines as markup, its line ends kept."""
    cut = value if len(value) <= limit else f"{value[: limit - 3]}..."
    return Markup("\n".join(escape(visible(line)) for line in cut.split("\n")))


def join(*parts: object) -> Markup:
    """Return the parts as one; those that are not markup are escaped, and None and empty ones left out."""
    return Markup("".join(part if isinstance(part, Markup) else text(part) for part in parts if part not in (None, "")))


def el(tag: str, /, *content: object, **attributes: object) -> Markup:
    """Return an element. Names of attributes have ``_`` for ``-``, and one at the end is dropped; None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value, None)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{given}>" if tag in VOID else f"<{tag}{given}>{join(*content)}</{tag}>")
