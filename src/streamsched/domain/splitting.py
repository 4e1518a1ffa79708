"""The plan of a task: how its input is cut, from which the arguments of any child follow by its index alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from msgspec import convert

from streamsched.domain import values
from streamsched.domain.bounds import CHILDREN_LIMIT, PAYLOAD_LIMIT
from streamsched.domain.options import SPLIT, InputFile, Options, SplitOptions, write_options
from streamsched.domain.placeholders import CHILD, Hole, JsonText, encode
from streamsched.domain.refusal import TemplateError
from streamsched.domain.splitters.outside import OutsideSplitter
from streamsched.domain.splitters.port import Splitter
from streamsched.domain.template import Template

_MISFITS: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What a splitter raises for a plan that it did not make."""
_NUMBER_WIDTH: Final = 20
"""Characters of the widest integer of 64 bits."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of children, a JSON document of the splitter with its resolved input, and its SHA-256 in hex.

    With ``split`` a split child finds the children: there are 0 so far, and no ``arguments``.
    """

    children: int
    document: str
    digest: str
    split: bool = False
    arguments: ChildArguments | None = field(default=None, compare=False, repr=False)


def plan(template: Template, params: Mapping[str, object]) -> Plan:
    """Cut the input of a task, whose parameters are resolved; an empty input gives 0 children.

    Raise TemplateError for a size below 1, too many children, and too large a list or arguments of a child.
    """
    split = template.split
    try:
        document = encode({split.kind: split.resolve(params)})
        arguments = None if split.outside else _checked(ChildArguments(template, params, document), split)
        if arguments is None:
            outside(template).check_input(_fields(document, split), _Form(template, params).holes)
            split_options(template, params, document)
        reduce_arguments(template, params)
        template.fairness.key_of(params)
    except TemplateError as error:
        raise error.of(template.name) from None
    children = 0 if arguments is None else arguments.children
    return Plan(children, document, sha256(document.encode()).hexdigest(), split.outside, arguments)


def _checked(arguments: ChildArguments, split: Splitter) -> ChildArguments:
    if arguments.children > CHILDREN_LIMIT:
        reason = f"the split gives {arguments.children:,} children, the limit is {CHILDREN_LIMIT:,}"
        raise TemplateError(reason, "choose a larger size", path=("split", split.kind))
    arguments.validate()
    return arguments


class _Form:
    """The arguments of all children of a task: what is the same for all, and holes for the variables of each."""

    __slots__ = ("fixed", "holes", "text")

    def __init__(self, template: Template, params: Mapping[str, object]) -> None:
        path = ("child",) if template.child.command else ("child", "args")
        parts = JsonText(template.child.filled, params, path=path, limit=PAYLOAD_LIMIT).parts
        keys = {part: _key(part, template.split) for part in parts if isinstance(part, Hole)}
        self.text = "".join(part.replace("%", "%%") if isinstance(part, str) else f"%({keys[part]})s" for part in parts)
        self.fixed = sum(len(part) for part in parts if isinstance(part, str))
        self.holes = [keys[part] for part in parts if isinstance(part, Hole)]


class ChildArguments:
    """The arguments of every child of one task: call it with a child's index to get their JSON text.

    What is the same for every child is encoded once; a call fills in the child's own variables. Raise TemplateError
    where template, parameters and plan do not fit together.
    """

    __slots__ = ("_cut", "_form", "children")

    def __init__(self, template: Template, params: Mapping[str, object], document: str) -> None:
        self._form = _Form(template, params)
        try:
            fields = _fields(document, template.split)
            self._cut = template.split.cut(set(self._form.holes), **fields)
        except _MISFITS as error:
            raise _refusal(error) from None
        self.children = self._cut.children

    def __call__(self, index: int) -> str:
        """Return the arguments of child ``index`` as JSON text. Raise IndexError beyond the last, or TemplateError."""
        if not 0 <= index < self.children:
            raise IndexError(index)
        try:
            return self._form.text % self._cut.variables(index)
        except _MISFITS as error:
            raise _refusal(error) from None

    def validate(self) -> None:
        """Refuse a task that has a child whose arguments may be above 256 KiB. Raise TemplateError."""
        if self.children == 0:
            return
        widths = self._cut.widths()
        size = self._form.fixed + sum(widths[key] for key in self._form.holes)
        if size > PAYLOAD_LIMIT:
            reason = f"the arguments of a child have up to {size:,} bytes, the limit is {PAYLOAD_LIMIT:,}"
            remedy = "choose a smaller size, or pass large data by reference (a path, an address)"
            raise TemplateError(reason, remedy, path=("child", "args"))


