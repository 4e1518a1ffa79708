"""What a template says of the children of one stage: what they run, their limits, and how they use executors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from streamsched.domain.command import Command
from streamsched.domain.labels import LABELS_LIMIT
from streamsched.domain.placeholders import kept, references
from streamsched.domain.policy import RetryPolicy
from streamsched.domain.refusal import FieldPath, TemplateError, check_whole
from streamsched.domain.routing import NAME, NAME_REMEDY, Pair

_HANDLER: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
HANDLER_LIMIT: Final = 1_000
CONCURRENCY_LIMIT: Final = 1_000
LEAST_MEMORY: Final = 64 * 2**20
"""Bytes that an executor needs for itself."""
_OF_EXECUTORS: Final = {"setup": "", "concurrency": 1, "reuse": 0, "memory_bytes": 0}
"""How a stage uses its executors, at first: so it stands in the canonical JSON only where it is used."""


def check_handler(handler: object, path: FieldPath) -> None:
    """Refuse what is not an import path. Raise TemplateError."""
    if not isinstance(handler, str) or not _HANDLER.fullmatch(handler):
        raise TemplateError(f"{handler!r} is not an import path", "write package.module:function", path=path)
    check_length(handler, path)


def check_length(code: str, path: FieldPath) -> None:
    """Refuse a name of code that is too long. Raise TemplateError."""
    if len(code) > HANDLER_LIMIT:
        reason = f"has {len(code):,} characters, the limit is {HANDLER_LIMIT:,}"
        raise TemplateError(reason, "give it a shorter name", path=path)


def check_name(name: object, path: FieldPath, what: str) -> None:
    """Refuse what cannot name a queue, or be a part of a label. Raise TemplateError."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise TemplateError(f"{str(name)[:120]!r} is not {what}", NAME_REMEDY, path=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What the children of a stage run: an importable handler or a program, with its arguments and limits.

    Milliseconds; 0 is no limit. Exactly one of ``handler`` and ``command`` is given.
    """

    handler: str = ""
    args: dict[str, Any] = field(default_factory=dict)
    timeout_ms: int = 0
    heartbeat_ms: int = 0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    command: Command | None = None
    setup: str = ""
    """What runs once in an executor before its first child of this setup."""
    concurrency: int = 1
    """How many children an executor runs at once."""
    reuse: int = 0
    """After how many children an executor is replaced."""
    memory_bytes: int = 0
    """What an executor may have in memory, with all that runs below it."""
    needs: tuple[Pair, ...] = ()
    """The labels that its worker must have, in the order of their names."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "args", kept(self.args, ("child", "args")))

    @property
    def code(self) -> str:
        """What it runs, in one text: the handler, or ``$ PROGRAM``."""
        return self.handler if self.command is None else self.command.code

    @property
    def uses_executors(self) -> bool:
        """Whether it says how its executors are used."""
        return any(getattr(self, name) != default for name, default in _OF_EXECUTORS.items())

    def check_use(self) -> None:
        """Refuse a use of executors that cannot be. Raise TemplateError."""
        self._check_needs()
        if self.setup != "":
            check_handler(self.setup, ("child", "setup"))
        check_whole(self.concurrency, ("child", "concurrency"), 1, CONCURRENCY_LIMIT)
        check_whole(self.reuse, ("child", "reuse"), 0)
        check_whole(self.memory_bytes, ("child", "memory"), 0, 2**62)
        if 0 < self.memory_bytes < LEAST_MEMORY:
            reason = f"is {self.memory_bytes:,} bytes, and a process alone needs some {LEAST_MEMORY // 2**20} MiB"
            raise TemplateError(reason, "give more", path=("child", "memory"))
        for name in ("setup", "concurrency") if self.command is not None else ():
            if getattr(self, name) != _OF_EXECUTORS[name]:
                reason = "is for a handler, and has no meaning for a program"
                raise TemplateError(reason, "remove it", path=("child", name))

    def _check_needs(self) -> None:
        if len(self.needs) > LABELS_LIMIT:
            reason = f"{len(self.needs):,} labels, more than {LABELS_LIMIT}"
            raise TemplateError(reason, "need fewer", path=("child", "needs"))
        for name, value in self.needs:
            check_name(name, ("child", "needs"), "the name of a label")
            check_name(value, ("child", "needs", name), "the value of a label")

    @property
    def filled(self) -> dict[str, Any]:
        """What the values of a child are filled into: its arguments, for a program with all that it is called with."""
        return self.args if self.command is None else {"args": self.args, **self.command.lowered()}

    def references(self) -> Iterator[tuple[FieldPath, str]]:
        """Name every variable in it, with its path."""
        yield from references(self.args, ("child", "args"))
        if self.command is not None:
            yield from self.command.references()


@contextmanager
def of_stage(stage: str) -> Iterator[None]:
    """Give the errors of a stage's fields the path of that stage: those of a ChildSpec say ``child``."""
    try:
        yield
    except TemplateError as error:
        raise TemplateError(error.reason, error.remedy, path=(stage, *error.path[1:])) from None


def written(spec: ChildSpec) -> dict[str, Any]:
    """Return what a stage is in JSON: of what came later only what is used."""
    later = {"handler": spec.handler, "command": spec.command, "needs": spec.needs != ()}
    later |= {name: getattr(spec, name) != default for name, default in _OF_EXECUTORS.items()}
    names = [each.name for each in fields(spec) if later.get(each.name, True)]
    parts = {"retry": asdict(spec.retry), "command": spec.command and asdict(spec.command), "needs": dict(spec.needs)}
    return {name: parts[name] if name in parts else getattr(spec, name) for name in names}


def read_spec(body: Mapping[str, Any]) -> ChildSpec:
    """Read a stage of the canonical JSON. Raise TypeError, LookupError for what it cannot be."""
    command = Command(**body["command"]) if "command" in body else None
    needs = tuple(sorted(body.get("needs", {}).items()))
    return ChildSpec(**{**body, "retry": read_retry(body["retry"]), "command": command, "needs": needs})


def read_retry(body: Mapping[str, Any]) -> RetryPolicy:
    """Read a retry policy of the canonical JSON, as ``read_spec``."""
    return RetryPolicy(**{**body, "non_retryable": tuple(body["non_retryable"])})
