"""The shape of template and schedule files as JSON Schema (draft 2020-12), for editors.

Keys, types and what is needed come from the tables that check the files. ``_SHAPES`` adds what their values are
checked for afterwards, as far as a schema can say it. It may let through what is refused; never the other way round.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, get_type_hints

import msgspec

from streamsched.domain import duration, size
from streamsched.domain.bounds import COUNT_END
from streamsched.domain.calendar.fields import DAY_OF_WEEK, FIELDS, Field
from streamsched.domain.calendar.moment import RFC_3339
from streamsched.domain.calendar.pattern import DayMatch
from streamsched.domain.calendar.zone import Fold, Gap
from streamsched.domain.child_spec import CONCURRENCY_LIMIT, LEAST_MEMORY
from streamsched.domain.command import CODE, FAIL, RETRY
from streamsched.domain.failure_rules import ACTIONS, REASONS
from streamsched.domain.fairness import WEIGHT_LIMIT
from streamsched.domain.labels import LABEL_NAME, LABELS_LIMIT, VALUE_LIMIT
from streamsched.domain.limits import RATE_TEXT
from streamsched.domain.overlap import CATCHUP_LIMIT, RUNS_LIMIT, Overlap
from streamsched.domain.param import TYPES, TYPES_OF
from streamsched.domain.placeholders import INTEGER_LIMIT, NAME
from streamsched.domain.policy import FAIL_FAST, RUN_ALL
from streamsched.domain.refusal import FieldPath
from streamsched.domain.routing import NAME as PLACE_NAME
from streamsched.domain.splitters import SPLITTERS
from streamsched.domain.splitters.bytes import FORMATS
from streamsched.domain.splitters.dates import EVERY, TIME
from streamsched.domain.splitters.functions import PATTERN
from streamsched.domain.splitters.topic import EARLIEST, LATEST, TOPIC_NAME
from streamsched.domain.template import TEMPLATE_NAME
from streamsched.files.schedule_file import POLICY, TASKS, TIMES
from streamsched.files.template_model import TEMPLATE, duration_ms, list_of, size_bytes, tolerance

Shape = dict[str, Any]
KINDS: Final = ("template", "schedule")


def json_schema(kind: str) -> Shape:
    """Return the schema of a kind of file, one of ``KINDS``."""
    root = _REFERENCES["template"] if kind == "template" else _SCHEDULE_FILE
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"streamsched {kind}",
        **root,
        "$defs": {
            "template": _translated({"type": "typed-dict", "fields": TEMPLATE}),
            "schedule": _schedule(*TIMES, *POLICY, *TASKS),
            "schedule_of_template": _schedule(*TIMES, *POLICY, *(name for name in TASKS if name != "template")),
        },
    }


def schema_text(kind: str) -> str:
    """Return it as the text of a file."""
    return json.dumps(json_schema(kind), indent=2) + "\n"


# --- parts ----------------------------------------------------------------------------------------------------------


def _whole(pattern: re.Pattern[str]) -> Shape:
    return {"type": "string", "pattern": f"^(?:{pattern.pattern})$"}


def _any_of(*shapes: Shape) -> Shape:
    return {"anyOf": [each for shape in shapes for each in (shape["anyOf"] if [*shape] == ["anyOf"] else [shape])]}


def _some(shape: Shape) -> Shape:
    """Return the shape of a part, or of a list of parts."""
    return _any_of(shape, {"type": "array", "items": shape})


def _object(properties: Shape, required: Iterable[str] = (), **more: Any) -> Shape:
    needed = sorted(required)
    return {
        "type": "object", "properties": properties, "additionalProperties": False,
        **({"required": needed} if needed else {}), **more,
    }  # fmt: skip


def _given(name: str, value: Shape) -> Shape:
    """Return the shape of an object in which this key has such a value."""
    return {"properties": {name: value}, "required": [name]}


_REFERENCES: Final[Mapping[str, Shape]] = {
    name: {"$ref": f"#/$defs/{name}"} for name in ("template", "schedule", "schedule_of_template")
}
_NOT_NULL: Final[Shape] = {"not": {"type": "null"}}
_PLACEHOLDER: Final[Shape] = {"type": "string", "pattern": rf"^\$\{{{NAME.pattern}\}}$"}
_HOLDS_PLACEHOLDER: Final[Shape] = {"type": "string", "pattern": r"\$\{"}
_LONGEST_S: Final = duration.LONGEST_MS // 1000
_DURATION: Final = _any_of(
    {"type": "string", "minLength": 1, **_whole(duration.TEXT)}, {"type": "number", "minimum": 0, "maximum": _LONGEST_S}
)
_COUNT: Final[Shape] = {"type": "integer", "minimum": 0}
_MAY_COUNT: Final[Shape] = {"type": ["integer", "null"], "minimum": 0}
_STAGES: Final = ("child", "reduce")
_HANDLER: Final = r"^[^\s:./\\-]+(\.[^\s:./\\-]+)*:[^\s:./\\_-][^\s:./\\-]*$"


def _integer(minimum: int = -INTEGER_LIMIT) -> Shape:
    numbers = {"type": "integer", "minimum": minimum, "maximum": INTEGER_LIMIT - 1}
    return _any_of(numbers, _PLACEHOLDER, {"type": "string", "pattern": f"^{PATTERN}$"})


def _param_rules() -> Iterable[Shape]:
    """Say which words a type has, and that default, enum and entries are of it."""
    for name, types in TYPES_OF.items():
        yield {"if": _given(name, _NOT_NULL), "then": {"properties": {"type": {"enum": list(types)}}}}
    for name in TYPES:
        own: Shape = {"type": name}
        yield {
            "if": _given("type", {"const": name}),
            "then": {"properties": {"default": own, "enum": {"items": own}}},
        }
        yield {
            "if": _given("items", {"const": name}),
            "then": {"properties": {"default": {"type": "array", "items": own}}},
        }


_SIZE: Final = _integer(1)
_AXIS: Final = _any_of(
    {"type": "array"}, _PLACEHOLDER, _object({"first": _integer(), "last": _integer()}, ("first", "last"))
)
_FILLED: Final[Shape] = {"type": "string", "minLength": 1}
_IN_FILE: Final[Shape] = {"type": "string", "pattern": "^@."}
_PATHS: Final = _any_of(_FILLED, {"type": "array", "items": _FILLED, "minItems": 1})
_BYTES: Final = _any_of(_SIZE, _whole(size.TEXT))
_MOMENT: Final[Shape] = {**_whole(RFC_3339), "format": "date-time"}
_TIME: Final = _any_of(_whole(TIME), _HOLDS_PLACEHOLDER)
_SHAPES: Final[Mapping[FieldPath, Shape]] = {
    ("name",): _whole(TEMPLATE_NAME),
    ("params",): {"propertyNames": {**_whole(NAME), "not": {"const": "child"}}},
    ("params", "*"): {"allOf": list(_param_rules())},
    ("params", "*", "type"): {"enum": list(TYPES)},
    ("params", "*", "items"): {"enum": [*TYPES, None]},
    ("params", "*", "default"): _NOT_NULL,
    **{("params", "*", name): {"type": ["number", "null"]} for name in ("minimum", "maximum")},
    **{("params", "*", name): _MAY_COUNT for name in ("minLength", "maxLength")},
    ("split",): {"oneOf": [_given(kind, _NOT_NULL) for kind in SPLITTERS]},
    ("split", "range", "size"): _SIZE,
    ("split", "list", "items"): _any_of({"type": "array"}, _PLACEHOLDER, _IN_FILE),
    ("split", "list", "size"): _SIZE,
    ("split", "grid", "size"): _SIZE,
    ("split", "grid", "axes"): {"minProperties": 1, "propertyNames": _whole(NAME), "additionalProperties": _AXIS},
    ("split", "dates", "start"): _TIME,
    ("split", "dates", "end"): _TIME,
    ("split", "dates", "every"): _any_of({"enum": list(EVERY)}, _HOLDS_PLACEHOLDER),
    ("split", "lines", "file"): _FILLED,
    ("split", "lines", "size"): _SIZE,
    ("split", "files", "glob"): _PATHS,
    ("split", "files", "count"): _any_of(_SIZE, {"type": "null"}),
    ("split", "files", "bytes"): _any_of(_BYTES, {"type": "null"}),
    ("split", "bytes", "files"): _PATHS,
    ("split", "bytes", "size"): _BYTES,
    ("split", "bytes", "format"): {"enum": list(FORMATS)},
    ("split", "topic", "name"): _any_of(_whole(TOPIC_NAME), _HOLDS_PLACEHOLDER),
    ("split", "topic", "from"): _any_of({"const": EARLIEST}, _MOMENT, _HOLDS_PLACEHOLDER),
    ("split", "topic", "to"): _any_of({"const": LATEST}, _MOMENT, _HOLDS_PLACEHOLDER),
    ("split", "topic", "size"): _SIZE,
    ("split", "by"): _any_of({"type": "string", "pattern": _HANDLER}, {"type": "null"}),
    ("child",): {"oneOf": [_given("handler", {"type": "string"}), _given("command", {"type": "array"})]},
    ("child", "handler"): {"pattern": _HANDLER},
    **{(stage, "setup"): _any_of({"type": "string", "pattern": _HANDLER}, {"type": "null"}) for stage in _STAGES},
    **{(stage, "reuse"): _COUNT for stage in _STAGES},
    **{(stage, "needs"): {"maxProperties": LABELS_LIMIT, "propertyNames": _whole(PLACE_NAME)} for stage in _STAGES},
    **{(stage, "needs", "*"): _whole(PLACE_NAME) for stage in _STAGES},
    ("child", "concurrency"): {"minimum": 1, "maximum": CONCURRENCY_LIMIT},
    ("child", "command"): {"minItems": 1},
    ("child", "exit_codes"): {"propertyNames": _whole(CODE)},
    ("child", "exit_codes", "*"): {"enum": [RETRY, FAIL]},
    ("child", "env"): {"propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}},
    **{(stage, "retry", "max_attempts"): _COUNT for stage in ("split", "child")},
    **{(stage, "retry", "backoff"): {"minimum": 1, "maximum": 1000} for stage in ("split", "child")},
    ("failure", "on"): {"enum": [FAIL_FAST, RUN_ALL]},
    ("failure", "tolerate", "count"): _MAY_COUNT,
    ("failure", "tolerate", "percent"): {"type": ["number", "null"], "minimum": 0, "maximum": 100},
    ("failure", "rules", "*", "do"): {"enum": list(ACTIONS)},
    ("failure", "rules", "*", "reason"): {"enum": [*REASONS, None]},
    ("failure", "rules", "*", "exit_code"): {"type": ["integer", "null"], "minimum": -64, "maximum": 255},
    **{("failure", "rules", "*", name): {"type": ["string", "null"], "minLength": 1} for name in ("error", "message")},
    ("queue",): _any_of(_whole(PLACE_NAME), {"const": ""}),
    ("labels",): {"maxProperties": LABELS_LIMIT, "propertyNames": _whole(LABEL_NAME)},
    ("labels", "*"): {"minLength": 1, "maxLength": VALUE_LIMIT},
    ("parallelism",): {"minimum": 0, "maximum": COUNT_END - 1},
    ("rate",): _any_of({"type": "string", "pattern": RATE_TEXT}, {"type": "null"}),
    ("fairness", "weight"): {"minimum": 1, "maximum": WEIGHT_LIMIT},
    ("schedule",): _any_of(_REFERENCES["schedule_of_template"], {"type": "null"}),
}


# --- templates ------------------------------------------------------------------------------------------------------


def _translated(schema: Any, path: FieldPath = ()) -> Shape:
    """Write a schema of pydantic's core, as ``template_model`` has them, with what is known of its place besides."""
    return {**_plain(schema, path), **_SHAPES.get(path, {})}


