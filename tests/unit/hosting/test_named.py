"""What a ``run`` on Kafka allows: what the templates of this log name, its own first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from streamsched.hosting.run import Run
from streamsched.installation.settings import Settings
from tests.unit.scheduler.routing_case import task_of


def named(brokers: str, *handlers: str) -> list[str]:
    run: Any = object.__new__(Run)
    run._site = SimpleNamespace(settings=Settings(brokers=brokers))
    run._view = SimpleNamespace(active={handler: task_of("t", handler) for handler in handlers}, schedules={})
    return list(run._named(handlers[0]))


def test_a_run_allows_the_modules_and_programs_that_templates_name() -> None:
    assert named("x:1", "$ ./z", "m:f", "m:g", "$ ./a b") == ["$ ./z", "$ ./a b", "m"]
    assert named("x:1", "m:f", "$ ./z") == ["m", "$ ./z"]
    assert named("", "$ ./z") == ["*"]
