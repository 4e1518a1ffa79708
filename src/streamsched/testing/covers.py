"""Whether the children of a task are disjoint, and together all that there is to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product, zip_longest
from typing import TYPE_CHECKING, Any, Final, cast
from zoneinfo import ZoneInfo

from streamsched.commands.request import AnyTemplate, prepare_any
from streamsched.domain import values
from streamsched.domain.bounds import CHILDREN_LIMIT
from streamsched.domain.splitting import ChildArguments
from streamsched.files.template_file import Prepared
from streamsched.testing.context import ObservedTransport, context_of
from streamsched.worker.local import call

if TYPE_CHECKING:
    from streamsched.worker.sources.local import LocalEntries

Parts = Sequence[Iterable[Any]]
"""What each child works on, by its index."""
Part = Callable[[Any], Iterable[Any]]


def assert_covers(
    split: AnyTemplate | Callable[..., Iterable[Any]],
    given: Mapping[str, Any] | None = None,
    *,
    part: Part | None = None,
    whole: Iterable[Any] | None = None,
) -> None:
    """Check that children are disjoint and together are the whole; AssertionError names the first gap or overlap.

    Args:
        split: a template, or a job; or a splitter of your own, a function that yields an entry for each child. It is
            run twice, for it must yield the same each time.
        given: the template's parameters, or the splitter's arguments.
        part: returns what a child works on, from its arguments, or from its entry: a ``range``, or values. By default
            what the template's splitter gives it, or its entry (if that is a list, the items).
        whole: what there is to do: a ``range``, or values, each as often as it is to be done. By default what stands
            under the template's ``split``: integers, items, points, or milliseconds since the Unix epoch.

    """
    if callable(split) and not hasattr(split, "template"):  # a job is callable too
        parts, all_of_it = _of_splitter(split, given or {}, part, whole)
    else:
        parts, all_of_it = _of_template(prepare_any(split, given), part, whole)
    fault = _fault_in_ranges(parts, all_of_it) if _are_ranges(parts, all_of_it) else _fault_in_values(parts, all_of_it)
    if fault:
        raise AssertionError(fault)


# --- what there is ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a splitter's children work on: from variables of the child, and as a whole from what is cut."""

    variables: frozenset[str]
    part: Part
    whole: Part


def _of_template(prepared: Prepared, part: Part | None, whole: Iterable[Any] | None) -> tuple[Parts, Iterable[Any]]:
    split, cut = prepared.template.split, values.read(prepared.plan.document)[prepared.template.split.kind]
    kind = _KINDS.get(split.kind)
    if kind is None and (part is None or whole is None):
        raise ValueError(f"what split.{split.kind} has to cover is not in the template: give part= and whole=")
    if whole is None and kind is not None:
        whole = kind.whole(cut)
    if part is not None:
        arguments = _arguments_of(prepared)
        return [part(values.read(arguments(child))) for child in range(arguments.children)], whole or ()
    assert kind is not None  # noqa: S101 - checked above
    variables = split.cut(kind.variables, **cut).variables
    return [kind.part(variables(child)) for child in range(prepared.children)], whole or ()


def _arguments_of(prepared: Prepared) -> ChildArguments | LocalEntries:
    """Return the arguments of all children; a splitter that looks outside is run for that."""
    if not prepared.plan.split:
        return prepared.arguments()
    from streamsched.worker.sources.local import LocalEntries  # late: few look outside

    params = values.read(prepared.params_json)
    return LocalEntries(prepared.template, params, prepared.plan.document, first=CHILDREN_LIMIT)


def _of_splitter(
    split: Callable[..., Iterable[Any]], args: Mapping[str, Any], part: Part | None, whole: Iterable[Any] | None
) -> tuple[Parts, Iterable[Any]]:
    if whole is None:
        raise ValueError("only you know what a splitter of your own has to cover: give whole=")
    entries = _entries(split, args)
    for child, (first, again) in enumerate(zip_longest(entries, _entries(split, args), fillvalue=_Nothing())):
        if first != again:
            raise AssertionError(f"entry {child} is {first!r}, and {again!r} when the splitter is run again")
    return [part(entry) if part else entry if isinstance(entry, list) else [entry] for entry in entries], whole


