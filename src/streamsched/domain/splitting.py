"""Splitters: cut a task's input into children that are pairwise disjoint and together cover it.

A plan is small whatever the number of children: it says how the input is cut, and any child's arguments can
be worked out from it and from the child's index alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from streamsched.domain import values
from streamsched.domain.placeholders import CHILD, INTEGER_LIMIT, Hole, JsonText, encode, inside, text_of, whole
from streamsched.domain.refusal import Path, TemplateError, dotted
from streamsched.domain.template import ListSplit, RangeSplit, Template

CHILDREN_LIMIT: Final = 10_000_000
ARGS_LIMIT: Final = 256 * 1024
ITEMS_LIMIT: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """How a task is cut: the number of children, and a JSON document of the splitter with its resolved input.

    ``digest`` is the SHA-256 of the document, in 64 hexadecimal digits.
    """

    children: int
    document: str
    digest: str


def plan(template: Template, params: Mapping[str, object]) -> Plan:
    """Cut the input of a task; ``params`` are resolved ones.

    An empty input gives 0 children. Raise TemplateError for a size below 1, more than 10,000,000 children,
    and arguments of a child, or a list, that are too large.
    """
    split = template.split
    try:
        if isinstance(split, RangeSplit):
            document = encode({"range": _range_input(split, params)})
        else:
            document = encode({"list": _list_input(split, params)})
        arguments = ChildArguments(template, params, document)
        if arguments.children > CHILDREN_LIMIT:
            reason = f"the split gives {arguments.children:,} children, the limit is {CHILDREN_LIMIT:,}"
            raise TemplateError(reason, "choose a larger size", path=("split", arguments.kind))
        arguments.validate()
    except TemplateError as error:
        raise error.of(template.name) from None
    return Plan(arguments.children, document, sha256(document.encode()).hexdigest())


class ChildArguments:
    """The arguments of every child of one task: call it with a child's index to get their JSON text.

    All that is the same for every child is encoded once, here; a call only fills in the child's own
    variables. Raise TemplateError where template, parameters and plan do not fit together. ``children`` is
    the number of children, ``kind`` the name of the splitter.
    """

    __slots__ = ("_format", "_input", "_parts", "children", "kind")

    def __init__(self, template: Template | str, params: Mapping[str, object], document: str) -> None:
        if isinstance(template, str):
            template = Template.from_json(template)
        text = JsonText(template.child.args, params, path=("child", "args"), limit=ARGS_LIMIT)
        holes = {part for part in text.parts if isinstance(part, Hole)}
        self._format = "".join(
            part.replace("%", "%%") if isinstance(part, str) else f"%({_key(part)})s" for part in text.parts
        )
        try:
            ((self.kind, fields),) = values.read(document).items()
            self._input: _Range | _List
            if self.kind == "range":
                self._input = _Range(fields["first"], fields["last"], fields["size"])
            else:
                self._input = _List(fields["items"], fields["size"], {_key(hole) for hole in holes})
        except TemplateError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError, RecursionError) as error:
            reason = f"this is no plan of a splitter known here ({type(error).__name__}: {error})"
            raise TemplateError(reason, "use a version that knows the splitter", path=("split",)) from None
        self.children = self._input.children
        self._parts = text.parts

    def __call__(self, index: int) -> str:
        """Give the JSON text of child ``index``'s arguments. Raise IndexError beyond the last child."""
        if not 0 <= index < self.children:
            raise IndexError(index)
        return self._format % self._input.variables(index)

    def validate(self) -> None:
        """Refuse a task that has a child whose arguments may be above 256 KiB. Raise TemplateError."""
        if self.children == 0:
            return
        widths = self._input.widths()
        size = sum(len(part) if isinstance(part, str) else widths[_key(part)] for part in self._parts)
        if size > ARGS_LIMIT:
            reason = f"the arguments of a child have up to {size:,} bytes, the limit is {ARGS_LIMIT:,}"
            remedy = "choose a smaller size, or pass large data by reference (a path, an address)"
            raise TemplateError(reason, remedy, path=("child", "args"))


def _key(hole: Hole) -> str:
    # Only what is no number reads differently inside a string.
    name = hole.name.removeprefix(CHILD)
    return f"{name}~" if hole.inside and name in ("item", "items") else name


