"""The shape of a template file, as schemas of pydantic's core: importing pydantic would cost each submit 90 ms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

from pydantic_core import SchemaValidator, ValidationError
from pydantic_core import core_schema as core

from streamsched.domain import duration, size
from streamsched.domain.child_spec import ChildSpec, of_stage
from streamsched.domain.command import Command
from streamsched.domain.fairness import Fairness
from streamsched.domain.limits import read_rate
from streamsched.domain.param import Param
from streamsched.domain.policy import FAIL_FAST, FailurePolicy, RetryPolicy
from streamsched.domain.refusal import FieldPath, TemplateError, suggest
from streamsched.domain.routing import read_queue
from streamsched.domain.splitters import SPLITTERS
from streamsched.domain.splitters.by import BySplit
from streamsched.domain.splitters.lines import LinesSplit
from streamsched.domain.splitters.port import Splitter
from streamsched.domain.template import Template
from streamsched.domain.variables import check_patterns

MISSING: Final = "is missing"
_EXPECTED: Final = {
    "string_type": ("a string", "put it in quotes"),
    "int_type": ("a whole number", "write it without quotes, unit or fraction"),
    "float_type": ("a number", "write it without quotes or unit"),
    "bool_type": ("true or false", "write true or false"),
    "list_type": ("a list", "write [a, b]"),
    "dict_type": ("an object", "write name: value lines under it"),
}


def duration_ms(value: object) -> int:
    """Read a duration: ``500ms``, ``30s``, ``1h30m``, or a number of seconds. Raise TemplateError."""
    milliseconds = duration.read(value)
    if milliseconds is None:
        remedy = "write 500ms, 30s, 10m, 1h30m or a number of seconds, at most 3650d; 0 means none"
        raise TemplateError(f"{value!r} is not a duration", remedy)
    return milliseconds


def size_bytes(value: object) -> int:
    """Read a size: ``2GB``, ``512MiB``, or a number of bytes. Raise TemplateError."""
    found = size.read(value)
    if found is None:
        raise TemplateError(f"{value!r} is not a size", "write 512MiB, 2GB or a number of bytes")
    return found


def tolerance(value: Any) -> object:
    """Read the short forms of ``tolerate``, a count or a percentage, as its object. Raise TemplateError."""
    return value if isinstance(value, dict) else FailurePolicy.tolerate(value).to_dict()


def list_of(value: Any) -> object:
    """Read the short form of ``list``: the ``@`` and path of a file."""
    return {"items": value} if isinstance(value, str) and value.startswith("@") else value


Schema = core.CoreSchema
Fields = dict[str, core.TypedDictField]


def _before(read: Callable[[Any], object], schema: Schema) -> Schema:
    return core.no_info_before_validator_function(read, schema)


def _field(schema: Schema, default: object = ..., *, alias: str | None = None) -> core.TypedDictField:
    """Describe a key of an object: required, or with a default."""
    if default is ...:
        return core.typed_dict_field(schema, required=True)
    filled = core.with_default_schema(schema, default=default)
    return core.typed_dict_field(filled, validation_alias=alias)


def _may_be_empty(schema: Schema) -> core.TypedDictField:
    """Describe a key whose object may be missing; all of its keys then have their defaults."""
    return core.typed_dict_field(core.with_default_schema(schema, default={}, validate_default=True))


def _object(fields: Fields) -> Schema:
    return core.typed_dict_schema(fields, extra_behavior="forbid", strict=True)


_ANY: Final = core.any_schema()
_TEXT: Final = core.str_schema(strict=True)
_BOOL: Final = core.bool_schema(strict=True)
_WHOLE: Final = core.int_schema(strict=True)
_DURATION: Final = _before(duration_ms, _WHOLE)
_PARAM: Final[Fields] = {
    "type": _field(_TEXT),
    "default": core.typed_dict_field(_ANY, required=False),
    "description": _field(_TEXT, ""),
    "enum": _field(core.list_schema(_ANY, strict=True), []),
    "minimum": _field(_ANY, None),
    "maximum": _field(_ANY, None),
    "min_length": _field(_ANY, None, alias="minLength"),
    "max_length": _field(_ANY, None, alias="maxLength"),
    "pattern": _field(core.nullable_schema(_TEXT), None),
    "items": _field(core.nullable_schema(_TEXT), None),
}
_SPLITTERS: Final[dict[str, Fields]] = {
    kind: {
        field.name: core.typed_dict_field(
            _ANY,
            required=field.default is dataclasses.MISSING,
            validation_alias=field.metadata.get("alias", field.name),
        )
        for field in dataclasses.fields(splitter)
        if not field.metadata.get("hidden")
    }
    for kind, splitter in SPLITTERS.items()
    if kind != "by"
}
_RETRY: Final[Fields] = {
    "max_attempts": _field(_WHOLE, 4),
    "initial_interval_ms": _field(_DURATION, 1000, alias="initial_interval"),
    "backoff": _field(core.float_schema(strict=True), 2.0),
    "max_interval_ms": _field(_DURATION, 0, alias="max_interval"),
    "non_retryable": _field(core.list_schema(_TEXT, strict=True), []),
    "reset_on_progress": _field(_BOOL, True),
}
_SPLIT: Final[Fields] = {
    **{kind: _field(core.nullable_schema(_object(known)), None) for kind, known in _SPLITTERS.items()},
    "list": _field(core.nullable_schema(_before(list_of, _object(_SPLITTERS["list"]))), None),
    "by": _field(core.nullable_schema(_TEXT), None),
    "args": _field(core.nullable_schema(core.dict_schema(_TEXT, _ANY, strict=True)), None),
    "timeout_ms": _field(_DURATION, 0, alias="timeout"),
    "retry": _field(core.nullable_schema(_object(_RETRY)), None),
}
_TEXTS: Final = core.dict_schema(_TEXT, _TEXT, strict=True)
_STAGE: Final[Fields] = {
    "args": _field(core.dict_schema(_TEXT, _ANY, strict=True), {}),
    "timeout_ms": _field(_DURATION, 0, alias="timeout"),
    "heartbeat_ms": _field(_DURATION, 0, alias="heartbeat"),
    "retry": _may_be_empty(_object(_RETRY)),
    "setup": _field(core.nullable_schema(_TEXT), None),
    "reuse": _field(_WHOLE, 0),
    "memory_bytes": _field(_before(size_bytes, _WHOLE), 0, alias="memory"),
    "needs": _field(_TEXTS, {}),
}
_COMMAND: Final[Fields] = {
    "env": _field(_TEXTS, {}),
    "cwd": _field(_TEXT, ""),
    "shell": _field(_BOOL, False),
    "exit_codes": _field(_TEXTS, {}),
}
_CHILD: Final[Fields] = {
    "handler": _field(core.nullable_schema(_TEXT), None),
    "command": _field(core.nullable_schema(core.list_schema(_TEXT, strict=True)), None),
    **_COMMAND,
    **_STAGE,
    "concurrency": _field(_WHOLE, 1),
}
_REDUCE: Final[Fields] = {"handler": _field(_TEXT), **_STAGE}
_TOLERATE: Final[Fields] = {"count": _field(_ANY, None), "percent": _field(_ANY, None)}
_RULE: Final[Fields] = {
    "do": _field(_TEXT),
    "error": _field(core.nullable_schema(_TEXT), None),
    "exit_code": _field(core.nullable_schema(_WHOLE), None),
    "message": _field(core.nullable_schema(_TEXT), None),
    "reason": _field(core.nullable_schema(_TEXT), None),
}
_FAILURE: Final[Fields] = {
    "tolerate": _may_be_empty(_before(tolerance, _object(_TOLERATE))),
    "on": _field(_TEXT, FAIL_FAST),
    "rules": _field(core.list_schema(_object(_RULE), strict=True), []),
}
_FAIRNESS: Final[Fields] = {"key": _field(_TEXT, ""), "weight": _field(_WHOLE, 1)}
TEMPLATE: Final[Fields] = {
    "name": _field(_TEXT),
    "params": _field(core.dict_schema(_TEXT, _object(_PARAM), strict=True), {}),
    "split": _field(_object(_SPLIT)),
    "child": _field(_object(_CHILD)),
    "reduce": _field(core.nullable_schema(_object(_REDUCE)), None),
    "failure": _may_be_empty(_object(_FAILURE)),
    "queue": _field(_TEXT, ""),
    "labels": _field(core.dict_schema(_TEXT, _TEXT, strict=True), {}),
    "deadline_ms": _field(_DURATION, 0, alias="deadline"),
    "parallelism": _field(_WHOLE, 0),
    "rate": _field(core.nullable_schema(_TEXT), None),
    "fairness": _may_be_empty(_object(_FAIRNESS)),
    "schedule": _field(_ANY, None),  # what schedule_file reads; a task has none
}
_OBJECTS: Final[dict[FieldPath, Fields]] = {
    (): TEMPLATE,
    ("params", "*"): _PARAM,
    ("split",): _SPLIT,
    **{("split", kind): known for kind, known in _SPLITTERS.items()},
    ("child",): _CHILD,
    ("split", "retry"): _RETRY,
    ("child", "retry"): _RETRY,
    ("reduce",): _REDUCE,
    ("reduce", "retry"): _RETRY,
    ("failure",): _FAILURE,
    ("failure", "tolerate"): _TOLERATE,
    ("failure", "rules", "*"): _RULE,
    ("fairness",): _FAIRNESS,
}
_validate: Final = SchemaValidator(_object(TEMPLATE)).validate_python


def build(value: object) -> Template:
    """Make a template of a parsed file. Raise an ExceptionGroup of all TemplateErrors that were found."""
    try:
        found = _validate(value)
    except ValidationError as error:
        raise ExceptionGroup("template", [_translate(problem) for problem in error.errors()]) from None
    try:
        return _template(found)
    except TemplateError as error:
        raise ExceptionGroup("template", [error]) from None


def _template(found: dict[str, Any]) -> Template:
    template = Template(
        name=found["name"],
        params={name: _declare(name, param) for name, param in found["params"].items()},
        split=_splitter(found["split"]),
        child=_stage("child", found["child"]),
        failure=FailurePolicy(**found["failure"].pop("tolerate"), **found["failure"]),
        reduce=None if found["reduce"] is None else _stage("reduce", found["reduce"]),
        split_timeout_ms=found["split"]["timeout_ms"],
        split_retry=_split_retry(found["split"]["retry"]),
        queue=read_queue(found["queue"]),
        labels=found["labels"],
        deadline_ms=found["deadline_ms"],
        parallelism=found["parallelism"],
        rate=None if found["rate"] is None else read_rate(found["rate"], ("rate",)),
        fairness=Fairness(**found["fairness"]),
    )
    check_patterns(template)
    return template


def _stage(name: str, fields: dict[str, Any]) -> ChildSpec:
    with of_stage(name):
        rest = {key: fields[key] for key in (*_STAGE, "concurrency") if key in fields}
        if rest["setup"] is not None:
            _check_handler(rest["setup"], ("child", "setup"))
        rest |= {"setup": rest["setup"] or "", "retry": RetryPolicy(**rest["retry"])}
        rest["needs"] = tuple(sorted(rest["needs"].items()))
        return ChildSpec(**{**rest, **_code(fields)})


def _code(fields: dict[str, Any]) -> dict[str, Any]:
    """Read what a stage runs: a handler or a program."""
    words = fields.get("command")
    if words is None:
        for name in _COMMAND:
            if fields.get(name):
                reason = f"{name} is for a command, and there is none"
                raise TemplateError(reason, "remove it, or write command", path=("child", name))
        if fields["handler"] is None:
            raise TemplateError(MISSING, "add it, or command", path=("child", "handler"))
        _check_handler(fields["handler"], ("child", "handler"))
        return {"handler": fields["handler"]}
    given = {name: fields[name] for name in _COMMAND}
    return {"handler": fields["handler"] or "", "command": Command(words=words, **given)}


def _split_retry(fields: dict[str, Any] | None) -> RetryPolicy | None:
    with of_stage("split"):
        return None if fields is None else RetryPolicy(**fields)


def _check_handler(text: str, path: FieldPath) -> None:
    """Refuse a name that no worker runs. A template in the journal may hold one; a new one may not."""
    module, _, function = text.partition(":")
    if "." in function:
        raise TemplateError(f"{text!r} is not a function of a module", "write package.module:function", path=path)
    if function.startswith("_"):
        remedy = "give the function a name without an underscore before it"
        raise TemplateError(f"{text!r} is private, and workers do not run it", remedy, path=path)
    if function and not all(part.isidentifier() for part in (*module.split("."), function)):
        raise TemplateError(f"{text!r} is not an import path", "write package.module:function", path=path)


def _declare(name: str, param: dict[str, Any]) -> Param:
    if param.get("default", ...) is None:
        path: FieldPath = ("params", name, "default")
        raise TemplateError("null is not a value", "remove the line to make the variable required", path=path)
    return Param(**{**param, "enum": tuple(param["enum"])})


def _splitter(split: dict[str, Any]) -> Splitter:
    given = [kind for kind in SPLITTERS if split[kind] is not None]
    if not given:
        *most, last = SPLITTERS
        raise TemplateError("there is no splitter", f"add {', '.join(most)} or {last}", path=("split",))
    if len(given) > 1:
        raise TemplateError(f"two splitters, {given[0]} and {given[1]}", "keep one of them", path=("split",))
    (kind,) = given
    fields, args = split[kind], split["args"]
    if kind == "by":
        _check_handler(fields, ("split", "by"))
        return BySplit(function=fields, args=args or {})
    if args is not None:
        raise TemplateError(f"has no meaning for {kind}: it is for by", "remove it", path=("split", "args"))
    if kind == "list" and isinstance(fields["items"], str) and fields["items"].startswith("@"):
        file = fields.pop("items").removeprefix("@")
        return LinesSplit(file=file, **fields)
    return SPLITTERS[kind](**fields)


def _translate(problem: Any) -> TemplateError:
    path: FieldPath = problem["loc"]
    kind, value = problem["type"], problem["input"]
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, TemplateError):
        return TemplateError(cause.reason, cause.remedy, path=path)
    if kind == "extra_forbidden":
        places: FieldPath = tuple("*" if isinstance(step, int) else step for step in path[:-1])
        parent = ("params", "*") if path[0] == "params" else places
        fields = _OBJECTS[parent].items()
        remedy = suggest(str(path[-1]), [str(field.get("validation_alias", name)) for name, field in fields])
        what = "splitter" if parent == ("split",) else "key"
        return TemplateError(f"unknown {what} {path[-1]}", remedy, path=path)
    if kind == "missing":
        return TemplateError(MISSING, "add it", path=path)
    wanted, remedy = _EXPECTED.get(kind, (problem["msg"], "see docs/template.md"))
    return TemplateError(f"must be {wanted}, not {_shown(value)}", remedy, path=path)


def _shown(value: object) -> str:
    names = {dict: "an object", list: "a list", type(None): "empty"}
    text = names.get(type(value)) or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
