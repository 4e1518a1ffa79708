"""Selectors, grammar 1: which work children are meant, as ``state=failed and error=KeyError and index=100..200``.

Clauses are joined by ``and``. A clause is a field, ``=`` or ``!=``, and values of which one must match (``a|b``);
fields of numbers take ranges ``a..b``, and ``>=`` with one number. A value with spaces stands in quotes. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streamsched.domain.bounds import CHILDREN_LIMIT, GRAMMAR, LAST_ORDINAL
from streamsched.domain.child_detail import ChildDetail
from streamsched.domain.errors import InputError
from streamsched.domain.events import Clause, Selector
from streamsched.domain.ids import NAME_LIMIT
from streamsched.domain.phases import ChildState
from streamsched.domain.refusal import suggest

if TYPE_CHECKING:
    from streamsched.domain.task import Task

LONGEST: Final = 32_000
"""Characters of a selector at most: its event must fit into a record."""
CLAUSES: Final = 100
"""Clauses of a selector at most."""
VALUES: Final = 1_000
"""Values of a clause at most."""
STATES: Final = ("waiting", "running", "succeeded", "failed", "cancelled")
NUMBERS: Final = {"index": CHILDREN_LIMIT - 1, "attempts": LAST_ORDINAL}
"""Fields of numbers, and the largest number that each can have."""
TEXTS: Final = {"error": NAME_LIMIT, "reason": 2_000, "group": 64}
"""Fields of texts, and the characters that each can have; an error is met by its last name too."""
FIELDS: Final = ("state", *NUMBERS, *TEXTS)
_SHOWN: Final = {
    ChildState.SUCCEEDED: "succeeded", ChildState.FAILED: "failed", ChildState.CANCELLED: "cancelled",
    ChildState.WAITING: "waiting", ChildState.DUE: "waiting",
}  # fmt: skip
_HEAD: Final = re.compile(r"\s*([^\s=!><|]*)\s*(!=|>=|=)?\s*")
_VALUE: Final = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^\s|"']+))\s*""")
_RANGE: Final = re.compile(r"(\d{1,18})(?:\.\.(\d{1,18}))?", re.ASCII)
_UNKNOWN: Final = ChildDetail()
Interval = tuple[int, int]
"""First and last number."""


class SelectorError(InputError):
    """A selector that cannot be read, or that no child can ever meet."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a text may be: one of ``only``, where that is given, and none of ``never``."""

    only: frozenset[str] | None = None
    never: frozenset[str] = frozenset()

    def meets(self, *names: str) -> bool:
        """Return whether a text matches that has all of these names."""
        return (self.only is None or not self.only.isdisjoint(names)) and self.never.isdisjoint(names)


