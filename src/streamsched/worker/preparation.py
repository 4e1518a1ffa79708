"""What an executor does before a child begins, and between two of them: handlers found, the process set right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamsched.worker.errors import NonRetryable
from streamsched.worker.handlers import Handler, Handlers, is_async
from streamsched.worker.isolation import Surroundings
from streamsched.worker.jobs import Job
from streamsched.worker.output import Output

if TYPE_CHECKING:
    from streamsched.domain.options import Options


class Preparation:
    """The handlers of one executor, and what its children have done to their process."""

    def __init__(self, allow: Sequence[str], reuse: int, output: Output) -> None:
        self._handlers = Handlers(allow)
        self._output = output
        self._surroundings: Surroundings | None = None
        self._left = reuse or -1  # jobs until this executor is to be replaced
        self.known: dict[str, Handler] = {}
        """Handlers whose modules are imported."""
        self.asynchronous: set[str] = set()
        """Those of them that are async."""

    def begin(self) -> None:
        """Record the state of the process as the one to restore: nothing of a user's has run yet."""
        self._surroundings = Surroundings()

    def options_of(self, job: Job) -> Options:
        """Return what a job says beside its handler."""
        from streamsched.domain.options import options_of  # late: few jobs have any

        return options_of(job.options)

    def check(self, job: Job) -> None:
        """Refuse a plain handler that is to run beside others. Raise NonRetryable."""
        if job.options is not None and self.options_of(job).concurrency is not None:
            raise NonRetryable(
                f"child.concurrency is for async handlers, and {job.handler} is a plain function: "
                "write it as async def, or remove concurrency"
            )

    def handler_of(self, job: Job) -> Handler:
        """Return the handler of a job; import its module with the first."""
        return self.known.get(job.handler) or self._know(job.handler)

    def _know(self, name: str) -> Handler:
        handler = self.known[name] = self._handlers.resolve(name)
        if is_async(handler):
            self.asynchronous.add(name)
        self.note()
        return handler

    def note(self) -> None:
        """Record what an import has set as part of the state to restore."""
        self._output.note()
        if self._surroundings is not None:
            self._surroundings.note()

    def tidy(self, took: int) -> bool:
        """Set back what a child has changed that ran so long; return whether this executor is to be replaced."""
        return self._surroundings is not None and bool(self._surroundings.tidy(took))

    def spent(self, job: Job) -> bool:
        """Count a job; return whether this executor has run as many as it may."""
        self._left -= 1
        return self._left == 0
