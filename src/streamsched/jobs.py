"""A function as a job: ``@streamsched.job`` makes the template that a YAML file would hold from its signature.

Executors import this module with the user's: what only the user's own process needs is imported where it is used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, update_wrapper
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar, cast

from streamsched.split import Span, Split

if TYPE_CHECKING:
    from pathlib import Path

    from streamsched.client import Client
    from streamsched.commands.request import Wanted
    from streamsched.commands.schedules import Changed
    from streamsched.domain.template import Template
    from streamsched.files.source import Document
    from streamsched.files.template_file import Prepared
    from streamsched.task import Task

P = ParamSpec("P")
R = TypeVar("R")
Fields = Mapping[str, Any]
_OPTIONS: Final = ("task_id", "priority", "labels", "client", "slots", "data_dir", "child", "schedule_id")
"""What the methods of a job take beside the task's variables."""


def job(
    *,
    split: Split,
    name: str | None = None,
    args: Fields | None = None,
    params: Fields | None = None,
    timeout: Span | None = None,
    heartbeat: Span | None = None,
    retry: Fields | None = None,
    failure: Fields | None = None,
    reduce: Callable[..., Any] | Fields | None = None,
    queue: str | None = None,
    deadline: Span | None = None,
    parallelism: int | None = None,
    rate: str | None = None,
    fairness: Fields | None = None,
    labels: Mapping[str, str] | None = None,
    schedule: Fields | None = None,
    **child: Any,
) -> Callable[[Callable[P, R]], Job[P, R]]:
    """Make a job of a function: it stays callable, and is the handler of a template.

    Args:
        split: how the input is cut, a function of ``streamsched.split``.
        name: the template's name; by default the function's.
        args: arguments by name, as ``child.args``. For other parameters see docs/python.md.
        params: more about the task's variables, or more of them: the fields of a template, or a type.
        timeout: as ``child.timeout``.
        heartbeat: as ``child.heartbeat``.
        retry: the fields of ``child.retry``.
        failure: the fields of ``failure``.
        reduce: the function of ``reduce``, or its fields.
        queue: as ``queue``: whose workers run its tasks.
        deadline: as ``deadline``: how long a task may take.
        parallelism: as ``parallelism``: how many children may run at once.
        rate: as ``rate``: how many children may begin in a time, such as ``100/s``.
        fairness: the fields of ``fairness``.
        labels: as ``labels``: what its tasks are found by.
        schedule: the fields of ``schedule`` in a template's file, for ``Job.create_schedule``.
        child: any other field of ``child``, such as ``needs``; ``setup`` may be a function.

    What is wrong raises InputError when the job is first used, not when its module is imported.
    """
    if not isinstance(split, Split):
        raise TypeError(f"split= takes what a function of streamsched.split returns, not {split!r}")
    options = {
        "split": split, "name": name, "args": args or {}, "params": params or {}, "reduce": reduce,
        "child": {"timeout": timeout, "heartbeat": heartbeat, "retry": retry, **child},
        "others": {
            "failure": failure, "queue": queue, "deadline": deadline, "parallelism": parallelism, "rate": rate,
            "fairness": fairness, "labels": labels, "schedule": schedule,
        },
    }  # fmt: skip
    return lambda function: Job(function, options)


