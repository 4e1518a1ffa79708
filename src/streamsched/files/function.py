"""A template from a function: the document that its file would hold, from its signature and what the decorator says."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import FunctionType, NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Final, Literal, NoReturn, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
import yaml

from streamsched.domain.errors import InputError
from streamsched.domain.placeholders import CHILD, kept, references
from streamsched.domain.refusal import FieldPath, TemplateError, dotted
from streamsched.domain.splitters import SPLITTERS
from streamsched.files.source import Document, is_other
from streamsched.split import Split, plain

Fields = Mapping[str, Any]
_Function = tuple[FunctionType, list[inspect.Parameter]]
_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_BY_PLACE: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_TYPES: Final = (
    (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (Mapping, "object"), (Sequence, "array"),
    (Set, "array"), (date, "string"), (time, "string"), (timedelta, "string"), (UUID, "string"), (Decimal, "string"),
    (PurePath, "string"),
)  # fmt: skip
"""The first that a class is derived from is its type: a bool is an int, a string is a sequence."""
_FIELDS: Final = ("__dataclass_fields__", "__struct_fields__", "__pydantic_fields__")
"""What classes have whose objects are made from a JSON object: dataclasses, msgspec's structs, pydantic's models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``@streamsched.job`` is given.

    ``child`` are the fields of ``child:`` but ``handler`` and ``args``, ``others`` those of the template that have no
    option here: each stands in the template as it was given.
    """

    split: Split
    name: str | None = None
    args: Fields = field(default_factory=dict)
    params: Fields = field(default_factory=dict)
    child: Fields = field(default_factory=dict)
    reduce: Callable[..., Any] | Fields | None = None
    others: Fields = field(default_factory=dict)


def document_of(function: FunctionType, options: Options) -> Document:
    """Return the content of the template's file, without what has its default. Raise InputError."""
    try:
        value = kept(_Reading(function, options).document())
    except TemplateError as error:
        raise InputError(error.reason, error.remedy, source=_source(function), field=dotted(error.path)) from None
    return Document(_source(function), value, numbered=False)


