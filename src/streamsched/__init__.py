"""streamsched: a distributed scheduler for long work cut into many pieces, event-sourced on Kafka."""

from __future__ import annotations

from streamsched.version import __version__

TYPE_CHECKING = False  # of typing it would cost the start of every command an import
if TYPE_CHECKING:
    from streamsched.aio import AsyncClient as AsyncClient
    from streamsched.aio import AsyncTask as AsyncTask
    from streamsched.client import Client as Client
    from streamsched.commands.plan import plan as plan
    from streamsched.commands.redrive import NotRedrivable as NotRedrivable
    from streamsched.commands.request import TaskConflict as TaskConflict
    from streamsched.commands.request import want as request
    from streamsched.commands.schedules import ScheduleConflict as ScheduleConflict
    from streamsched.domain.errors import InputError as InputError
    from streamsched.domain.errors import NoResult as NoResult
    from streamsched.domain.errors import NoSuchSchedule as NoSuchSchedule
    from streamsched.domain.errors import NoSuchTask as NoSuchTask
    from streamsched.hosting.run import run as run
    from streamsched.jobs import Job as Job
    from streamsched.jobs import job as job
    from streamsched.log.codec import UnknownSchema as UnknownSchema
    from streamsched.log.port import LogError as LogError
    from streamsched.log.port import LogTaken as LogTaken
    from streamsched.log.port import LogUnreachable as LogUnreachable
    from streamsched.log.port import TopicMismatch as TopicMismatch
    from streamsched.queries.certificate import NotCertifiable as NotCertifiable
    from streamsched.task import Task as Task
    from streamsched.worker.async_context import AsyncChildContext as AsyncChildContext
    from streamsched.worker.context import ChildContext as ChildContext
    from streamsched.worker.context import LocalTransport as LocalTransport
    from streamsched.worker.context import Result as Result
    from streamsched.worker.errors import ChildError as ChildError
    from streamsched.worker.errors import NonRetryable as NonRetryable
    from streamsched.worker.errors import PayloadTooLarge as PayloadTooLarge
    from streamsched.worker.errors import RetryAfter as RetryAfter
    from streamsched.worker.errors import StopChild as StopChild

_HOMES = {
    "AsyncClient": "aio",
    "AsyncTask": "aio",
    "Client": "client",
    "Job": "jobs",
    "Task": "task",
    "job": "jobs",
    "plan": "commands.plan:plan",
    "request": "commands.request:want",
    "run": "hosting.run",
    # What Client and run raise.
    "InputError": "domain.errors",
    "NoResult": "domain.errors",
    "NoSuchSchedule": "domain.errors",
    "NoSuchTask": "domain.errors",
    "NotCertifiable": "queries.certificate",
    "NotRedrivable": "commands.redrive",
    "ScheduleConflict": "commands.schedules",
    "TaskConflict": "commands.request",
    "LogError": "log.port",
    "LogTaken": "log.port",
    "LogUnreachable": "log.port",
    "TopicMismatch": "log.port",
    "UnknownSchema": "log.codec",
    # What a handler is given, may raise, and may be handed.
    "AsyncChildContext": "worker.async_context",
    "ChildContext": "worker.context",
    "LocalTransport": "worker.context",
    "Result": "worker.context",
    "ChildError": "worker.errors",
    "NonRetryable": "worker.errors",
    "PayloadTooLarge": "worker.errors",
    "RetryAfter": "worker.errors",
    "StopChild": "worker.errors",
}
"""Where each name is at home, below ``streamsched``. Imported late: every command and executor imports this package."""

__all__ = [
    "AsyncChildContext", "AsyncClient", "AsyncTask", "ChildContext", "ChildError", "Client", "InputError", "Job",
    "LocalTransport", "LogError", "LogTaken", "LogUnreachable", "NoResult", "NoSuchSchedule", "NoSuchTask",
    "NonRetryable", "NotCertifiable", "NotRedrivable", "PayloadTooLarge", "Result", "RetryAfter", "ScheduleConflict",
    "StopChild", "Task", "TaskConflict", "TopicMismatch", "UnknownSchema", "__version__", "job", "plan", "request",
    "run",
]  # fmt: skip


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, other = home.partition(":")
    found: object = getattr(import_module(f"streamsched.{module}"), other or name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
