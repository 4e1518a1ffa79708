"""What an executor does before a child begins, and between two of them: handlers found, the process set right."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from streamsched.worker.endings import read_arguments
from streamsched.worker.handlers import Handler, Handlers, body_of, is_async, not_async
from streamsched.worker.isolation import Surroundings
from streamsched.worker.jobs import Job
from streamsched.worker.output import Output
from streamsched.worker.page import PREPARING, Page

if TYPE_CHECKING:
    from streamsched.domain.options import Options
    from streamsched.worker.wire import Journal


class Preparation:
    """The handlers of one executor, and what its children have done to their process."""

    def __init__(self, allow: Sequence[str], reuse: int, output: Output) -> None:
        self._handlers = Handlers(allow)
        self._output = output
        self._surroundings: Surroundings | None = None
        self._reuse = reuse
        self._ran = 0
        self._setup = ""  # what was run once, or was to be
        self.spoilt = False
        """A setup failed: nothing more is to run in this process."""
        self.known: dict[str, Handler] = {}
        """Handlers whose modules are imported."""
        self.asynchronous: set[str] = set()
        """Those of them that are async."""
        self.special: set[str] = set()
        """Those that are more than called: async, or with annotations behind the context."""
        self._checks: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}

    def begin(self) -> None:
        """Record the state of the process as the one to restore: nothing of a user's has run yet."""
        self._surroundings = Surroundings()

    def options_of(self, job: Job) -> Options:
        """Return what a job says beside its handler."""
        from streamsched.domain.options import options_in  # late: few jobs have any

        return options_in(job.options)

    def handler_of(self, job: Job) -> Handler:
        """Return the handler of a job; import its module with the first."""
        return self.known.get(job.handler) or self._know(job.handler)

    def splitter_of(self, job: Job, plan_limit: int, journal: Journal | None) -> Handler:
        """Return what runs a split child: the user's function that it names, or one of our own."""
        from streamsched.worker.stages import splitter

        function = self._handlers.resolve(job.handler, yields=True) if job.handler else None
        self.note()
        return splitter(self.options_of(job), function, plan_limit, journal)

    def arguments_of(self, job: Job) -> dict[str, Any]:
        """Return the arguments of a job, as the annotations of its handler say. Raise BadArguments."""
        check = self._checks.get(job.handler)
        return read_arguments(job) if check is None else check(read_arguments(job))

    def _know(self, name: str) -> Handler:
        handler = self.known[name] = self._handlers.resolve(name)
        if is_async(handler):
            self.asynchronous.add(name)
            self.special.add(name)
        if getattr(body_of(handler), "__annotations__", True):
            from streamsched.worker.arguments import arguments_of  # late: not every handler has annotations

            if (check := arguments_of(handler)) is not None:
                self._checks[name] = check
                self.special.add(name)
        self.note()
        return handler

    def is_cold(self, job: Job) -> bool:
        """Return whether a job needs another executor, because another setup has run in this one."""
        setup = self.options_of(job).setup
        return setup is not None and self._setup not in ("", setup)

    def warm(self, job: Job, page: Page, run: Callable[[Handler], BaseException | None]) -> BaseException | None:
        """Do what the options of a job want before it: check its handler, run its setup once. Return what that raised.

        ``run`` calls an async function. Raise BadArguments for a plain handler that is to run beside others, and what
        ``Handlers.resolve`` raises.
        """
        options = self.options_of(job)
        if options.concurrency is not None and job.handler not in self.asynchronous:
            raise not_async(job.handler)
        if options.setup is None or options.setup == self._setup:
            return None
        setup = self._handlers.resolve(options.setup)
        self._setup, self.spoilt = options.setup, True
        page.prepare(PREPARING)
        try:
            if is_async(setup):
                failure = run(setup)
                if failure is not None:
                    return failure
            else:
                setup()
        except BaseException as error:  # SystemExit too
            return error
        page.prepare(time.monotonic_ns())
        self.spoilt = False
        self.note()
        return None

    def note(self) -> None:
        """Record what an import has set as part of the state to restore."""
        self._output.note()
        if self._surroundings is not None:
            self._surroundings.note()

    def tidy(self, took: int) -> bool:
        """Set back what a child has changed that ran so long; return whether this executor is to be replaced."""
        return self.spoilt or (self._surroundings is not None and bool(self._surroundings.tidy(took)))

    def spent(self, job: Job) -> bool:
        """Count a job; return whether this executor has run as many as it may."""
        self._ran += 1
        limits = [self._reuse, (job.options and self.options_of(job).reuse) or 0]
        return self._ran >= min((limit for limit in limits if limit), default=self._ran + 1)
