"""What a task would be, with the children that its split child would find: it looks here, and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from streamsched.commands.request import AnyTemplate, Params, prepare_any
from streamsched.domain import values
from streamsched.domain.errors import InputError, StreamschedError
from streamsched.files.template_file import Prepared
from streamsched.queries.documents import Document

if TYPE_CHECKING:
    from streamsched.log.adapter import LogAdapter
    from streamsched.worker.sources.local import LocalEntries


SHOWN: Final = 3
"""Children shown at each end."""


class Stage(Document, frozen=True):
    """Children that run together: the ``split``, the ``children`` or the ``reduce``; and what runs, or how it splits.

    ``count`` is null where the split finds them once it runs.
    """

    stage: str
    count: int | None
    runs: str


class ShownChild(Document, frozen=True):
    """A child, and its arguments."""

    child: int
    args: Any


class TaskPlan(Document, frozen=True):
    """What a task would be: ``params`` with their defaults, its stages in order, the first and the last children."""

    template: str
    template_version: str
    params: Any
    children: int | None
    stages: tuple[Stage, ...]
    shown: tuple[ShownChild, ...]


@dataclass(frozen=True, slots=True)
class Found(Prepared):
    """A task whose children were found here. Of its arguments the first and the last few are kept."""

    entries: LocalEntries

    @property
    def children(self) -> int:
        """How many children the task has."""
        return self.entries.children

    def arguments(self) -> LocalEntries:  # type: ignore[override]  # they are called alike
        """Return a function from the index of a child that was kept, from 0, to its arguments as JSON."""
        return self.entries


def plan(template: AnyTemplate, params: Params = None) -> Prepared:
    """Check and resolve a template with its variables; find its children. Raise InputError, and what your code does."""
    prepared = prepare_any(template, params)
    if not prepared.plan.split:
        return prepared
    return Found(**{each.name: getattr(prepared, each.name) for each in fields(Prepared)}, entries=find(prepared))


def outline(prepared: Prepared) -> TaskPlan:
    """Return what a task would be; nothing is run for it, so a split child finds nothing."""
    template, count = prepared.template, None if prepared.plan.split else prepared.children
    stages = [Stage("children", count, template.child.code)]
    if template.splitting is not None:
        stages.insert(0, Stage("split", 1, template.splitting.code or template.split.kind))
    if template.reduce is not None:
        stages.append(Stage("reduce", 1, template.reduce.code))
    shown: list[ShownChild] = []
    if count:
        arguments = prepared.arguments()
        shown = [ShownChild(child, values.read(arguments(child))) for child in shown_of(count)]
    return TaskPlan(
        template.name, prepared.version, values.read(prepared.params_json), count, tuple(stages), tuple(shown)
    )


def shown_of(children: int) -> list[int]:
    """Return which of so many children are shown: the first and the last."""
    return sorted({*range(min(SHOWN, children)), *range(max(0, children - SHOWN), children)})


def find(prepared: Prepared, only: int | None = None) -> LocalEntries:
    """Find the children of a task with a split child; with ``only`` up to that one. Raise InputError."""
    from streamsched.worker.errors import BadArguments, HandlerNotAllowed, HandlerNotFound, PayloadTooLarge
    from streamsched.worker.sources.errors import SourceError
    from streamsched.worker.sources.local import LocalEntries

    template, params = prepared.template, values.read(prepared.params_json)
    source, field = f"template {template.name}", f"split.{template.split.kind}"
    try:
        return LocalEntries(template, params, prepared.plan.document, only=only, open_log=open_log)
    except (SourceError, PayloadTooLarge, BadArguments, HandlerNotFound, HandlerNotAllowed) as error:
        raise InputError(str(error), "nothing was written", source=source, field=field) from error
    except Exception as error:
        if template.split.kind == "by" or isinstance(error, StreamschedError):
            raise  # the user's own, or one that says enough
        reason = f"{type(error).__name__}: {error}"
        raise InputError(reason, "nothing was written", source=source, field=field) from error


def open_log() -> LogAdapter:
    """Open the log that the environment names, for reading a topic."""
    from streamsched.installation.settings import load_settings
    from streamsched.installation.site import Installation

    return Installation(load_settings()).log