def _plain(schema: Any, path: FieldPath) -> Shape:
    kind = schema["type"]
    if kind == "typed-dict":
        return _fields(schema["fields"], path)
    if kind == "default":
        return {**_translated(schema["schema"], path), **_default(schema)}
    if kind == "nullable":
        return _any_of(_plain(schema["schema"], path), {"type": "null"})
    if kind == "function-before":
        return _read_by(schema["function"]["function"], schema["schema"], path)
    if kind == "list":
        return {"type": "array", "items": _translated(schema["items_schema"], (*path, "*"))}
    if kind == "dict":
        return {"type": "object", "additionalProperties": _translated(schema["values_schema"], (*path, "*"))}
    if kind == "any" and len(path) == 3 and path[0] == "split" and path[1] in SPLITTERS:
        return _of_splitter(str(path[1]), str(path[2]))
    names = {"any": {}, "str": {"type": "string"}, "int": {"type": "integer"}, "float": {"type": "number"}}
    return dict({**names, "bool": {"type": "boolean"}}[kind])


def _fields(fields: Mapping[str, Any], path: FieldPath) -> Shape:
    named = {str(field.get("validation_alias", name)): field for name, field in fields.items()}
    return _object(
        {name: _translated(field["schema"], (*path, name)) for name, field in named.items()},
        [name for name, field in named.items() if field.get("required")],
    )


