"""The shape of a template file, as pydantic models, and their way into the domain's Template."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from streamsched.domain import duration
from streamsched.domain.param import Param
from streamsched.domain.policy import FailurePolicy, RetryPolicy
from streamsched.domain.refusal import Path, TemplateError, suggest
from streamsched.domain.template import ChildSpec, ListSplit, RangeSplit, Template

MISSING: Final = "is missing"
_EXPECTED: Final = {
    "string_type": ("a string", "put it in quotes"),
    "int_type": ("a whole number", "write it without quotes, unit or fraction"),
    "float_type": ("a number", "write it without quotes or unit"),
    "bool_type": ("true or false", "write true or false"),
    "list_type": ("a list", "write [a, b]"),
    "dict_type": ("an object", "write name: value lines under it"),
    "model_type": ("an object", "write name: value lines under it"),
}


def duration_ms(value: object) -> int:
    """Read a duration: ``500ms``, ``30s``, ``1h30m``, or a number of seconds. Raise TemplateError."""
    milliseconds = duration.read(value)
    if milliseconds is None:
        remedy = "write 500ms, 30s, 10m, 1h30m or a number of seconds, at most 3650d; 0 is none"
        raise TemplateError(f"{value!r} is no duration", remedy)
    return milliseconds


def _tolerance(value: Any) -> object:
    return value if isinstance(value, dict) else asdict(FailurePolicy.tolerate(value))


Duration = Annotated[int, BeforeValidator(duration_ms)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Param(_Model):
    type: str
    default: Any = None
    description: str = ""
    enum: list[Any] = []
    minimum: Any = None
    maximum: Any = None
    min_length: Any = Field(None, alias="minLength")
    max_length: Any = Field(None, alias="maxLength")
    pattern: str | None = None
    items: str | None = None


class _Range(_Model):
    first: Any
    last: Any
    size: Any


class _List(_Model):
    items: Any
    size: Any = 1


class _Split(_Model):
    range_: _Range | None = Field(None, alias="range")
    list_: _List | None = Field(None, alias="list")


class _Retry(_Model):
    max_attempts: int = 4
    initial_interval: Duration = 1000
    backoff: float = 2.0
    max_interval: Duration = 0
    non_retryable: list[str] = []
    reset_on_progress: bool = True


class _Child(_Model):
    handler: str
    args: dict[str, Any] = {}
    timeout: Duration = 0
    heartbeat: Duration = 0
    retry: _Retry = _Retry()


class _Tolerate(_Model):
    count: Any = None
    percent: Any = None


class _Failure(_Model):
    tolerate: Annotated[_Tolerate, BeforeValidator(_tolerance)] = _Tolerate()


class _Template(_Model):
    name: str
    params: dict[str, _Param] = {}
    split: _Split
    child: _Child
    failure: _Failure = _Failure()
    schedule: Any = None
    """What schedule_file reads; a task has none."""


_MODELS: Final[dict[Path, type[_Model]]] = {
    (): _Template,
    ("params", "*"): _Param,
    ("split",): _Split,
    ("split", "range"): _Range,
    ("split", "list"): _List,
    ("child",): _Child,
    ("child", "retry"): _Retry,
    ("failure",): _Failure,
    ("failure", "tolerate"): _Tolerate,
}


def build(value: object) -> Template:
    """Turn a parsed file into a template. Raise TemplateErrors, all that were found, in an ExceptionGroup."""
    try:
        model = _Template.model_validate(value)
    except ValidationError as error:
        raise ExceptionGroup("template", [_translate(problem) for problem in error.errors()]) from None
    try:
        return _template(model)
    except TemplateError as error:
        raise ExceptionGroup("template", [error]) from None


def _template(model: _Template) -> Template:
    retry = model.child.retry
    return Template(
        name=model.name,
        params={name: _declare(name, param) for name, param in model.params.items()},
        split=_splitter(model.split),
        child=ChildSpec(
            handler=model.child.handler,
            args=model.child.args,
            timeout_ms=model.child.timeout,
            heartbeat_ms=model.child.heartbeat,
            retry=RetryPolicy(
                max_attempts=retry.max_attempts,
                initial_interval_ms=retry.initial_interval,
                backoff=retry.backoff,
                max_interval_ms=retry.max_interval,
                non_retryable=tuple(retry.non_retryable),
                reset_on_progress=retry.reset_on_progress,
            ),
        ),
        failure=FailurePolicy(count=model.failure.tolerate.count, percent=model.failure.tolerate.percent),
    )


def _declare(name: str, param: _Param) -> Param:
    if "default" in param.model_fields_set and param.default is None:
        path: Path = ("params", name, "default")
        raise TemplateError("null is no value", "remove the line to make the variable required", path=path)
    return Param(**{**dict(param), "enum": tuple(param.enum)})


def _splitter(split: _Split) -> RangeSplit | ListSplit:
    if split.range_ is not None and split.list_ is not None:
        raise TemplateError("two splitters, range and list", "keep one of them", path=("split",))
    if split.range_ is not None:
        return RangeSplit(**dict(split.range_))
    if split.list_ is not None:
        return ListSplit(**dict(split.list_))
    raise TemplateError("there is no splitter", "add range or list", path=("split",))


def _translate(problem: Any) -> TemplateError:
    path: Path = problem["loc"]
    kind, value = problem["type"], problem["input"]
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, TemplateError):
        return TemplateError(cause.reason, cause.remedy, path=path)
    if kind == "extra_forbidden":
        parent = ("params", "*") if path[0] == "params" else path[:-1]
        fields = _MODELS[parent].model_fields.items()
        remedy = suggest(str(path[-1]), [field.alias or name for name, field in fields])
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