def yaml_of(document: Document) -> str:
    """Write a document as YAML."""
    text: str = yaml.dump(document.value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return text


class _Dumper(yaml.SafeDumper):
    """Writes what template files read: no aliases, and in quotes each text that would be another value there."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="'" if is_other(text) else None)


_Dumper.add_representer(str, _Dumper.text)


class _Reading:
    """One function that is being read."""

    def __init__(self, function: FunctionType, options: Options) -> None:
        self._function = function
        self._options = options
        self._makers: list[_Function] = []
        self._split = options.split
        if callable(options.split.fields.get("function")):
            self._split = self._by(options.split)
        self._args: dict[str, Any] = plain(options.args)
        self._declared = {name: _declared(name, said) for name, said in options.params.items()}

    def document(self) -> dict[str, Any]:
        """Return the document. Raise InputError, TemplateError."""
        options, function = self._options, self._function
        handler = import_path(function)
        if "handler" in options.child:
            raise TemplateError("is the function itself", "remove it", path=("child", "handler"))
        functions = [(function, _named(function, "the context"))]
        args = self._filled(functions[0][1])
        reduce = None if options.reduce is None else dict(_reduce_fields(options.reduce))
        if reduce is not None and callable(reduce.get("handler")):
            reducer = _plain_function(reduce["handler"], ("reduce", "handler"))
            self._makers.append((reducer, _named(reducer, "the context", "the results")))
            reduce |= {"handler": import_path(reducer), "args": _of_task(self._makers[-1], reduce.get("args"))}
        split = self._split.document()
        used = {name for _, name in references([split, args, plain(reduce)], ())}
        for each, parameters in [*functions, *self._makers]:
            self._declare(each, parameters, used)
        document = {
            "name": options.name or function.__name__,
            "params": self._declared,
            "split": split,
            "child": _without_empty({"handler": handler, "args": args, **self._child()}),
            "reduce": reduce and _without_empty(plain(reduce)),
            **plain(options.others),
        }
        return _without_empty(document)

    def _by(self, split: Split) -> Split:
        """Return ``split.by`` with the name of its function in place of it."""
        maker = _plain_function(split.fields["function"], ("split", "by"))
        self._makers.append((maker, _named(maker, "the context")))
        named = {"function": import_path(maker), "args": _of_task(self._makers[-1], split.fields["args"])}
        return replace(split, fields=named)

    def _child(self) -> dict[str, Any]:
        """Return the other fields of ``child``; a function is named."""
        return {
            name: import_path(_plain_function(value, ("child", name)))
            if callable(value) and not isinstance(value, type)
            else plain(value)
            for name, value in self._options.child.items()
        }

    def _filled(self, parameters: Collection[inspect.Parameter]) -> dict[str, Any]:
        """Return the arguments of a child: as given, by the names of its variables, of the task's variables."""
        split = self._split
        kind, given = SPLITTERS[split.kind], split.given()
        fields = {each.name: each.metadata.get("alias", each.name) for each in dataclasses.fields(kind)}
        splitter = kind(**{name: given[said] for name, said in fields.items() if said in given})
        variables = {name.removeprefix("point."): name for name in splitter.variables}
        names = [each.name for each in parameters]
        takes_all = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in _all(self._function))
        for name in self._args:
            if name not in names and not takes_all:
                reason = f"{self._function.__name__} has no parameter {name!r}"
                raise TemplateError(reason, f"its parameters are {', '.join(names) or 'none'}", path=("args", name))
        found = {name: f"${{{CHILD}{variables[name]}}}" for name in names if name in variables} | self._args
        if split.main and not found:
            first = next((each.name for each in parameters if each.default is each.empty), None)
            found = {} if first is None else {first: f"${{{CHILD}{split.main}}}"}
        return {name: found.get(name, f"${{{name}}}") for name in names} | found

    def _declare(self, function: FunctionType, parameters: Iterable[inspect.Parameter], used: Collection[str]) -> None:
        """Declare those parameters that are variables of the task; what ``params=`` says of one comes first."""
        for each in parameters:
            if each.name not in used:
                continue
            said = self._declared.get(each.name, {})
            derived = {} if "type" in said else _typed(_annotation(function, each), each.name)
            if each.default is not each.empty and "default" not in said:
                if each.default is None:
                    remedy = f"give it another default, or leave it out of the variables: args={{{each.name!r}: None}}"
                    raise TemplateError("null is not a value", remedy, path=("params", each.name, "default"))
                derived["default"] = as_json(each.default)
            self._declared[each.name] = derived | said


def as_json(value: Any) -> Any:
    """Return what an executor makes this value from: a date's text, a dataclass's fields. JSON stays as it is."""
    try:
        return msgspec.to_builtins(value, builtin_types=(bytes, bytearray, memoryview), enc_hook=_made)
    except (TypeError, ValueError):
        return value  # the template, or its variables, say what is wrong with it


def _made(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(value)


def import_path(function: FunctionType) -> str:
    """Return ``package.module:function``. Raise InputError for what no worker can import."""
    name, module, qualified = function.__name__, function.__module__, function.__qualname__
    if name == "<lambda>":
        raise _refusal(function, "is a lambda, which a worker cannot import", "write def, at the top of a module")
    if "<locals>" in qualified:
        reason = f"is defined inside {qualified.rpartition('.<locals>')[0]}, where a worker cannot import it"
        raise _refusal(function, reason, "move it to the top of its module")
    if "." in qualified:
        raise _refusal(function, "is a method, which a worker cannot import", "write a function of a module")
    if module == "__main__":
        reason = "is in __main__, the file that Python was started with, which a worker cannot import"
        remedy = f"move it into a module of its own, as jobs.py, and write 'from jobs import {name}' here"
        raise _refusal(function, reason, remedy)
    return f"{module}:{name}"


def _reduce_fields(said: Callable[..., Any] | Fields) -> Fields:
    return said if isinstance(said, Mapping) else {"handler": said}


def _without_empty(fields: Fields) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, {})}


def _source(function: FunctionType) -> str:
    return f"job {function.__name__}"


def _refusal(function: FunctionType, reason: str, remedy: str) -> InputError:
    return InputError(f"the function {reason}", remedy, source=_source(function))