def _default(schema: Any) -> Shape:
    value, inner = schema.get("default"), schema["schema"]
    if inner["type"] == "function-before" and inner["function"]["function"] is duration_ms:
        value = duration.write(value) if value else None
    return {"default": value} if isinstance(value, str | int | float) and value != "" else {}


def _read_by(read: object, schema: Any, path: FieldPath) -> Shape:
    """Say what a function takes that makes a value plain."""
    if read is duration_ms:
        return _DURATION
    if read is size_bytes:
        numbers = _any_of({"const": 0}, {"type": "integer", "minimum": LEAST_MEMORY})
        return _any_of(numbers, _whole(size.TEXT))
    if read is list_of:
        return _any_of(_IN_FILE, _plain(schema, path))
    if read is tolerance:
        return _any_of(_COUNT, {"type": "string", "pattern": "%$"}, _plain(schema, path))
    raise AssertionError(f"no schema says what {read} takes")


def _of_splitter(kind: str, name: str) -> Shape:
    """Say what the annotation of a splitter's field says."""
    splitter = SPLITTERS[kind]
    (field,) = (each for each in dataclasses.fields(splitter) if each.metadata.get("alias", each.name) == name)
    hint, default = get_type_hints(splitter)[field.name], {"default": field.default}
    shape = _integer() if hint == int | str else msgspec.json.schema(hint)
    return {**shape, **({} if field.default is dataclasses.MISSING else default)}