class Job(Generic[P, R]):
    """A function with the template whose children run it. It is called as the function, with a context first."""

    __name__: str

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any]) -> None:
        if not isinstance(function, FunctionType):
            raise TypeError(f"@streamsched.job is for functions of a module, not for {function!r}")
        self.__streamsched_handler__ = function
        self._function = cast("Callable[P, R]", function)
        self._options = options
        self._templates: dict[str, Template] = {}
        """By the working folder in which it was made."""
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<job {self.__module__}:{self.__name__}>"

    def __reduce__(self) -> str:
        return self.__name__  # a copy by pickle is the job that its module has

    @property
    def template(self) -> Template:
        """The template, with files of the working folder. Raise InputError for what is wrong with the job."""
        here = os.getcwd()  # noqa: PTH109 - pathlib is not worth its import here
        if here not in self._templates:
            from streamsched.files.template_file import template_in

            self._templates = {here: template_in(self._document, self._document.value)}
        return self._templates[here]

    @property
    def version(self) -> str:
        """The version of the template: the same as that of a file with this content."""
        from streamsched.domain.template import version

        return version(self.template)

    def to_yaml(self) -> str:
        """Return the template as the text of a file."""
        from streamsched.files.function import yaml_of

        self.template  # noqa: B018 - what is wrong with it is raised here
        return yaml_of(self._document)

    def plan(self, **params: Any) -> Prepared:
        """Return what the task would be, with the number of its children. Raise InputError."""
        from streamsched.commands.plan import plan

        return plan(self.template, self._checked(params))

    def request(
        self,
        *,
        task_id: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        **params: Any,
    ) -> Wanted:
        """Return a request for ``Client.submit_many``. Raise InputError."""
        from streamsched.commands.request import want

        return want(self.template, self._checked(params), task_id=task_id, priority=priority, labels=labels)

    def submit(
        self,
        *,
        task_id: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        client: Client | None = None,
        **params: Any,
    ) -> Task:
        """Request a task with these variables, as ``Client.submit`` does.

        Without a client the task has one of its own, made from the environment.
        """
        wanted = self.request(task_id=task_id, priority=priority, labels=labels, **params)
        if client is not None:
            return client.submit_many([wanted])[0]
        from streamsched.client import Client

        own = Client()
        try:
            return own.submit_many([wanted])[0].owning(own.close)
        except BaseException:
            own.close()
            raise

    def run(
        self,
        *,
        task_id: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        slots: int = 1,
        data_dir: Path | str | None = None,
        **params: Any,
    ) -> Task:
        """Submit a task and work on it in this process until it has ended, as ``streamsched.run`` does.

        The handler runs in processes that import its module, from where this one did.
        """
        wanted = self.request(task_id=task_id, priority=priority, labels=labels, **params)
        from streamsched.client import Client
        from streamsched.hosting.run import work_on
        from streamsched.installation.settings import load_settings

        settings = load_settings(data_dir=data_dir)
        with _importable(self.__module__):
            made, _ = work_on(wanted, settings, slots=slots)
        own = Client(settings=settings)
        return own.task(made.task_id, first=made.first).owning(own.close)

    def try_child(self, child: int = 0, **params: Any) -> Any:
        """Run one child in this process, without a log, and return its result as others would see it.

        Checkpoints are not kept. Raise InputError, what the function raises, and what its result does.
        """
        from streamsched.commands.plan import find, open_log
        from streamsched.commands.request import prepare_any
        from streamsched.domain import values
        from streamsched.domain.errors import InputError
        from streamsched.worker.context import PAYLOAD_LIMIT, ChildContext, LocalTransport
        from streamsched.worker.handlers import Handlers
        from streamsched.worker.local import call
        from streamsched.worker.payload import write_result
        from streamsched.worker.sources.inputs import opened
        from streamsched.worker.sources.local import LocalEntries

        prepared = prepare_any(self.template, self._checked(params))
        arguments = find(prepared, max(child, 0)) if prepared.plan.split else prepared.arguments()
        if not 0 <= child < arguments.children:
            reason = f"there is no child {child}: the task has {arguments.children:,}, counted from 0"
            raise InputError(reason, "choose another")
        spec = prepared.template.child
        ctx = ChildContext(LocalTransport(), task_id="try", child_index=child, handler=spec.handler)
        inputs = arguments.inputs(child) if isinstance(arguments, LocalEntries) else ()
        setup = Handlers([spec.setup.partition(":")[0]]).resolve(spec.setup) if spec.setup else None
        with opened(ctx, "{}", inputs, lambda: None, open_log):
            returned = call(self._function, ctx, values.read(arguments(child)), setup=setup)
        kept = write_result(returned, PAYLOAD_LIMIT)
        return None if kept is None else values.read(kept)

    def create_schedule(
        self, *, schedule_id: str | None = None, client: Client | None = None, **params: Any
    ) -> Changed:
        """Create the schedule of ``schedule=``, as ``Client.create_schedule`` does; its default id is the job's name.

        Variables may hold ``${tick.nominal}`` and the like.
        """
        from streamsched.client import Client
        from streamsched.files.schedule_file import want_schedule
        from streamsched.runtime.clock import SystemClock

        self.template  # noqa: B018 - what is wrong with it is raised here
        wanted = want_schedule(
            self._document,
            self._checked(params),
            now=SystemClock().now(),
            schedule_id=schedule_id or self.template.name,
        )
        if client is not None:
            return client.create_schedule(wanted)
        with Client() as own:
            return own.create_schedule(wanted)

    @cached_property
    def _document(self) -> Document:
        from streamsched.files.function import Options, document_of

        return document_of(cast(FunctionType, self._function), Options(**self._options))

    def _checked(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return variables as JSON; refuse those that the methods cannot be given. Raise InputError."""
        from streamsched.files.function import as_json

        for name in _OPTIONS:
            if name in self.template.params:
                from streamsched.domain.errors import InputError

                remedy = f"rename it, or use client.submit({self.__name__}, {{{name!r}: ...}})"
                raise InputError(
                    f"variable {name} has the name of an option here", remedy, source=f"job {self.__name__}"
                )
        return {name: as_json(value) for name, value in params.items()}


@contextmanager
def _importable(module: str) -> Iterator[None]:
    """Let new processes find a module in the folder that this one has it from: a script need not be where it works."""
    from pathlib import Path

    found, before = sys.modules[module], os.environ.get("PYTHONPATH")
    if found.__file__ is None:
        yield
        return
    above = module.count(".") + hasattr(found, "__path__")
    folder = str(Path(found.__file__).absolute().parents[above])
    os.environ["PYTHONPATH"] = folder if before is None else f"{folder}{os.pathsep}{before}"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
