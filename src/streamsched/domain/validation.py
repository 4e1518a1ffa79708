"""Checks of decoded events: values that fit the schema but that no version of streamsched writes. Pure.

A record may come from anywhere. What passes here cannot break the fold, a view's rows, a decision or a worker by its
size: numbers fit where they are kept, texts fit into the records that repeat them. Bounds of single fields stand in
their types (``domain.bounds``), relations between fields stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct

from streamsched.domain import events as e
from streamsched.domain.backfill import PARTS_LIMIT, Reprocess
from streamsched.domain.bounds import GRAMMAR, TABLE_LIMIT

Test = Callable[[Any], str | None]
"""Returns what is wrong with a value, or None."""
BODY_LIMIT: Final = 1536 * 1024
"""Bytes of a schedule's template and parameters: its tasks' requests hold both, and a little more."""


def validate(event: e.Event) -> str | None:
    """Return what is wrong with an event, or None."""
    return test_of(type(event))(event)


# --- between fields -------------------------------------------------------------------------------------------------


def _work(event: e.ChildCheckpointed) -> str | None:
    work = event.work
    if work is None or (work.task_id, work.child, work.ordinal) == (event.task_id, event.child, event.ordinal):
        return None
    return "its work is another child's"


def _planned(event: e.TaskPlanned) -> str | None:
    return "children beside a split child" if event.split and event.children else None


def _page(event: e.TaskPlanProgressed) -> str | None:
    lines = event.entries.count("\n") + 1 if event.entries else 0
    return None if lines == event.count else f"{lines:,} entries, {event.count:,} by its count"


def _total(
    event: e.ChildrenSelected | e.ChildrenDispatched | e.ChildrenStopping | e.ChildrenCancelled,
) -> str | None:
    spans = event.spans if isinstance(event, e.ChildrenCancelled | e.ChildrenSelected) else event.releases
    total = sum([span.last - span.first + 1 for span in spans])
    return f"{total:,} children, more than a task can have" if total > TABLE_LIMIT else None


def _body(body: e.ScheduleSet | e.BackfillPart) -> str | None:
    """Refuse a body that is too large for the requests that are made of it."""
    size = len(body.template.encode()) + len(body.params.encode())
    return f"template and parameters have {size:,} bytes, the limit is {BODY_LIMIT:,}" if size > BODY_LIMIT else None


def _redriven(event: e.TaskRedriven) -> str | None:
    from streamsched.domain.selector import Predicate, SelectorError  # late: it is needed by few

    if event.scope not in ("failed", "all"):
        return f"{event.scope[:200]!r} is not a scope"
    if event.selector is not None and event.selector.version == GRAMMAR:
        try:
            Predicate(event.selector)
        except SelectorError as error:
            return str(error)
    return None


def _backfill(event: e.BackfillRequested) -> str | None:
    if event.reprocess not in tuple(Reprocess):
        return f"{event.reprocess[:200]!r} is nothing to reprocess"
    for before, part in pairwise(event.parts):
        if part.first <= before.last:
            return f"times from {part.first} to {part.last} cannot follow {before.last}"
    return f"{len(event.parts):,} parts, more than a backfill can have" if len(event.parts) > PARTS_LIMIT else None


_RELATIONS: Final[dict[type[Struct], Test]] = {
    e.ChildCheckpointed: _work,
    e.TaskPlanned: _planned,
    e.TaskPlanProgressed: _page,
    e.ChildrenSelected: _total,
    e.ChildrenDispatched: _total,
    e.ChildrenStopping: _total,
    e.ChildrenCancelled: _total,
    e.ScheduleSet: _body,
    e.BackfillPart: _body,
    e.TaskRedriven: _redriven,
    e.BackfillRequested: _backfill,
}


# --- tests made of types --------------------------------------------------------------------------------------------


@cache
def test_of(hint: Any) -> Test:
    """Return the test of a type, made once: one expression, because every record that is read passes through it."""
    names: dict[str, Any] = {"problem": lambda value: next(_problems(hint, value, ""))}
    sound = " and ".join(_conditions(hint, "value", names)) or "True"
    test: Test = eval(f"lambda value: None if {sound} else problem(value)", names)  # noqa: S307 - our own types
    return test


def _conditions(hint: Any, place: str, names: dict[str, Any]) -> Iterator[str]:
    """Yield expressions that are true where ``_problems`` finds nothing; ``names`` take in what they call."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Annotated:
        for mark in hint.__metadata__:
            yield from _bounds(mark, place) if isinstance(mark, Meta) else [_call(mark, place, names)]
        yield from _conditions(inner[0], place, names)
    elif kind in (UnionType, Union):
        sound = " and ".join(_conditions(inner[0], place, names))
        if sound:
            yield f"({place} is None or {sound})"
    elif kind is tuple:
        names[name := f"test{len(names)}"] = test_of(inner[0])
        yield f"not any(map({name}, {place}))"
    elif _is_record(hint):
        for field, its in get_type_hints(hint, include_extras=True).items():
            yield from _conditions(its, f"{place}.{field}", names)
        if _is_span(hint):
            yield f"{place}.first <= {place}.last"
        if hint in _RELATIONS:
            yield _call(_RELATIONS[hint], place, names)


def _bounds(mark: Meta, place: str) -> Iterator[str]:
    if mark.ge is not None:
        yield f"{mark.ge} <= {place}" + (f" < {mark.lt}" if mark.lt is not None else "")
    if mark.max_length is not None:
        yield f"len({place}) <= {mark.max_length}"
    if mark.extra is not None:
        limit = mark.extra["bytes"]
        yield f"(len({place}) <= {limit // 4} or len({place}.encode()) <= {limit})"


def _call(test: Test, place: str, names: dict[str, Any]) -> str:
    names[name := f"test{len(names)}"] = test
    return f"not {name}({place})"


def _problems(hint: Any, value: Any, path: str) -> Iterator[str]:
    """Yield all that is wrong with a value, each with the path of its field."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Annotated:
        found = [_beyond(mark, value) if isinstance(mark, Meta) else mark(value) for mark in hint.__metadata__]
        yield from (f"{path}: {problem}" for problem in found if problem)
        yield from _problems(inner[0], value, path)
    elif kind in (UnionType, Union):
        yield from () if value is None else _problems(inner[0], value, path)
    elif kind is tuple:
        yield from (problem for item in value for problem in _problems(inner[0], item, path))
    elif _is_record(hint):
        for field, its in get_type_hints(hint, include_extras=True).items():
            yield from _problems(its, getattr(value, field), f"{path}.{field}" if path else field)
        if _is_span(hint) and value.first > value.last:
            yield f"{path}: {value.first}..{value.last} runs backwards"
        if hint in _RELATIONS and (problem := _RELATIONS[hint](value)):
            yield f"{path}: {problem}" if path else problem


def _beyond(mark: Meta, value: Any) -> str | None:
    if mark.extra is not None and (size := len(value.encode())) > mark.extra["bytes"]:
        return f"{size:,} bytes, the limit is {mark.extra['bytes']:,}"
    if mark.max_length is not None and len(value) > mark.max_length:
        return f"a length of {len(value):,}, the limit is {mark.max_length:,}"
    if mark.ge is not None and (value < mark.ge or (mark.lt is not None and value >= mark.lt)):
        return f"{value} is not within {mark.ge}..{'' if mark.lt is None else mark.lt - 1}"
    return None


def _is_record(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Struct)


def _is_span(cls: type[Struct]) -> bool:
    return {"first", "last"} <= set(cls.__struct_fields__)