def _entries(split: Callable[..., Iterable[Any]], args: Mapping[str, Any]) -> list[Any]:
    context = context_of(_Deaf(None), task_id="test", handler=getattr(split, "__name__", ""), stage="split")
    return [values.plain(entry) for entry in call(split, context, values.plain(args))]


class _Deaf(ObservedTransport):
    def checkpointed(self, state: str, number: int, covered: int) -> None: ...


class _Nothing:
    def __repr__(self) -> str:
        return "missing"


def _points(cut: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    axes = {
        name: axis if isinstance(axis, list) else range(axis["first"], axis["last"] + 1)
        for name, axis in cut["axes"].items()
    }
    return [dict(zip(axes, each, strict=True)) for each in product(*axes.values())]


def _stretch(start: str, end: str, zone: str = "UTC") -> range:
    """Return the milliseconds from one time to another; ``zone`` is that of times without an offset."""
    times = (datetime.fromisoformat(text.upper()) for text in (start, end))
    first, last = (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(zone)) for time in times)
    return range(round(first.timestamp() * 1000), round(last.timestamp() * 1000))


_KINDS: Final = {
    "range": _Kind(
        frozenset({"first", "last"}),
        lambda child: range(child["first"], child["last"] + 1),
        lambda cut: range(cut["first"], cut["last"] + 1),
    ),
    "list": _Kind(frozenset({"items"}), lambda child: values.read(child["items"]), lambda cut: cut["items"]),
    "grid": _Kind(frozenset({"points"}), lambda child: values.read(child["points"]), _points),
    "dates": _Kind(
        frozenset({"start", "end"}),
        lambda child: _stretch(values.read(child["start"]), values.read(child["end"])),
        lambda cut: _stretch(cut["start"], cut["end"], cut["zone"]),
    ),
}


# --- what is wrong with it --------------------------------------------------------------------------------------------


def _are_ranges(parts: Parts, whole: Iterable[Any]) -> bool:
    return all(isinstance(each, range) and each.step == 1 for each in (whole, *parts))


def _fault_in_ranges(parts: Parts, whole: Iterable[Any]) -> str:
    """Return the first gap or overlap, from the lowest on; empty where there is none."""
    wanted, pieces = cast("range", whole), cast("Sequence[range]", parts)
    edge, before = wanted.start, ""
    for child, piece in sorted(enumerate(pieces), key=lambda each: (each[1].start, each[1].stop)):
        if not piece:
            continue
        if piece.start < edge and before:
            return f"{before} and child {child} overlap: both have {_shown(piece.start, min(edge, piece.stop))}"
        if piece.start < edge:
            return f"child {child} has {_shown(piece.start, edge)}, which is not in the whole"
        if edge < min(piece.start, wanted.stop):
            return f"a gap: {_shown(edge, min(piece.start, wanted.stop))} is in no child{_behind(before)}"
        if piece.stop > wanted.stop:
            return f"child {child} has {_shown(max(piece.start, wanted.stop), piece.stop)}, which is not in the whole"
        edge, before = piece.stop, f"child {child}"
    return f"a gap: {_shown(edge, wanted.stop)} is in no child{_behind(before)}" if edge < wanted.stop else ""


def _behind(before: str) -> str:
    return f", behind {before}" if before else ""


def _shown(start: int, stop: int) -> str:
    return f"{start}" if stop == start + 1 else f"{start}..{stop - 1}"


def _fault_in_values(parts: Parts, whole: Iterable[Any]) -> str:
    """Return the first value that two children have, or that is not in the whole, or that no child has."""
    left = Counter(map(_key, whole))
    owners: dict[str, int] = {}
    for child, part in enumerate(parts):
        for key in map(_key, part):
            if left[key]:
                left[key] -= 1
                owners[key] = child
            elif owners.get(key, child) != child:
                return f"children {owners[key]} and {child} overlap: both have {key}"
            else:
                where = "twice" if key in owners else "which is not in the whole"
                return f"child {child} has {key}, {where}"
    missing = list(+left)
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    return f"a gap: {missing[0]} is in no child{more}" if missing else ""


def _key(value: Any) -> str:
    try:
        return values.canonical(value)
    except (TypeError, ValueError):
        return repr(value)
