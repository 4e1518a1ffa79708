"""``split.list``: the items of a list, in chunks of equal size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streamsched.domain import values
from streamsched.domain.placeholders import JsonText, check_known, encode, inside, kept, references, text_of, whole
from streamsched.domain.refusal import FieldPath, TemplateError
from streamsched.domain.splitters.port import Input, Params, Splitter, check_integer, require_integers, resolve_integer

ITEMS_LIMIT: Final = 1024 * 1024
_ITEMS: Final[FieldPath] = ("split", "list", "items")
_SIZE: Final[FieldPath] = ("split", "list", "size")


class ListCut:
    """Children of a list in chunks of ``size`` items, numbered from ``begin``; the JSON of each item is made once."""

    __slots__ = ("_begin", "_getters", "_items", "_size", "children")

    def __init__(self, wanted: Collection[str], items: list[Any], size: int, begin: int = 0) -> None:
        require_integers(size, begin)
        if not isinstance(items, list):
            raise TypeError("the items are not a list")
        if size != 1 and {"item", "item~"}.intersection(wanted):
            reason = f"child.item is for chunks of size 1, the size is {size}"
            raise TemplateError(reason, "use ${child.items}", path=("child", "args"))
        self._begin = begin
        self._items = items
        self._size = size
        self.children = -(-len(items) // size)
        start, length = begin * size, len(items)
        getters: dict[str, Callable[[int, int], object]] = {
            "index": lambda first, _: begin + first // size,
            "first": lambda first, _: start + first,
            "last": lambda _, end: start + min(end, length) - 1,
        }
        if {"item", "items", "items~"}.intersection(wanted):
            texts = [encode(item) for item in items]
            getters["item"] = lambda first, _: texts[first]
            getters["items"] = lambda first, end: f"[{','.join(texts[first:end])}]"
            if "items~" in wanted:
                escaped = [inside(text) for text in texts]
                getters["items~"] = lambda first, end: f"[{','.join(escaped[first:end])}]"
        if "item~" in wanted:
            plain = [inside(text_of(item), ("child", "args")) for item in items]
            getters["item~"] = lambda first, _: plain[first]
        self._getters = {name: getters[name] for name in wanted}

    def variables(self, index: int) -> dict[str, object]:
        """Return the wanted variables."""
        first = (index - self._begin) * self._size
        end = first + self._size
        return {name: get(first, end) for name, get in self._getters.items()}

    def widths(self) -> dict[str, int]:
        """Return the greatest widths over all children."""
        size, starts = self._size, range(0, len(self._items), self._size)
        return {
            name: max(len(str(get(first, first + size))) for first in starts) for name, get in self._getters.items()
        }

    def weight(self, index: int) -> int:
        """Return how many items a child has."""
        return min(self._size, len(self._items) - (index - self._begin) * self._size)

    def slice(self, first: int, last: int) -> Input:
        """Return the items that these children have."""
        begin, end = (first - self._begin) * self._size, (last + 1 - self._begin) * self._size
        return {"items": self._items[begin:end], "size": self._size, "begin": first}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSplit(Splitter):
    """The entries of a list in chunks of ``size``: a literal list, or the placeholder of an array."""

    kind = "list"
    cut = ListCut
    variables = frozenset({"index", "first", "last", "item", "items"})
    texts = frozenset({"item", "items"})

    items: list[Any] | str
    size: int | str = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", kept(self.items, _ITEMS))

    def check(self, params: Params) -> None:
        """Refuse anything but a list or an array variable, and a size that is not an integer."""
        check_integer(self.size, _SIZE, params, 1)
        for where, name in references(self.items, _ITEMS):
            check_known(name, where, params, "split")
        if isinstance(self.items, list):
            return
        name = whole(self.items) or ""
        if name not in params:
            raise TemplateError("must be a list or one placeholder", 'write [a, b] or "${files}"', path=_ITEMS)
        if params[name].type != "array":
            reason = f"variable {name} has type {params[name].type}, not array"
            raise TemplateError(reason, f"declare {name} with type: array", path=_ITEMS)

    def check_use(self, variable: str, path: FieldPath) -> None:
        """Refuse ``child.item`` where a child may have several."""
        if variable == "item" and isinstance(self.size, int) and self.size != 1:
            reason = "child.item is for chunks of size 1"
            raise TemplateError(reason, "use ${child.items}, or remove split.list.size", path=path)

    def resolve(self, params: Mapping[str, object]) -> Input:
        """Return the list with its placeholders filled in, and the size."""
        text = JsonText(self.items, params, path=_ITEMS, limit=ITEMS_LIMIT)
        items = values.read("".join(part for part in text.parts if isinstance(part, str)))
        if not isinstance(items, list):
            raise TemplateError("is not an array", "give it an array", path=_ITEMS, variable=whole(self.items) or "")
        return {"items": items, "size": resolve_integer(self.size, params, _SIZE, minimum=1)}