class Predicate:
    """A selector, ready to be asked about children: a pure function of index, state, dispatches and detail."""

    __slots__ = ("_numbers", "_words", "needs_detail")

    def __init__(self, selector: Selector) -> None:
        """Raise SelectorError for clauses of no sense, or that contradict each other."""
        self._numbers: dict[str, tuple[Interval, ...]] = {}
        self._words: dict[str, Words] = {}
        for clause in selector.clauses:
            self._take(clause)
        self.needs_detail = bool(self._words.keys() - {"state"} or "attempts" in self._numbers)

    def of(self, task: Task, child: int, known: ChildDetail | None) -> bool:
        """Return whether a work child of a task meets all clauses; ``known`` is what is known of it."""
        detail = known or _UNKNOWN
        return self.meets(task.index_of(child), task.state_of(child), task.ordinal_of(child), detail)

    def meets(self, index: int, state: ChildState, dispatches: int, detail: ChildDetail) -> bool:
        """Return whether a child meets all clauses; ``detail`` counts only where ``needs_detail``."""
        if not self.may_meet(index, state):
            return False
        for field, words in self._words.items():
            if field != "state" and not words.meets(*_names(field, detail)):
                return False
        attempts = self._numbers.get("attempts")
        return attempts is None or _inside(attempts, detail.attempt if dispatches else 0)

    def may_meet(self, index: int, state: ChildState) -> bool:
        """Return whether a child meets what is said of its index and state."""
        indexes, states = self._numbers.get("index"), self._words.get("state")
        return (indexes is None or _inside(indexes, index)) and (
            states is None or states.meets(_SHOWN.get(state, "running"))
        )

    def indexes(self, end: int) -> Iterator[range]:
        """Yield the indexes below ``end`` that may be met, in order."""
        for first, last in self._numbers.get("index", ((0, end),)):
            if first < end:
                yield range(first, min(last + 1, end))

    def _take(self, clause: Clause) -> None:
        field = clause.field
        if field in NUMBERS:
            numbers = _intervals(clause, NUMBERS[field])
            both = tuple(_common(self._numbers.get(field, ((0, NUMBERS[field]),)), numbers))
            if not both:
                raise _never(field, "no number meets all of its clauses")
            self._numbers[field] = both
        elif field in FIELDS:
            self._words[field] = _narrowed(self._words.get(field, Words()), clause)
        else:
            raise SelectorError(f"unknown field {field[:100]!r}", suggest(field, FIELDS))


def parse(text: str) -> Selector:
    """Read a selector. Raise SelectorError, which names the field, its place in the text, and what is possible."""
    if len(text) > LONGEST:
        raise _placed(f"{len(text):,} characters, more than {LONGEST:,}", "select by ranges, or in parts", "", LONGEST)
    clauses: list[Clause] = []
    at = 0
    while True:
        start = at + len(text[at:]) - len(text[at:].lstrip())
        clause, at = _clause(text, at)
        clauses.append(clause)
        try:
            if len(clauses) > CLAUSES:
                raise SelectorError(f"more than {CLAUSES} clauses", "name several values as a|b, or ranges as 1..9")
            Predicate(Selector(GRAMMAR, tuple(clauses)))
        except SelectorError as error:
            raise _placed(error.reason, error.remedy, clause.field, start) from None
        if at == len(text):
            return Selector(GRAMMAR, tuple(clauses))
        if not re.match(r"and(\s|$)", text[at:]):
            raise _placed(f"{text[at : at + 40]!r} follows a clause", "join clauses by 'and'", clause.field, at)
        at += len("and")


def text_of(selector: Selector) -> str:
    """Write a selector as people do."""
    return " and ".join(
        f"{clause.field}{clause.op}{'|'.join(map(_quoted, clause.values))}" for clause in selector.clauses
    )


def _clause(text: str, at: int) -> tuple[Clause, int]:
    head = _HEAD.match(text, at)
    field, op = head.groups() if head else ("", None)
    start = head.start(1) if head else at
    if field not in FIELDS:
        what = f"unknown field {field[:100]!r}" if field else "a clause is missing"
        raise _placed(what, suggest(field, FIELDS), field, start)
    if op is None or head is None:
        raise _placed("an operator must follow", "one of =, != and, for index and attempts, >=", field, start)
    values: list[str] = []
    at = head.end()
    while True:
        found = _VALUE.match(text, at)
        if found is None:
            raise _placed("a value is missing", f"as {field}{op}{_example(field)}", field, at)
        values.append(next(value for value in found.groups() if value is not None))
        at = found.end()
        if len(values) > VALUES:
            raise _placed(f"more than {VALUES:,} values", "select by another field, or by ranges", field, start)
        if text[at : at + 1] != "|":
            return Clause(field, op, tuple(values)), at
        at += 1


