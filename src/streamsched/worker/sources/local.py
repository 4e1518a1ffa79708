"""What a split child would find, found in this process: for ``plan`` and ``try``, which write nothing."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streamsched.domain import values
from streamsched.domain.options import InputFile, read_options
from streamsched.domain.splitting import EntryArguments, split_options
from streamsched.domain.template import Template
from streamsched.worker.context import LocalTransport
from streamsched.worker.handlers import Handlers
from streamsched.worker.sources.inputs import no_log
from streamsched.worker.sources.records import filled
from streamsched.worker.sources.split import PlanContext, run_split

if TYPE_CHECKING:
    from streamsched.log.adapter import LogAdapter

ENDS: Final = 3
"""Entries that are kept of each end."""


class LocalEntries:
    """The children of a split that was made here: how many, and the arguments of the first and the last few.

    ``first`` says how many of the first. With ``only`` the split ends at that child; ``children`` are then those up to
    it. ``open_log`` is for topics. Raises what the user's function raises, HandlerNotFound, SourceError and the other
    errors of a split child.
    """

    def __init__(
        self,
        template: Template,
        params: Mapping[str, object],
        document: str,
        *,
        first: int = ENDS,
        only: int | None = None,
        open_log: Callable[[], LogAdapter] = no_log,
    ) -> None:
        self.open_log = open_log
        self._arguments = EntryArguments(template, params, document)
        self._first = first
        self._only = only
        self._kept: dict[int, str] = {}
        self._last: deque[tuple[int, str]] = deque(maxlen=ENDS)
        self.children = 0
        options = read_options(split_options(template, params, document))
        assert options is not None and options.split is not None  # noqa: S101, PT018 - it was written here
        handler = "" if template.splitting is None else template.splitting.handler
        context = _LocalPlan(self._take, LocalTransport(), task_id="try", stage="split", handler=handler)
        with contextlib.suppress(_Enough):
            run_split(context, options.split, _resolved(handler) if handler else None, open_log)
        self._kept.update(self._last)

    def _take(self, entry: str) -> None:
        index = self.children
        self.children += 1
        if self._only is None:
            if index < self._first:
                self._kept[index] = entry
            else:
                self._last.append((index, entry))
        elif index == self._only:
            self._kept[index] = entry
            raise _Enough

    def __call__(self, index: int) -> str:
        """Return the arguments of a child that was kept, with the lines of its range."""
        return filled(self._arguments(index, values.read(self._kept[index])), self.inputs(index))

    def inputs(self, index: int) -> tuple[InputFile, ...]:
        """Return the files of a child that was kept."""
        return self._arguments.inputs(values.read(self._kept[index]))


class _Enough(BaseException):
    """The child that was wanted is there."""


class _LocalPlan(PlanContext):
    __slots__ = ("_take",)

    def __init__(self, take: Callable[[str], None], transport: LocalTransport, **of_child: Any) -> None:
        super().__init__(transport, **of_child)
        self._take = take

    def found(self, entry: str, state: bytes) -> None:
        self._take(entry)

    def tell(self, state: bytes, *, wait: bool = False) -> None:
        """Do nothing: what is found here is not kept."""


def _resolved(name: str) -> Callable[..., Any]:
    sys.path.insert(0, str(Path.cwd()))
    return Handlers([name.partition(":")[0]]).resolve(name, yields=True)
