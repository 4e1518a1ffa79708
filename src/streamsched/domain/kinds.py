"""The names of the class of a user's object and of its bases, read so that the class cannot hide them. Pure."""

from __future__ import annotations

from typing import Any, Final

NAME_LIMIT: Final = 200
"""Characters of one name."""
COUNT_LIMIT: Final = 16
"""Names of one class and its bases."""

# Of ``type`` itself: what a class or its metaclass makes of these names is the user's own code.
_mro: Final = type.__dict__["__mro__"].__get__
_module: Final = type.__dict__["__module__"].__get__
_qualname: Final = type.__dict__["__qualname__"].__get__


def names_of(cls: type[Any]) -> tuple[str, ...]:
    """Name a class and its bases, in the order in which Python looks through them, without ``object``.

    A class of ``builtins`` has its plain name (``ValueError``), any other one its module before it (``m.Broken``).
    """
    return tuple(_name(base) for base in _mro(cls)[:COUNT_LIMIT] if base is not object)


def _name(cls: type[Any]) -> str:
    name = _qualname(cls)
    try:
        module = _module(cls)
    except AttributeError:
        module = None
    text = name if type(module) is not str or module == "builtins" else f"{module}.{name}"
    return text[:NAME_LIMIT].encode("utf-8", "backslashreplace").decode()[:NAME_LIMIT]