def _intervals(clause: Clause, top: int) -> Sequence[Interval]:
    """Return what a clause says of a number, in order and apart."""
    found = sorted(_interval(clause.field, value, top) for value in clause.values)
    if clause.op == ">=" and len(found) == 1 and found[0][0] == found[0][1]:
        return [(found[0][0], top)]
    if clause.op not in ("=", "!=") or not found:
        raise SelectorError(f"{clause.op[:10]} takes one number", f"as {clause.field}>=3", field=clause.field)
    apart: list[Interval] = []
    for first, last in found:
        if apart and first <= apart[-1][1] + 1:
            apart[-1] = (apart[-1][0], max(last, apart[-1][1]))
        else:
            apart.append((first, last))
    if clause.op == "=":
        return apart
    ends = [-1, *(number for interval in apart for number in interval), top + 1]
    return [(a + 1, b - 1) for a, b in zip(ends[::2], ends[1::2], strict=True) if a + 1 <= b - 1]


def _interval(field: str, text: str, top: int) -> Interval:
    found = _RANGE.fullmatch(text)
    if found is None:
        raise _never(field, f"{text[:100]!r} is not a number", f"give a number or a range, as {field}=3|7..9")
    first, last = int(found[1]), int(found[2] or found[1])
    if first > last:
        raise _never(field, f"{text} is an empty range", f"the smaller number goes first: {last}..{first}")
    if last > top:
        raise _never(field, f"{text} can never match", f"at most {top:,}")
    return first, last


def _narrowed(known: Words, clause: Clause) -> Words:
    field, values = clause.field, frozenset(clause.values)
    if clause.op not in ("=", "!=") or not values:
        raise SelectorError(f"{field} has no numbers to compare", "use = or !=", field=field)
    for value in clause.values:
        if field == "state" and value not in STATES:
            raise _never(field, f"unknown state {value[:100]!r}", f"one of {', '.join(STATES)}")
        if field in TEXTS and not 0 < len(value) <= TEXTS[field]:
            raise _never(field, f"{value[:40]!r} can never match", f"from 1 to {TEXTS[field]:,} characters")
    if clause.op == "!=":
        never = known.never | values
        only = known.only if known.only is not None else frozenset(STATES) if field == "state" else None
    else:
        never = known.never
        only = values if known.only is None else _both(field, known.only, values)
    if only is not None and not any(Words(only, never).meets(*_all_names(field, each)) for each in only):
        raise _never(field, "no value meets all of its clauses")
    return Words(only, never)


def _both(field: str, some: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    """Return what is in both; of an error that stands with its module in one of them, the longer name."""
    return frozenset(
        each
        for one, other in ((some, others), (others, some))
        for each in one
        if not other.isdisjoint(_all_names(field, each))
    )


def _all_names(field: str, text: str) -> tuple[str, ...]:
    return (text, text.rpartition(".")[2]) if field == "error" else (text,)


def _names(field: str, detail: ChildDetail) -> tuple[str, ...]:
    text = {"error": detail.error_type, "reason": detail.reason, "group": detail.group}[field]
    return () if text is None else _all_names(field, text)


def _inside(intervals: Iterable[Interval], number: int) -> bool:
    return any(first <= number <= last for first, last in intervals)


def _common(some: Iterable[Interval], others: Sequence[Interval]) -> Iterator[Interval]:
    for first, last in some:
        for other_first, other_last in others:
            if max(first, other_first) <= min(last, other_last):
                yield max(first, other_first), min(last, other_last)


def _example(field: str) -> str:
    return "3|7..9" if field in NUMBERS else "failed|cancelled" if field == "state" else "KeyError"


def _quoted(value: str) -> str:
    if re.fullmatch(r"""[^\s|"']+""", value):
        return value
    return f"'{value}'" if '"' in value else f'"{value}"'


def _never(field: str, reason: str, remedy: str = "take one of them away") -> SelectorError:
    return SelectorError(reason, remedy, field=field)


def _placed(reason: str, remedy: str, field: str, at: int) -> SelectorError:
    place = f"{field}, character {at + 1}" if field in FIELDS else f"character {at + 1}"
    return SelectorError(reason, remedy, source="where", field=place)
