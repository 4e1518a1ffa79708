"""What a child is given: it follows from template, parameters and plan, behind a split child also from its entry."""

from __future__ import annotations

from typing import Any

from streamsched.audit.document import decoded
from streamsched.domain.options import InputFile, options_in
from streamsched.domain.splitters.lines import named
from streamsched.domain.splitting import ChildArguments, reduce_arguments, split_input
from streamsched.domain.task import Task
from streamsched.queries.documents import Document
from streamsched.scheduler.entries import Entries
from streamsched.view.view import View


class Input(Document, frozen=True):
    """A file that a child reads; with a ``format`` its records that begin in the bytes from ``start`` to ``end``.

    With the format ``topic`` it is ``TOPIC/PARTITION``, and these are offsets.
    """

    path: str
    size: int
    start: int
    end: int
    format: str


class Arguments(Document, frozen=True):
    """What a child runs, its handler or ``$ PROGRAM``, and with which arguments: 256 KiB of JSON at most.

    Those of a program stand beside the words that it is called with, its environment and its folder. Lines of a file
    are read where it runs: they have ``${child.item}`` or ``${child.items}`` in their place. Of a split child the
    arguments are the input of the split; one without a handler runs the splitter itself.
    """

    runs: str
    args: Any
    inputs: tuple[Input, ...] = ()


def arguments_of(view: View, task: Task, child: int) -> Arguments:
    """Return what a child is given, by its number in the table. Raise TemplateError where template and plan misfit."""
    args, inputs = _arguments(view, task, child)
    found = tuple(Input(each.path, each.size, each.start, each.end, each.format) for each in inputs)
    return Arguments(task.spec_of(child).code or task.template.split.kind, decoded(args), found)


def _arguments(view: View, task: Task, child: int) -> tuple[str, tuple[InputFile, ...]]:
    params = task.params()
    if child >= task.work_end:
        return reduce_arguments(task.template, params), ()
    if not task.split:
        return ChildArguments(task.template, params, task.plan)(child), ()
    if not child:
        return split_input(task.plan), ()
    args, options = Entries(view)(task, child)
    return named(args), options_in(options).inputs or ()
