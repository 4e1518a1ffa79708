"""What every splitter offers, and what its fields have in common. Pure, and cheap to import for an executor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from streamsched.domain.placeholders import INTEGER_LIMIT, check_known, references, whole
from streamsched.domain.refusal import FieldPath, TemplateError, check_whole, dotted
from streamsched.domain.splitters.functions import Call, call_of

if TYPE_CHECKING:
    from streamsched.domain.param import Param

Params = Mapping[str, "Param"]
"""The variables that a template declares."""
Input = dict[str, object]
"""What a splitter cuts, as plain JSON: all variables of the task are filled in."""


class Cut(Protocol):
    """The children of an input. They are numbered from 0, but those of a slice keep their numbers."""

    children: int
    """How many there are."""

    def variables(self, index: int) -> Mapping[str, object]:
        """Return the values of a child's variables, by their keys: numbers, or texts as they stand in JSON."""

    def widths(self) -> dict[str, int]:
        """Return the greatest width of each variable's text."""

    def weight(self, index: int) -> int:
        """Return how much of the input a child has, in units of the splitter."""

    def slice(self, first: int, last: int) -> Input:
        """Return the input of the children ``first..last`` alone; to ``cut`` it gives the same children."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitter(ABC):
    """How a template names its input. A subclass has the fields that stand under ``split.KIND``."""

    kind: ClassVar[str]
    level: ClassVar[int] = 0
    """The oldest language of templates that has this splitter."""
    outside: ClassVar[bool] = False
    """Whether it must look outside: then it is an ``OutsideSplitter``, which has entries in place of a cut."""
    cut: ClassVar[Callable[..., Cut]]
    """``cut(wanted, **input)`` cuts what ``resolve`` made; ``wanted`` are the keys of the variables to be asked for.

    It raises TemplateError, TypeError, ValueError, LookupError or ArithmeticError for any other input.
    """

    @property
    @abstractmethod
    def variables(self) -> Collection[str]:
        """What the arguments of a child may name, without ``child.`` before it."""

    @property
    def texts(self) -> Collection[str]:
        """Those that are not numbers. Inside a string they read differently, under the key ``name~``."""
        return ()

    @abstractmethod
    def check(self, params: Params) -> None:
        """Refuse fields that cannot work, whatever values the variables have. Raise TemplateError."""

    def check_use(self, variable: str, path: FieldPath) -> None:  # noqa: B027 - few splitters rule any out
        """Refuse a variable in the arguments of a child that the fields rule out. Raise TemplateError."""

    @abstractmethod
    def resolve(self, params: Mapping[str, object]) -> Input:
        """Fill in the values of the task's variables. Raise TemplateError for values that cannot work."""


def check_integer(value: object, path: FieldPath, params: Params, minimum: int = -INTEGER_LIMIT) -> None:
    """Refuse a field that is neither an integer, nor the placeholder of an integer variable, nor a function of them."""
    if not isinstance(value, str):
        check_whole(value, path, minimum)
        return
    call = call_of(value, path)
    names = [name for _, name in references(value, path)] if call is None else call.variables
    for name in names:
        check_known(name, path, params, "split")
    if call is None and whole(value) is None:
        reason = f"{value!r} is neither an integer nor one placeholder"
        raise TemplateError(reason, 'write 100 or "${n}"', path=path)
    for name in names:
        if params[name].type != "integer":
            reason = f"variable {name} has type {params[name].type}, not integer"
            raise TemplateError(reason, f"declare {name} with type: integer", path=path)


def resolve_integer(
    value: int | str, params: Mapping[str, object], path: FieldPath, minimum: int = -INTEGER_LIMIT
) -> int:
    """Return the integer of a field that ``check_integer`` has passed."""
    call = call_of(value, path) if isinstance(value, str) else None
    name = None if call else whole(value)
    number = _called(call, params, path) if call else value if name is None else params.get(name)
    if not isinstance(number, int) or isinstance(number, bool) or not minimum <= number < INTEGER_LIMIT:
        reason = f"{dotted(path)} must be an integer" + (f" of at least {minimum}" if minimum == 1 else "")
        remedy = f"give {1 if minimum == 1 else 'one of 64 bits'}, not {number!r}"
        raise TemplateError(reason, remedy, path=path, variable=name or "")
    return number


def _called(call: Call, params: Mapping[str, object], path: FieldPath) -> int:
    values = [resolve_integer(f"${{{each}}}" if isinstance(each, str) else each, params, path) for each in call.values]
    try:
        return call.result(*values)
    except ValueError as error:
        reason = f"{call.name}({', '.join(map(str, values))}) has no value: {error}"
        raise TemplateError(reason, "give other values", path=path) from None


def require_integers(*numbers: object) -> None:
    """Refuse a plan with anything else where integers belong."""
    if not all(isinstance(number, int) for number in numbers):
        raise TypeError("what must be integers is not")