def _plain_function(function: object, path: FieldPath) -> FunctionType:
    if isinstance(function, FunctionType):
        return function
    raise TemplateError(f"{function!r} is not a function", "give a function of a module", path=path)


def _of_task(of: _Function, args: Fields | None) -> dict[str, Any]:
    """Return arguments as given, and for other parameters the task's variables of their names."""
    return {each.name: f"${{{each.name}}}" for each in of[1]} | dict(args or {})


def _all(function: FunctionType) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _named(function: FunctionType, *first: str) -> list[inspect.Parameter]:
    """Return the parameters that are given by their names, behind those of the ``first`` that are not."""
    known = _all(function)
    if len(known) < len(first) or any(each.kind not in _BY_PLACE for each in known[: len(first)]):
        reason = f"{function.__name__}{inspect.signature(function)} does not take {' and '.join(first)} first"
        shown = {"the context": "ctx", "the results": "results"}
        remedy = f"write def {function.__name__}({', '.join(shown[each] for each in first)}, ...)"
        raise InputError(reason, remedy, source=_source(function))
    rest = known[len(first) :]
    for each in rest:
        if each.kind is inspect.Parameter.POSITIONAL_ONLY:
            reason = f"the parameter {each.name} can only be given by its place"
            raise InputError(reason, "arguments are given by name: move the / before it", source=_source(function))
    return [each for each in rest if each.kind in _BY_NAME]


def _annotation(function: FunctionType, parameter: inspect.Parameter) -> Any:
    """Return a parameter's annotation; without one, the type of its default."""
    said = parameter.annotation
    if said is parameter.empty:
        return Any if parameter.default is parameter.empty else type(parameter.default)
    if not isinstance(said, str):
        return said
    alone = SimpleNamespace(__annotations__={"it": said})  # others may name what only a type checker knows
    try:
        return get_type_hints(alone, inspect.unwrap(function).__globals__, include_extras=True)["it"]
    except Exception as error:  # an annotation may raise anything
        reason = f"its annotation {said!r} has no value here ({type(error).__name__}: {error})"
        _refuse_type(parameter.name, reason)


def _declared(name: str, said: Any) -> dict[str, Any]:
    """Return what ``params=`` says of a variable: the fields of a template, or a type."""
    found: dict[str, Any] = plain(said) if isinstance(said, Mapping) else _typed(said, name)
    return found


def _typed(annotation: Any, name: str) -> dict[str, Any]:
    """Return the type of a variable, as a template has it. Raise TemplateError."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        members = [each for each in get_args(annotation) if each is not NoneType]
        if len(members) == 1:
            return _typed(members[0], name)
    is_enum = isinstance(annotation, type) and issubclass(annotation, Enum)
    if is_enum or get_origin(annotation) is Literal:
        allowed = [as_json(each) for each in (annotation if is_enum else get_args(annotation))]
        if len({type(each) for each in allowed}) == 1:
            return {**_typed(type(allowed[0]), name), "enum": allowed}
    kind = _kind(annotation)
    if kind is None:
        _refuse_type(name, _unfit(annotation))
    entries = get_args(annotation)
    items = _kind(entries[0]) if kind == "array" and entries else None
    return {"type": kind} if items is None else {"type": kind, "items": items}


def _kind(annotation: Any) -> str | None:
    origin = get_origin(annotation) or annotation
    if origin in (Iterable, Collection):
        return "array"
    if not isinstance(origin, type) or issubclass(origin, bytes | bytearray | memoryview):
        return None
    if any(hasattr(origin, fields) for fields in _FIELDS):
        return "object"
    return next((kind for base, kind in _TYPES if issubclass(origin, base)), None)


def _unfit(annotation: Any) -> str:
    if annotation is Any:
        return "has no type"
    shown = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    return f"{shown} is not a type that a variable can have"


def _refuse_type(name: str, reason: str) -> NoReturn:
    remedy = f"annotate it with int, float, str, bool, list or dict, or say params={{{name!r}: {{'type': ...}}}}"
    raise TemplateError(reason, remedy, path=("params", name))