class _Range:
    """Children of ``first..last`` in runs of ``size``."""

    __slots__ = ("_first", "_last", "_size", "children")

    def __init__(self, first: int, last: int, size: int) -> None:
        _check_whole(first, last, size)
        self._first = first
        self._last = last
        self._size = size
        self.children = max(0, -((first - last - 1) // size))

    def variables(self, index: int) -> dict[str, int]:
        first = self._first + index * self._size
        last = min(first + self._size - 1, self._last)
        return {"index": index, "first": first, "last": last, "size": last - first + 1}

    def widths(self) -> dict[str, int]:
        """Give the greatest width of each variable's text; a long negative number stands at the start."""
        ends = (self.variables(0), self.variables(self.children - 1))
        return {name: max(len(str(end[name])) for end in ends) for name in ends[0]}


class _List:
    """Children of a list in chunks of ``size`` items; the JSON of each item is made once."""

    __slots__ = ("_getters", "_length", "_size", "children")

    def __init__(self, items: Sequence[object], size: int, wanted: set[str]) -> None:
        _check_whole(size)
        if not isinstance(items, list):
            raise TypeError("the items are no list")
        if size != 1 and wanted & {"item", "item~"}:
            reason = f"child.item is for chunks of size 1, the size is {size}"
            raise TemplateError(reason, "use ${child.items}", path=("child", "args"))
        self._size = size
        self._length = len(items)
        self.children = -(-len(items) // size)
        self._getters: dict[str, Callable[[int, int], object]] = {
            "index": lambda first, _: first // size,
            "first": lambda first, _: first,
            "last": lambda _, end: end - 1,
        }
        if wanted & {"item", "items", "items~"}:
            texts = [encode(item) for item in items]
            self._getters["item"] = lambda first, _: texts[first]
            self._getters["items"] = lambda first, end: f"[{','.join(texts[first:end])}]"
            if "items~" in wanted:
                escaped = [inside(text) for text in texts]
                self._getters["items~"] = lambda first, end: f"[{','.join(escaped[first:end])}]"
        if "item~" in wanted:
            plain = [inside(text_of(item), ("child", "args")) for item in items]
            self._getters["item~"] = lambda first, _: plain[first]
        self._getters = {name: self._getters[name] for name in wanted}

    def variables(self, index: int) -> dict[str, object]:
        first = index * self._size
        end = min(first + self._size, self._length)
        return {name: get(first, end) for name, get in self._getters.items()}

    def widths(self) -> dict[str, int]:
        """Give the greatest width of each variable's text."""
        size, length = self._size, self._length
        return {
            name: max(len(str(get(first, min(first + size, length)))) for first in range(0, length, size))
            for name, get in self._getters.items()
        }


def _check_whole(*numbers: object) -> None:
    if not all(isinstance(number, int) for number in numbers):
        raise TypeError("what must be integers is not")


def _range_input(split: RangeSplit, params: Mapping[str, object]) -> dict[str, int]:
    return {
        "first": _integer(split.first, params, ("split", "range", "first")),
        "last": _integer(split.last, params, ("split", "range", "last")),
        "size": _integer(split.size, params, ("split", "range", "size"), minimum=1),
    }


def _list_input(split: ListSplit, params: Mapping[str, object]) -> dict[str, object]:
    path = ("split", "list", "items")
    text = JsonText(split.items, params, path=path, limit=ITEMS_LIMIT)
    items = values.read("".join(part for part in text.parts if isinstance(part, str)))
    if not isinstance(items, list):
        raise TemplateError("is not an array", "give it an array", path=path, variable=whole(split.items) or "")
    return {"items": items, "size": _integer(split.size, params, ("split", "list", "size"), minimum=1)}


def _integer(value: int | str, params: Mapping[str, object], path: Path, minimum: int = -INTEGER_LIMIT) -> int:
    name = whole(value)
    number = value if name is None else params.get(name)
    if not isinstance(number, int) or isinstance(number, bool) or not minimum <= number < INTEGER_LIMIT:
        reason = f"{dotted(path)} must be an integer" + (f" of at least {minimum}" if minimum == 1 else "")
        remedy = f"give {1 if minimum == 1 else 'one of 64 bits'}, not {number!r}"
        raise TemplateError(reason, remedy, path=path, variable=name or "")
    return number
