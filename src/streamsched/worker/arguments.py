"""The arguments of a child, checked against the annotations of its handler and made into what these say.

A child's arguments are JSON, so an annotation says two things: what is to come, and what is to be made of it (a
``Path`` of a text, a ``datetime`` of RFC 3339, a dataclass of an object). Only arguments that come are looked at, each
by itself: what is annotated ``Any`` or not at all stays as it is. Those of the context and of the result do not matter.
"""

from __future__ import annotations

import collections.abc
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args, get_origin

import msgspec

from streamsched.worker.errors import BadArguments
from streamsched.worker.handlers import function_of

Check = Callable[[Any], Any]
"""Makes of an argument what its annotation says. Raise ValueError for a misfit."""
SHOWN: Final = 200
"""Characters of what came that a message shows."""
DECORATORS: Final = 100
"""Functions around a function, at most."""
_ANYTHING: Final = (Any, object, "Any", "typing.Any", "object")
_VAR_POSITIONAL: Final = 0x04
_VAR_KEYWORDS: Final = 0x08


class WrongAnnotation(BadArguments):
    """The annotation of a parameter says nothing: a name in it is unknown, or no JSON can become what it says."""


class Arguments:
    """Checks the arguments of one handler."""

    def __init__(self, function: Any, annotations: Mapping[str, Any]) -> None:
        code = function.__code__
        count = code.co_argcount + code.co_kwonlyargcount
        self._function = function
        self._annotations = annotations
        self._own = frozenset(code.co_varnames[:count])
        rest = count + bool(code.co_flags & _VAR_POSITIONAL)
        self._rest = code.co_varnames[rest] if code.co_flags & _VAR_KEYWORDS else ""  # takes all other names
        self._checks: dict[str, Check | None] = {}

    def __call__(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments as the annotations say. Raise BadArguments, or WrongAnnotation."""
        checks = self._checks
        made = {}
        for name, value in given.items():
            if name not in checks:
                checks[name] = self._check_of(name)
            check = checks[name]
            made[name] = value if check is None else self._checked(name, check, value)
        return made

    def _checked(self, name: str, check: Check, value: Any) -> Any:
        try:
            return check(value)
        except Exception as error:  # a validator of the user's may raise anything
            wanted = _text(self._annotation(name))
            raise BadArguments(
                f"argument {name}: expected {wanted}, and got {_shown(value)}: {str(error) or type(error).__name__}"
            ) from None

    def _annotation(self, name: str) -> Any:
        return self._annotations.get(name if name in self._own else self._rest)

    def _check_of(self, name: str) -> Check | None:
        annotation = self._annotation(name)
        if annotation is None:
            return None
        try:
            return _check_of(_resolved(annotation, self._function))
        except Exception as error:
            raise WrongAnnotation(
                f"parameter {name} is annotated {_text(annotation)}, which no argument can be held against: "
                f"{type(error).__name__}: {error}"
            ) from None


def arguments_of(handler: Any) -> Arguments | None:
    """Return what checks the arguments of a handler; None if none of its parameters behind the context is annotated."""
    function = _innermost(function_of(handler))
    annotations = getattr(function, "__annotations__", None)
    if function is None or not isinstance(annotations, dict):
        return None
    first = function.__code__.co_varnames[:1]
    kept = {
        name: annotation
        for name, annotation in annotations.items()
        if name not in (*first, "return") and annotation not in _ANYTHING
    }
    return Arguments(function, kept) if kept else None


def _innermost(function: Any) -> Any:
    """Return the function behind its decorators, as far as they name it."""
    for _ in range(DECORATORS):
        inner = getattr(function, "__wrapped__", None)
        if not isinstance(inner, types.FunctionType):
            break
        function = inner
    return function


def _resolved(annotation: Any, function: Any) -> Any:
    """Return the type of an annotation, which may be a text or hold some. Raise NameError and others."""
    carrier = types.SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(carrier, function.__globals__, include_extras=True)["it"]


def _check_of(hint: Any) -> Check | None:
    """Return the check of a type; None for one that takes all. Raise TypeError for one that no JSON can be."""
    if hint is Any or hint is object:
        return None
    if _has_pydantic(hint):
        from pydantic import TypeAdapter  # the user has

        adapter = TypeAdapter(hint)
        return lambda value: adapter.validate_json(
            json.dumps(value)
        )  # as JSON: a strict model takes a date's text then
    if get_origin(hint) is collections.abc.Iterable:
        hint = list[get_args(hint)]  # type: ignore[misc]
    try:
        info = msgspec.inspect.type_info(hint)
    except TypeError:
        if get_origin(hint) in (typing.Union, types.UnionType):  # one that msgspec cannot tell apart, as str | Path
            return _any_of([_check_of(arm) for arm in get_args(hint)])
        raise
    _refuse_unknown(hint, info)
    return lambda value: msgspec.convert(value, hint, dec_hook=_made)


def _any_of(checks: list[Check | None]) -> Check | None:
    """Return a check that takes what one of these takes: the first that does."""
    if None in checks:
        return None
    known = [check for check in checks if check is not None]

    def check(value: Any) -> Any:
        problems = []
        for each in known:
            try:
                return each(value)
            except Exception as error:
                problems.append(str(error))
        raise ValueError("; ".join(problems))

    return check


def _made(kind: Any, value: Any) -> Any:
    """Make what msgspec does not know, inside of what it knows: paths, and models of pydantic's."""
    if _is_path(kind):
        if not isinstance(value, str):
            raise ValueError(f"a path is a text, not of type {type(value).__name__}")
        return kind(value)
    if _has_pydantic(kind):
        return kind.__pydantic_validator__.validate_json(json.dumps(value))
    raise ValueError(f"no JSON becomes a {_text(kind)}")


def _refuse_unknown(hint: Any, info: Any) -> None:
    """Raise TypeError for a class that no JSON becomes, so that it is told before a child runs."""
    if isinstance(info, msgspec.inspect.CustomType) and not _is_path(info.cls):
        raise TypeError(f"no JSON becomes a {_text(hint)}")
    for inner in get_args(hint):
        if isinstance(inner, type) or get_args(inner):
            _refuse_unknown(inner, msgspec.inspect.type_info(inner) if get_origin(hint) is not typing.Literal else None)


def _is_path(kind: Any) -> bool:
    pathlib = sys.modules.get("pathlib")  # its import takes milliseconds, and an annotation that needs it has done it
    return pathlib is not None and isinstance(kind, type) and issubclass(kind, pathlib.PurePath)


def _has_pydantic(hint: Any) -> bool:
    return hasattr(hint, "__pydantic_validator__") or any(map(_has_pydantic, get_args(hint)))


def _text(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    plain = isinstance(annotation, type) and not get_args(annotation)
    return annotation.__qualname__ if plain else str(annotation).replace("typing.", "")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