# --- schedules ------------------------------------------------------------------------------------------------------


def _value_of(field: Field) -> Shape:
    last = field.high + (field is DAY_OF_WEEK)
    value = _any_of({"type": "string", "minLength": 1}, {"type": "integer", "minimum": field.low, "maximum": last})
    return _any_of(value, {"type": "array", "items": value, "minItems": 1})


_CALENDAR: Final = _object({field.name: _value_of(field) for field in FIELDS})
_INTERVAL: Final = _any_of(
    {"type": "string"}, {"type": "number", "minimum": 1}, _object({"every": _DURATION, "phase": _DURATION}, ["every"])
)
_OF_SCHEDULE: Final[Mapping[str, Shape]] = {
    "cron": _some({"type": "string"}),
    "calendars": _some(_CALENDAR),
    "interval": _some(_INTERVAL),
    "exclude": _object({"cron": _some({"type": "string"}), "calendars": _some(_CALENDAR)}),
    "start": _MOMENT,
    "end": _MOMENT,
    "zone": {"type": "string"},
    "gap": {"enum": list(map(str, Gap))},
    "fold": {"enum": list(map(str, Fold))},
    "day_match": {"enum": list(map(str, DayMatch))},
    "jitter": _DURATION,
    "overlap": {"enum": list(map(str, Overlap)), "default": str(Overlap.SKIP)},
    "catchup_window": _DURATION,
    "max_catchup_runs": {"type": "integer", "minimum": 0, "maximum": CATCHUP_LIMIT, "default": 0},
    "limited_runs": {"type": "integer", "minimum": 0, "maximum": RUNS_LIMIT, "default": 0},
    "pause_on_failure": {"type": "boolean", "default": False},
    "template": _any_of({"type": "string"}, _REFERENCES["template"]),
    "params": {"type": "object"},
    "priority": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1, "default": 0},
}


def _schedule(*names: str) -> Shape:
    times = [{"required": [name]} for name in ("cron", "calendars", "interval")]
    return _object({name: _OF_SCHEDULE[name] for name in names}, {"template"}.intersection(names), anyOf=times)


_SCHEDULE_FILE: Final[Shape] = {
    "type": "object",
    "if": {"required": ["schedule"]},
    "then": {
        "if": {"minProperties": 2},
        "then": {"allOf": [_given("schedule", _NOT_NULL), _REFERENCES["template"]]},
        "else": {"properties": {"schedule": _REFERENCES["schedule"]}},
    },
    "else": _REFERENCES["schedule"],
}
