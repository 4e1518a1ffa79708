"""The children behind a split child, as they are dispatched: their arguments come from the pages of the view."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import Final

from msgspec.structs import replace

from streamsched.domain import values
from streamsched.domain.options import NONE, Options, options_of, write_options
from streamsched.domain.splitting import EntryArguments
from streamsched.domain.task import Task
from streamsched.domain.template import TemplateError
from streamsched.view.view import View

OPENED: Final = 16
"""Pages that one round reads from the store: retries of children far apart wait for the next."""
KEPT: Final = 32 * 1024 * 1024
"""Characters of pages that are kept for further children, over all tasks."""
LINE: Final = 64
"""What a line costs beside its characters."""


class Spent(Exception):
    """Raised where a round has read as many pages as it may."""


class Entries:
    """Arguments and options of children, each from its line in a page. Keeps the pages that were used last."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._arguments: dict[str, tuple[EntryArguments, Options]] = {}
        """By task, with the options that all its work children have."""
        self._pages: OrderedDict[tuple[str, int], list[str]] = OrderedDict()
        """The lines of pages, by task and first child, the one that was used last at the end."""
        self._size = 0
        self._left = OPENED

    def begin(self) -> None:
        """Begin a round."""
        self._left = OPENED

    def __call__(self, task: Task, child: int) -> tuple[str, str]:
        """Return the arguments and the options of a child. Raise Spent; TemplateError where there are none."""
        found = self._arguments.get(task.task_id)
        if found is None:
            made = EntryArguments(task.template, task.params(), task.plan)
            found = self._arguments[task.task_id] = made, options_of(task.template.child) or NONE
        arguments, options = found
        try:
            entry = values.read(self._line(task, child))
        except (ValueError, IndexError):
            reason = f"its page has no entry for child {task.index_of(child):,}"
            raise TemplateError(reason, "cancel it", template=task.template.name) from None
        return arguments(task.index_of(child), entry), write_options(replace(options, inputs=arguments.inputs(entry)))

    def forget(self, task_id: str) -> None:
        """Forget what is kept for a task."""
        self._arguments.pop(task_id, None)
        for key in [key for key in self._pages if key[0] == task_id]:
            self._drop(key)

    def _line(self, task: Task, child: int) -> str:
        first = task.pages[bisect_right(task.pages, child) - 1]
        key = task.task_id, first
        lines = self._pages.get(key)
        if lines is None:
            lines = self._pages[key] = self._read(task, first)
            self._size += _size(lines)
            while self._size > KEPT and len(self._pages) > 1:
                self._drop(next(iter(self._pages)))
        self._pages.move_to_end(key)
        return lines[child - first]

    def _read(self, task: Task, first: int) -> list[str]:
        if not self._left:
            raise Spent
        self._left -= 1
        entries = self._view.page(task, first)
        return [] if entries is None else entries.split("\n")

    def _drop(self, key: tuple[str, int]) -> None:
        self._size -= _size(self._pages.pop(key))


def _size(lines: list[str]) -> int:
    return sum(map(len, lines)) + LINE * len(lines)
