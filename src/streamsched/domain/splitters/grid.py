"""``split.grid``: every combination of one value from each axis, in chunks of equal size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from streamsched.domain import values
from streamsched.domain.placeholders import (
    NAME,
    JsonText,
    check_known,
    encode,
    inside,
    kept,
    references,
    text_of,
    whole,
)  # fmt: skip
from streamsched.domain.refusal import FieldPath, TemplateError
from streamsched.domain.splitters.lists import ITEMS_LIMIT
from streamsched.domain.splitters.port import (
    Input,
    Params,
    Splitter,
    check_integer,
    require_integers,
    resolve_integer,
)  # fmt: skip

_AXES: Final[FieldPath] = ("split", "grid", "axes")
_SIZE: Final[FieldPath] = ("split", "grid", "size")
_ARGS: Final[FieldPath] = ("child", "args")
_ENDS: Final = {"first", "last"}


class GridCut:
    """Children of ``size`` points. Axes are in order of their names; the last one changes from point to point."""

    __slots__ = ("_axes", "_begin", "_end", "_given", "_size", "_wanted", "children")

    def __init__(
        self, wanted: Collection[str], axes: dict[str, Any], size: int, begin: int = 0, count: int | None = None
    ) -> None:
        self._given = axes
        self._axes = {name: _values(axes[name]) for name in sorted(axes)}
        self._end = prod(map(_length, self._axes.values()))
        self.children = -(-self._end // size) if count is None else count
        require_integers(size, begin, self.children)
        if size != 1 and any(map(_is_of_one, wanted)):
            reason = f"child.point is for chunks of size 1, the size is {size}"
            raise TemplateError(reason, "use ${child.points}", path=_ARGS)
        self._size = size
        self._begin = begin
        self._wanted = wanted

    def variables(self, index: int) -> dict[str, object]:
        """Return the wanted variables."""
        numbers = range(index * self._size, min((index + 1) * self._size, self._end))
        points = list(map(self._point, numbers)) if any(key != "index" for key in self._wanted) else []
        return {key: index if key == "index" else _text(key, points) for key in self._wanted}

    def widths(self) -> dict[str, int]:
        """Return bounds of the widths: those of full chunks of points whose values are the widest of each axis."""
        size = min(self._size, self._end)
        found = {"index": len(str(self._begin + self.children))}
        for key in self._wanted:
            if key != "index":
                form = _form(key)
                widest = {name: max(_ends(axis), key=lambda each: len(form(each))) for name, axis in self._axes.items()}
                found[key] = len(_text(key, [widest])) * (1 if _is_of_one(key) else size)
        return found

    def weight(self, index: int) -> int:
        """Return how many points a child has."""
        return min(self._size, self._end - index * self._size)

    def slice(self, first: int, last: int) -> Input:
        """Return the whole grid, and which of its children are meant."""
        return {"axes": self._given, "size": self._size, "begin": first, "count": last - first + 1}

    def _point(self, number: int) -> dict[str, object]:
        point: dict[str, object] = {}
        for name, axis in reversed(self._axes.items()):
            number, place = divmod(number, _length(axis))
            point[name] = axis[place]
        return point


def _is_of_one(key: str) -> bool:
    return key.startswith("point.")


def _form(key: str) -> Callable[[object], str]:
    """Return how a value reads at this key: as JSON, inside a string as its text, or, in a list of points, its JSON."""
    if not key.endswith("~"):
        return encode
    return (lambda value: inside(text_of(value), _ARGS)) if _is_of_one(key) else (lambda value: inside(encode(value)))


def _text(key: str, points: Sequence[Mapping[str, object]]) -> str:
    return _form(key)(points[0][key[6:].removesuffix("~")] if _is_of_one(key) else points)


def _values(axis: Any) -> Sequence[object]:
    if isinstance(axis, list):
        return axis
    require_integers(axis["first"], axis["last"])
    return range(axis["first"], axis["last"] + 1)


def _length(axis: Sequence[object]) -> int:
    return max(0, axis.stop - axis.start) if isinstance(axis, range) else len(axis)  # len() ends at 2**63


def _ends(axis: Sequence[object]) -> Sequence[object]:
    return (axis[0], axis[-1]) if isinstance(axis, range) else axis  # the widest integer is at an end


@dataclass(frozen=True, slots=True, kw_only=True)
class GridSplit(Splitter):
    """All combinations of the values of ``axes``, in chunks of ``size``.

    An axis is a literal list, the placeholder of an array, or ``{first, last}``: integers, both inclusive.
    """

    kind = "grid"
    level = 2
    cut = GridCut

    axes: dict[str, Any]
    size: int | str = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", kept(self.axes, _AXES))

    @property
    def texts(self) -> Collection[str]:
        """Return the points, and the value of each axis: inside a string a text reads as it is."""
        return {"points", *(f"point.{name}" for name in self.axes)}

    @property
    def variables(self) -> Collection[str]:
        """Return what the arguments of a child may name."""
        return {"index", *self.texts}

    def check(self, params: Params) -> None:
        """Refuse axes that cannot be ones, and a size that is not an integer."""
        check_integer(self.size, _SIZE, params, 1)
        if not isinstance(self.axes, dict) or not self.axes:
            raise TemplateError("must name at least one axis", "write name: [a, b] lines under it", path=_AXES)
        for name, axis in self.axes.items():
            if not NAME.fullmatch(name):
                remedy = "use letters, digits, dash and underscore, not a digit first"
                raise TemplateError(f"{name!r} is not a name", remedy, path=(*_AXES, name))
            _check_axis(axis, (*_AXES, name), params)

    def check_use(self, variable: str, path: FieldPath) -> None:
        """Refuse ``child.point`` where a child may have several."""
        if _is_of_one(variable) and isinstance(self.size, int) and self.size != 1:
            reason = "child.point is for chunks of size 1"
            raise TemplateError(reason, "use ${child.points}, or remove split.grid.size", path=path)

    def resolve(self, params: Mapping[str, object]) -> Input:
        """Return the axes with their placeholders filled in, and the size."""
        ends = {name: axis for name, axis in self.axes.items() if isinstance(axis, dict)}
        lists = {name: axis for name, axis in self.axes.items() if name not in ends}
        text = JsonText(lists, params, path=_AXES, limit=ITEMS_LIMIT)
        axes = values.read("".join(part for part in text.parts if isinstance(part, str)))
        for name, axis in axes.items():
            if not isinstance(axis, list):
                raise TemplateError("is not an array", "give it an array", path=(*_AXES, name))
        for name, axis in ends.items():
            axes[name] = {end: resolve_integer(axis[end], params, (*_AXES, name, end)) for end in _ENDS}
        return {"axes": axes, "size": resolve_integer(self.size, params, _SIZE, minimum=1)}


def _check_axis(axis: object, path: FieldPath, params: Params) -> None:
    if isinstance(axis, dict):
        if axis.keys() != _ENDS:
            raise TemplateError("must have first and last, and nothing else", "write {first: 1, last: 10}", path=path)
        for end in _ENDS:
            check_integer(axis[end], (*path, end), params)
        return
    for where, name in references(axis, path):
        check_known(name, where, params, "split")
    if not isinstance(axis, list):
        name = whole(axis) or ""
        if name not in params:
            raise TemplateError("must be a list, a range or one placeholder", 'write [a, b] or "${rates}"', path=path)
        if params[name].type != "array":
            reason = f"variable {name} has type {params[name].type}, not array"
            raise TemplateError(reason, f"declare {name} with type: array", path=path)
