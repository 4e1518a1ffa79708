"""Watching a task through an outage."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from streamsched.cli import watching
from streamsched.log.port import LogUnreachable
from streamsched.queries.documents import Time
from streamsched.queries.status import ChildCounts, TaskStatus

RUNNING = TaskStatus(
    "t",
    "job",
    "v",
    "running",
    "",
    0,
    0,
    "submit",
    "me",
    Time.at(0),
    Time.at(0),
    None,
    {},
    ChildCounts(1, 0, 0, 1, 0, 0, 0),
    0,
)


def test_a_log_that_does_not_answer_ends_no_watching(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who works on the task is only a look beside it."""
    monkeypatch.setattr(watching, "MISSING_AFTER_S", 0.0)

    def follow(_: str) -> Iterator[TaskStatus]:
        yield RUNNING
        yield replace(RUNNING, state="succeeded")

    def why(_: str) -> str:
        raise LogUnreachable("cannot look up offsets")

    client = cast("Any", SimpleNamespace(follow=follow, why=why))
    assert watching.until_done(client, "t").state == "succeeded"
    assert "running: 0 of 1 succeeded, 1 running; cannot look up offsets" in capsys.readouterr().err
