"""Names of error types, as templates write them, and which errors they mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from streamsched.domain.refusal import FieldPath, TemplateError

_CLASS: Final = re.compile(r"[^\W\d]\w*(\.([^\W\d]\w*|<locals>))*")
_ALIASES: Final = {
    **dict.fromkeys(("IOError", "EnvironmentError", "os.error", "socket.error", "select.error"), "OSError"),
    **dict.fromkeys(("socket.timeout", "asyncio.TimeoutError", "concurrent.futures.TimeoutError"), "TimeoutError"),
}
"""Aliases of Python's error classes: no error bears such a name."""


def check_name(name: str, path: FieldPath) -> None:
    """Refuse a name that no error's class can have. Raise TemplateError."""
    if not _CLASS.fullmatch(name):
        reason, remedy = f"{name!r} is not a name of an error type", "write ValueError or package.module.Class"
        raise TemplateError(reason, remedy, path=path)
    own = _ALIASES.get(name.removeprefix("builtins."))
    if own is not None:
        reason = f"{name} is an alias of {own}, and errors are reported as {own}"
        raise TemplateError(reason, f"write {own}", path=path)


def names_any(name: str, error_type: str, error_types: Sequence[str]) -> bool:
    """Return whether a name means an error: its class, or a base of that.

    A name is the class alone, or has its module or a package of that before it. ``error_type`` is the class alone,
    ``error_types`` are the class and its bases with their modules, as far as the worker sent them.
    """
    plain = name.removeprefix("builtins.")
    return any(_is_named(plain, kind) for kind in (error_type, *error_types))


def _is_named(name: str, kind: str) -> bool:
    package, _, simple = name.rpartition(".")
    return kind.rpartition(".")[2] == simple and (not package or kind.startswith(f"{package}."))
