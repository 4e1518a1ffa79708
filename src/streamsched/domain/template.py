"""A template: a task is made from it when its placeholders are filled with the caller's variables."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from streamsched.domain import values
from streamsched.domain.bounds import COUNT_END, LONGEST_MS
from streamsched.domain.child_spec import (
    ChildSpec,
    check_handler,
    check_length,
    check_name,
    of_stage,
    read_retry,
    read_spec,
    written,
)
from streamsched.domain.command import LEVEL as COMMAND_LEVEL
from streamsched.domain.command import Command
from streamsched.domain.events import Rate
from streamsched.domain.fairness import Fairness
from streamsched.domain.labels import check_labels
from streamsched.domain.limits import check_rate, read_rate, write_rate
from streamsched.domain.param import FIELDS, Param
from streamsched.domain.placeholders import CHILD, NAME, check_known, encode, references
from streamsched.domain.policy import RUN_ALL, FailurePolicy, RetryPolicy
from streamsched.domain.refusal import TemplateError, check_whole
from streamsched.domain.routing import DEFAULT_QUEUE
from streamsched.domain.splitters import SPLITTERS, functions
from streamsched.domain.splitters.outside import FileSplitter, OutsideSplitter
from streamsched.domain.splitters.port import Splitter
from streamsched.domain.splitters.ranges import RangeSplit

__all__ = [
    "ChildSpec", "Command", "FailurePolicy", "Param", "RetryPolicy", "Template", "TemplateError", "read_template",
    "version",
]  # fmt: skip

TEMPLATE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
REDUCE_LEVEL: Final = 3
"""The language that has a reduce."""
EXECUTOR_LEVEL: Final = 3
"""The language that says of a stage how its executors are used."""
LIFE_LEVEL: Final = 4
"""The language that says more of the life of a task: failure rules, labels, where children run, limits, fairness."""
LEVEL: Final = max(
    REDUCE_LEVEL, COMMAND_LEVEL, EXECUTOR_LEVEL, LIFE_LEVEL, functions.LEVEL,
    *(splitter.level for splitter in SPLITTERS.values()),
)  # fmt: skip
"""The newest language of templates that this version reads."""
_FIELDS: Final = {"name", "params", "split", "child", "failure"}
_LATER: Final = {
    "reduce", "split_timeout_ms", "split_retry", "queue", "labels", "deadline_ms", "parallelism", "rate", "fairness",
}  # fmt: skip
"""Those that stand in the canonical JSON only where they are used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A checked template: one that could not work, whatever its variables, cannot be made (TemplateError).

    ``reduce`` runs once, over the results of all children; its result is the task's. ``split_timeout_ms`` and
    ``split_retry`` are of the split child; without a policy of its own it has that of the children. ``queue``: whose
    workers run it, those of all stages; empty: the default one's. ``deadline_ms`` after its request the task fails;
    ``parallelism`` and ``rate`` bound its work children: how many are live, and how many are dispatched in a time.
    """

    name: str
    split: Splitter
    child: ChildSpec
    params: Mapping[str, Param] = field(default_factory=dict)
    failure: FailurePolicy = field(default_factory=FailurePolicy)
    reduce: ChildSpec | None = None
    split_timeout_ms: int = 0
    split_retry: RetryPolicy | None = None
    queue: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    deadline_ms: int = 0
    parallelism: int = 0
    rate: Rate | None = None
    fairness: Fairness = field(default_factory=Fairness)

    def __post_init__(self) -> None:
        try:
            self._check()
        except TemplateError as error:
            raise error.of(self.name if isinstance(self.name, str) else "") from None

    def _check(self) -> None:
        if not isinstance(self.name, str) or not TEMPLATE_NAME.fullmatch(self.name):
            reason = f"{self.name!r} is not a name"
            remedy = "use letters, digits, dot, dash and underscore, at most 200"
            raise TemplateError(reason, remedy, path=("name",))
        for name, param in self.params.items():
            if not NAME.fullmatch(name) or name == "child":
                remedy = "use letters, digits, dash and underscore, not a digit first; child is reserved"
                raise TemplateError(f"{name!r} is not a variable name", remedy, path=("params", name))
            param.check(name)
        self._check_life()
        self.split.check(self.params)
        self._check_split()
        split = self.split
        known = {*self.params, *(CHILD + variable for variable in split.variables)}
        self._check_stage(self.child, known, "child", f" with a {split.kind} splitter")
        for path, name in self.child.references():
            if name.startswith(CHILD):
                split.check_use(name.removeprefix(CHILD), path)
        if self.reduce is not None:
            with of_stage("reduce"):
                if self.reduce.command is not None:
                    raise TemplateError("a program cannot reduce", "write a handler", path=("child", "command"))
                self._check_stage(self.reduce, set(self.params), "reduce")
                if self.reduce.concurrency != 1:
                    reason = "has no meaning for a reduce: there is only one"
                    raise TemplateError(reason, "remove it", path=("child", "concurrency"))

    def _check_life(self) -> None:
        if self.queue != "":
            check_name(self.queue, ("queue",), "the name of a queue")
            if self.queue == DEFAULT_QUEUE:
                raise TemplateError(f"{DEFAULT_QUEUE} is the queue without a name", "leave it out", path=("queue",))
        check_labels(self.labels)
        check_whole(self.deadline_ms, ("deadline",), 0, LONGEST_MS)
        check_whole(self.parallelism, ("parallelism",), 0, COUNT_END - 1)
        if self.rate is not None:
            check_rate(self.rate, ("rate",))
        for path, name in references(self.fairness.key, ("fairness", "key")):
            check_known(name, path, self.params, "fairness.key")

    def _check_split(self) -> None:
        split, path = self.split, ("split", "timeout")
        if not isinstance(split, OutsideSplitter):
            if self.split_timeout_ms or self.split_retry is not None:
                own = path if self.split_timeout_ms else ("split", "retry")
                reason = f"has no meaning for {split.kind}: the scheduler cuts it itself"
                raise TemplateError(reason, "remove it", path=own)
            return
        check_whole(self.split_timeout_ms, path, 0, LONGEST_MS)
        if split.handler != "":
            check_handler(split.handler, ("split", split.kind))

    def _check_stage(self, child: ChildSpec, known: Collection[str], stage: str, where: str = "") -> None:
        if child.command is None:
            check_handler(child.handler, ("child", "handler"))
        elif child.handler:
            reason = "handler and command are both given"
            raise TemplateError(reason, "keep one of them", path=("child", "command"))
        else:
            child.command.check()
            check_length(child.code, ("child", "command"))
        check_whole(child.timeout_ms, ("child", "timeout"), 0, LONGEST_MS)
        check_whole(child.heartbeat_ms, ("child", "heartbeat"), 0, LONGEST_MS)
        child.check_use()
        if not isinstance(child.args, dict):
            reason = "must be an object of named arguments"
            raise TemplateError(reason, "write {name: value}", path=("child", "args"))
        for path, name in child.references():
            check_known(name, path, known, f"{stage}.{path[1]}{where}")

    @property
    def handlers(self) -> tuple[str, ...]:
        """The handlers of all stages, or ``$ PROGRAM`` in place of one, and their setups."""
        stages = [stage for stage in (self.child, self.splitting, self.reduce) if stage is not None]
        return tuple(code for stage in stages for code in (stage.code, stage.setup) if code)

    @property
    def splitting(self) -> ChildSpec | None:
        """What the split child runs, without a handler where streamsched has the splitter; None: there is none."""
        if not isinstance(self.split, OutsideSplitter):
            return None
        retry = self.child.retry if self.split_retry is None else self.split_retry
        return ChildSpec(handler=self.split.handler, timeout_ms=self.split_timeout_ms, retry=retry)

    @property
    def _uses_life(self) -> bool:
        """Whether it has a field of the newest language."""
        needs = self.child.needs or (self.reduce is not None and self.reduce.needs)
        return bool(self.queue or needs or self.failure.rules or self.labels or self._limited or self._weighed)

    @property
    def _limited(self) -> bool:
        return bool(self.deadline_ms or self.parallelism or self.rate)

    @property
    def _weighed(self) -> bool:
        return self.fairness != Fairness()

    @property
    def level(self) -> int:
        """The oldest language that has all its fields: a node of an older one halts at it, and does not refuse it."""
        calls = any(functions.has_call(getattr(self.split, each.name)) for each in fields(self.split))
        own = REDUCE_LEVEL if self.reduce is not None else 1 if self.failure.on == RUN_ALL else 0
        own = max(own, EXECUTOR_LEVEL) if self.child.uses_executors else own
        own = LIFE_LEVEL if self._uses_life else own
        return max(self.split.level, own, functions.LEVEL if calls else 0, COMMAND_LEVEL if self.child.command else 0)

    def to_json(self) -> str:
        """Write the canonical JSON: sorted keys, no spaces, ASCII. Equal templates have equal text."""
        body: dict[str, object] = {
            "name": self.name,
            "params": {name: param.to_dict() for name, param in self.params.items()},
            "split": {self.split.kind: asdict(self.split)},
            "child": written(self.child),
            "failure": self.failure.to_dict(),
        }
        if self.reduce is not None:
            body["reduce"] = written(self.reduce)
        if self.split_timeout_ms:
            body["split_timeout_ms"] = self.split_timeout_ms
        if self.split_retry is not None:
            body["split_retry"] = asdict(self.split_retry)
        if self.queue:
            body["queue"] = self.queue
        if self.labels:
            body["labels"] = dict(self.labels)
        limits = {"deadline_ms": self.deadline_ms, "parallelism": self.parallelism}
        body |= {name: limit for name, limit in limits.items() if limit}
        if self.rate is not None:
            body["rate"] = write_rate(self.rate)
        if self._weighed:
            body["fairness"] = asdict(self.fairness)
        return encode(body)

    @classmethod
    def from_json(cls, text: str) -> Template:
        """Read the canonical JSON. Raise TemplateError for anything else."""
        try:
            body = values.read(text)
            (kind, split), *more = body["split"].items()
            if more or kind not in SPLITTERS or body.keys() - _LATER != _FIELDS:
                raise ValueError(f"fields {sorted(body)}, splitters {sorted(body['split'])}")
            return cls(
                name=body["name"],
                params={name: _param(fields) for name, fields in body["params"].items()},
                split=SPLITTERS[kind](**split),
                child=read_spec(body["child"]),
                failure=FailurePolicy(**body["failure"]),
                reduce=read_spec(body["reduce"]) if "reduce" in body else None,
                split_timeout_ms=body.get("split_timeout_ms", 0),
                split_retry=read_retry(body["split_retry"]) if "split_retry" in body else None,
                queue=body.get("queue", ""),
                labels=body.get("labels", {}),
                deadline_ms=body.get("deadline_ms", 0),
                parallelism=body.get("parallelism", 0),
                rate=read_rate(body["rate"], ("rate",)) if "rate" in body else None,
                fairness=Fairness(**body.get("fairness", {})),
            )
        except TemplateError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = f"this is not a template in canonical JSON ({type(error).__name__}: {error})"
            raise TemplateError(reason, "submit it from its file") from None


_UNREADABLE: Final = Template(
    name="unreadable", split=RangeSplit(first=1, last=0, size=1), child=ChildSpec(handler="unreadable:unreadable")
)
_SMALL: Final = 16 * 1024


def read_template(text: str) -> tuple[Template, str]:
    """Read the template of a request. If it is not one, return a stand-in and the reason, to refuse the task with."""
    return _small(text) if len(text) <= _SMALL else _large(text)


def _read(text: str) -> tuple[Template, str]:
    try:
        return Template.from_json(text), ""
    except TemplateError as error:
        return _UNREADABLE, str(error)


_small = lru_cache(maxsize=256)(_read)
_large = lru_cache(maxsize=4)(_read)


def version(template: Template, text: str = "") -> str:
    """Name a template's content: the first 12 hexadecimal digits of the SHA-256 of its canonical JSON.

    ``text`` is that JSON, where it is at hand. The folder in which it was read is not content.
    """
    if isinstance(template.split, FileSplitter):
        template, text = replace(template, split=replace(template.split, folder="")), ""
    return sha256((text or template.to_json()).encode()).hexdigest()[:12]


def _param(fields: Mapping[str, Any]) -> Param:
    if fields.keys() - set(FIELDS):
        raise ValueError(f"unknown fields {sorted(fields.keys() - set(FIELDS))}")
    names = {"minLength": "min_length", "maxLength": "max_length"}
    named: dict[str, Any] = {names.get(name, name): value for name, value in fields.items()}
    named["enum"] = tuple(named.get("enum", ()))
    return Param(**named)