class EntryArguments:
    """The arguments of the children of a task with a split child: call it with an index and the entry of that child.

    ``plan`` is the document of the plan. Raise TemplateError where template, plan and entry do not fit together.
    """

    __slots__ = ("_form", "_splitter", "_variables")

    def __init__(self, template: Template, params: Mapping[str, object], plan: str) -> None:
        self._form = _Form(template, params)
        try:
            _fields(plan, template.split)
            self._splitter = outside(template)
            self._variables = self._splitter.entry_variables
        except _MISFITS as error:
            raise _refusal(error) from None

    def __call__(self, index: int, entry: object) -> str:
        """Return the arguments of a child as JSON text. Raise TemplateError."""
        try:
            return self._form.text % {"index": index, **self._variables(entry)}
        except _MISFITS as error:
            raise _refusal(error) from None

    def inputs(self, entry: object) -> tuple[InputFile, ...]:
        """Return the files that the child of an entry reads. Raise TemplateError."""
        try:
            return convert(self._splitter.entry_inputs(entry), tuple[InputFile, ...])
        except _MISFITS as error:
            raise _refusal(error) from None


def outside(template: Template) -> OutsideSplitter:
    """Return the splitter of a template that has a split child. Raise TypeError for any other."""
    split = template.split
    if not isinstance(split, OutsideSplitter):
        raise TypeError(f"a {split.kind} splitter has no split child")
    return split


def item_limit(template: Template, params: Mapping[str, object]) -> int:
    """Return the bytes that a text of an entry may have, inside a string, for the arguments of its child to fit.

    Raise TemplateError where not one is left.
    """
    form, texts = _Form(template, params), template.split.texts
    holes = [key for key in form.holes if key.removesuffix("~") in texts]
    left = PAYLOAD_LIMIT - form.fixed - _NUMBER_WIDTH * (len(form.holes) - len(holes))
    limit = left // max(1, len(holes))
    if limit < 1:
        reason = f"the arguments of a child leave no room for its own within {PAYLOAD_LIMIT:,} bytes"
        raise TemplateError(reason, "pass large data by reference (a path, an address)", path=("child", "args"))
    return limit


def split_options(template: Template, params: Mapping[str, object], document: str) -> str:
    """Return the options of the split child of a plan. Raise TemplateError above 256 KiB."""
    kind, limit = template.split.kind, item_limit(template, params)
    text = write_options(Options(SPLIT, split=SplitOptions(kind, split_input(document), limit)))
    if len(text) > PAYLOAD_LIMIT:
        reason = f"the input of the split has {len(text):,} bytes, the limit is {PAYLOAD_LIMIT:,}"
        raise TemplateError(reason, "name fewer paths, or a file that lists them", path=("split", kind))
    return text


def split_input(document: str) -> str:
    """Return what the generator of a plan gets, as JSON: the plan without the name of its splitter."""
    ((_, fields),) = values.read(document).items()
    return encode(fields)


def _fields(document: str, split: Splitter) -> Any:
    ((kind, fields),) = values.read(document).items()
    if kind != split.kind:
        raise ValueError(f"it is for {kind}, the template has {split.kind}")
    return fields


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
