"""A validator of JSON Schema: the keywords of draft 2020-12 that our schemas use, and no others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

Schema = dict[str, Any]
Check = Callable[["Checker", Any, Any, Schema], bool]


def kind_of(value: object) -> str:
    """Name the type of a JSON value."""
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def _is(value: object, name: str) -> bool:
    return kind_of(value) == name or (name == "number" and kind_of(value) == "integer")


def _equal(one: object, other: object) -> bool:
    return kind_of(one) == kind_of(other) and one == other


def _members(self: Checker, value: Any, schema: Schema) -> Iterator[bool]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, member in value.items():
        wanted = properties.get(name, others)
        yield wanted if isinstance(wanted, bool) else self.fits(member, wanted)


def _chosen(self: Checker, value: Any, schema: Schema) -> bool:
    branch = schema.get("then" if self.fits(value, schema["if"]) else "else", {})
    return self.fits(value, branch)


def _of(name: str, check: Check) -> Check:
    """Make a check that holds for values of any other type."""
    return lambda self, value, said, schema: not _is(value, name) or check(self, value, said, schema)


def _rest(value: list[Any], schema: Schema) -> list[Any]:
    """Return the items behind those that have schemas of their own."""
    return value[len(schema.get("prefixItems", ())) :]


def _any(self: Checker, value: Any, said: Any, schema: Schema) -> bool:
    return True


CHECKS: Final[dict[str, Check]] = {
    **dict.fromkeys(("$schema", "$defs", "title", "description", "default", "format", "then", "else"), _any),
    "$ref": lambda self, value, said, _: self.fits(value, self.named(said)),
    "type": lambda _, value, said, __: any(_is(value, name) for name in ([said] if isinstance(said, str) else said)),
    "enum": lambda _, value, said, __: any(_equal(value, each) for each in said),
    "const": lambda _, value, said, __: _equal(value, said),
    "not": lambda self, value, said, _: not self.fits(value, said),
    "anyOf": lambda self, value, said, _: any(self.fits(value, each) for each in said),
    "oneOf": lambda self, value, said, _: [self.fits(value, each) for each in said].count(True) == 1,
    "allOf": lambda self, value, said, _: all(self.fits(value, each) for each in said),
    "if": lambda self, value, _, schema: _chosen(self, value, schema),
    "properties": _of("object", lambda self, value, _, schema: all(_members(self, value, schema))),
    "additionalProperties": _of("object", lambda self, value, _, schema: all(_members(self, value, schema))),
    "propertyNames": _of("object", lambda self, value, said, _: all(self.fits(name, said) for name in value)),
    "required": _of("object", lambda _, value, said, __: set(said) <= value.keys()),
    "minProperties": _of("object", lambda _, value, said, __: len(value) >= said),
    "maxProperties": _of("object", lambda _, value, said, __: len(value) <= said),
    "prefixItems": _of("array", lambda self, value, said, _: all(map(self.fits, value, said))),
    "items": _of(
        "array", lambda self, value, said, schema: all(self.fits(each, said) for each in _rest(value, schema))
    ),
    "minItems": _of("array", lambda _, value, said, __: len(value) >= said),
    "maxItems": _of("array", lambda _, value, said, __: len(value) <= said),
    "minimum": _of("number", lambda _, value, said, __: value >= said),
    "maximum": _of("number", lambda _, value, said, __: value <= said),
    "pattern": _of("string", lambda _, value, said, __: re.search(said, value, re.ASCII) is not None),
    "minLength": _of("string", lambda _, value, said, __: len(value) >= said),
    "maxLength": _of("string", lambda _, value, said, __: len(value) <= said),
}


class Checker:
    """Checks values against one schema. Any word that it does not know is a KeyError."""

    def __init__(self, root: Schema) -> None:
        self._root = root

    def accepts(self, value: object) -> bool:
        """Return whether the whole schema takes a value."""
        return self.fits(value, self._root)

    def fits(self, value: Any, schema: Schema) -> bool:
        """Return whether a part of the schema takes a value."""
        return all(CHECKS[word](self, value, said, schema) for word, said in schema.items())

    def named(self, reference: str) -> Schema:
        """Return the part that a reference names."""
        found: Any = self._root
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        return dict(found)
