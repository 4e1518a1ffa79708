"""Log lines as JSON: an object a line, with whose it is where that is known."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from streamsched.cli.log_lines import JsonLines, Repetitions
from streamsched.domain import events as e
from streamsched.worker import told
from streamsched.worker.pending import child_of
from tests.unit.queries.test_progress import WHO

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CREATED = e.ChildCreated(*WHO, 3, 1, 2, "m:f", "{}", 0, 0, 0, 0, None, 0, TRACE)


def written(record: logging.LogRecord) -> dict[str, Any]:
    text = JsonLines().format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_failed_attempt_is_told_with_whose_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    child = child_of(CREATED, partition=0, offset=0, epoch=1, inherited=False)
    told.failed(child, e.ChildFailed(*WHO, 3, 1, 2, 1, 900, 0, None, "error", "KeyError", "a\nb", "", True, 0))
    found = written(caplog.records[0])
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "info", "logger": "streamsched.worker.told", "message": "task[3]#2 failed: KeyError: a\nb",
        "task": "task", "child": 3, "ordinal": 1, "attempt": 2, "worker": "w",
        "trace": "0af7651916cd43dd8448eb211c80319c",
    }  # fmt: skip


def test_nothing_is_made_up_and_an_error_keeps_its_traceback() -> None:
    try:
        raise ValueError("bäh")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    found = written(logging.LogRecord("a", logging.ERROR, "f", 1, "x %d", (1,), info))
    assert found.keys() == {"time", "level", "logger", "message", "traceback"}
    assert (found["message"], found["level"]) == ("x 1", "error")
    assert "bäh" in found["traceback"]


def test_repetitions_are_dropped_but_not_of_other_children() -> None:
    said = Repetitions()

    def passes(text: str, **fields: object) -> bool:
        return said.filter(logging.makeLogRecord({"name": "a", "msg": text, **fields}))

    assert [passes("gone 1"), passes("gone 2"), passes("other")] == [True, False, True]
    assert [passes("t[1] failed", child=1), passes("t[2] failed", child=2)] == [True, True]
