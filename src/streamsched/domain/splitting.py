"""The plan of a task: how its input is cut, from which the arguments of any child follow by its index alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from streamsched.domain import values
from streamsched.domain.bounds import CHILDREN_LIMIT, PAYLOAD_LIMIT
from streamsched.domain.placeholders import CHILD, Hole, JsonText, encode
from streamsched.domain.refusal import TemplateError
from streamsched.domain.splitters.port import Splitter
from streamsched.domain.template import Template

_MISFITS: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What a splitter raises for a plan that it did not make."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of children, a JSON document of the splitter with its resolved input, and its SHA-256 in hex."""

    children: int
    document: str
    digest: str


def plan(template: Template, params: Mapping[str, object]) -> Plan:
    """Cut the input of a task, whose parameters are resolved; an empty input gives 0 children.

    Raise TemplateError for a size below 1, too many children, and too large a list or arguments of a child.
    """
    split = template.split
    try:
        document = encode({split.kind: split.resolve(params)})
        arguments = ChildArguments(template, params, document)
        if arguments.children > CHILDREN_LIMIT:
            reason = f"the split gives {arguments.children:,} children, the limit is {CHILDREN_LIMIT:,}"
            raise TemplateError(reason, "choose a larger size", path=("split", split.kind))
        arguments.validate()
        reduce_arguments(template, params)
    except TemplateError as error:
        raise error.of(template.name) from None
    return Plan(arguments.children, document, sha256(document.encode()).hexdigest())


class ChildArguments:
    """The arguments of every child of one task: call it with a child's index to get their JSON text.

    What is the same for every child is encoded once; a call fills in the child's own variables. Raise TemplateError
    where template, parameters and plan do not fit together.
    """

    __slots__ = ("_cut", "_fixed", "_format", "_holes", "children")

    def __init__(self, template: Template, params: Mapping[str, object], document: str) -> None:
        path = ("child",) if template.child.command else ("child", "args")
        text = JsonText(template.child.filled, params, path=path, limit=PAYLOAD_LIMIT)
        split = template.split
        keys = {part: _key(part, split) for part in text.parts if isinstance(part, Hole)}
        self._format = "".join(
            part.replace("%", "%%") if isinstance(part, str) else f"%({keys[part]})s" for part in text.parts
        )
        self._fixed = sum(len(part) for part in text.parts if isinstance(part, str))
        self._holes = [keys[part] for part in text.parts if isinstance(part, Hole)]
        try:
            ((kind, fields),) = values.read(document).items()
            if kind != split.kind:
                raise ValueError(f"it is for {kind}, the template has {split.kind}")
            self._cut = split.cut(set(self._holes), **fields)
        except _MISFITS as error:
            raise _refusal(error) from None
        self.children = self._cut.children

    def __call__(self, index: int) -> str:
        """Return the arguments of child ``index`` as JSON text. Raise IndexError beyond the last, or TemplateError."""
        if not 0 <= index < self.children:
            raise IndexError(index)
        try:
            return self._format % self._cut.variables(index)
        except _MISFITS as error:
            raise _refusal(error) from None

    def validate(self) -> None:
        """Refuse a task that has a child whose arguments may be above 256 KiB. Raise TemplateError."""
        if self.children == 0:
            return
        widths = self._cut.widths()
        size = self._fixed + sum(widths[key] for key in self._holes)
        if size > PAYLOAD_LIMIT:
            reason = f"the arguments of a child have up to {size:,} bytes, the limit is {PAYLOAD_LIMIT:,}"
            remedy = "choose a smaller size, or pass large data by reference (a path, an address)"
            raise TemplateError(reason, remedy, path=("child", "args"))


def _refusal(error: Exception) -> TemplateError:
    if isinstance(error, TemplateError):
        return error
    reason = f"this is not a plan of a splitter known here ({type(error).__name__}: {error})"
    return TemplateError(reason, "use a version that knows the splitter", path=("split",))


def reduce_arguments(template: Template, params: Mapping[str, object]) -> str:
    """Return the JSON text of the reduce's arguments; empty without one. Raise TemplateError above 256 KiB."""
    if template.reduce is None:
        return ""
    text = JsonText(template.reduce.args, params, path=("reduce", "args"), limit=PAYLOAD_LIMIT)
    return "".join(part for part in text.parts if isinstance(part, str))


def _key(hole: Hole, split: Splitter) -> str:
    name = hole.name.removeprefix(CHILD)
    return f"{name}~" if hole.inside and name in split.texts else name
