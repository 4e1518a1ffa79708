"""The limits of a task, as users have them: in a template, from the shell and from Python, on the embedded log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from streamsched import Client
from streamsched.commands.limits import NotChangeable, read_limits
from streamsched.domain.errors import InputError
from tests.support.cli import Cli

JOB = 'name: job\nsplit: {range: {first: 1, last: 6, size: 1}}\nchild: {handler: "jobs:work"}\n'
SLOW = "import time\n\n\ndef work(ctx):\n    time.sleep(0.05)\n    return ctx.child_index\n"
NOW = 1_000_000


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    made = Cli(tmp_path)
    (tmp_path / "jobs.py").write_text(SLOW)
    (tmp_path / "job.yaml").write_text(JOB)
    return made


@pytest.mark.slow
def test_a_task_keeps_the_limits_that_were_set(cli: Cli) -> None:
    cli("submit", "job.yaml", "--task-id", "t")
    said = cli(
        "set",
        "t",
        "parallelism=1",
        "rate=100/s",
        "priority=3",
        "weight=2",
        "tolerate=2%",
        "deadline=6h",
        "--reason",
        "r",
    )
    assert "priority 3, parallelism 1, rate 100/s, tolerate 2%, weight 2, deadline 20" in said.stdout
    status = cli.json("status", "t")
    assert status["priority"] == 3
    assert {name: status["limits"][name] for name in ("parallelism", "rate", "tolerate")} == {
        "parallelism": 1, "rate": "100/s", "tolerate": "2%",
    }  # fmt: skip
    assert "parallelism 1, rate 100/s, tolerate 2%" in cli("status", "t").stdout
    changed = cli.json("set", "t", "rate=none", "deadline=none")["limits"]
    assert changed == {"parallelism": 1, "rate": None, "tolerate": "2%", "deadline": None, "weight": 2}
    cli("run", "job.yaml", "--task-id", "t")
    history = cli("replay", "--task", "t").stdout
    assert "parallelism 1, rate 100/s, priority 3, weight 2, tolerate 2%, deadline 20" in history
    assert "because r" in history
    assert "rate none, deadline none" in history
    assert "is succeeded: only one that is planning, requested, running" in cli("set", "t", "rate=1/s", code=2).stderr
    cli("audit", "verify")


@pytest.mark.slow
def test_a_deadline_fails_a_task(cli: Cli) -> None:
    (cli.folder / "job.yaml").write_text(JOB + "deadline: 1s\nrate: 1/m\n")
    cli("run", "job.yaml", "--task-id", "t", code=1)
    status = cli.json("status", "t")
    assert status["state"] == "failed"
    assert status["reason"].startswith("its deadline 20")
    assert status["children"]["cancelled"] >= 1
    assert "limits of time up to" in cli("replay", "--task", "t").stdout
    assert "to end by" in cli("replay", "--task", "t").stdout
    cli("redrive", "t")
    cli("set", "t", "rate=none")
    cli("run", "job.yaml", "--task-id", "t", code=0)
    cli("audit", "verify")


@pytest.mark.slow
def test_the_same_from_python(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(cli.folder)
    with Client() as client:
        task = client.submit("job.yaml", task_id="t")
        due = datetime.now(UTC) + timedelta(hours=1)
        status = task.set_limits(parallelism=5, tolerate=0, deadline=due)
        assert status.limits
        assert (status.limits.parallelism, status.limits.tolerate) == (5, "0")
        assert abs(status.limits.deadline - due) < timedelta(milliseconds=1)  # type: ignore[operator]
        assert client.set_limits("t", parallelism="none", tolerate="3").limits.parallelism is None  # type: ignore[union-attr]
        client.cancel("t")
        with pytest.raises(NotChangeable, match="is cancelling"):
            task.set_limits(priority=1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "there is nothing to change; write NAME=VALUE"),
        ({"paralelism": 1}, "limits: unknown limit 'paralelism'; did you mean parallelism?"),
        ({"parallelism": "0"}, "parallelism: 0 would let nothing run; write 1 or more, or none"),
        ({"parallelism": "-1"}, "parallelism: must be a whole number, at least 1, not -1"),
        ({"parallelism": "many"}, "parallelism: must be a whole number, at least 1, not 'many'"),
        ({"parallelism": 1 << 31}, "parallelism: must be at most 2147483647"),
        ({"parallelism": True}, "parallelism: must be a whole number"),
        ({"priority": "1.5"}, "priority: must be a whole number"),
        ({"priority": "none"}, "priority: must be a whole number"),
        ({"weight": "0"}, "weight: must be a whole number, at least 1, not 0"),
        ({"weight": 1001}, "weight: must be at most 1000"),
        ({"rate": "100"}, "rate: '100' is not a rate; write 100/s"),
        ({"rate": "0/s"}, "rate: '0/s' is not a rate"),
        ({"rate": 5}, "rate: 5 is not a rate"),
        ({"tolerate": "101%"}, "tolerate: 101% is not between 0% and 100%"),
        ({"tolerate": "none"}, "tolerate: 'none' is neither a count nor a percentage"),
        ({"tolerate": "-1"}, "tolerate: must be a whole number, at least 0, not -1"),
        ({"tolerate": "9" * 15}, "tolerate: must be at most"),
        ({"deadline": "soon"}, "deadline: 'soon' is neither a duration nor a time"),
        ({"deadline": "0s"}, "deadline: '0s' is neither a duration nor a time"),
        ({"deadline": "1970-01-01T00:00:01Z"}, "deadline: 1970-01-01T00:00:01Z is not in the future"),
        ({"deadline": "9999-01-01T00:00:00Z"}, "deadline: 9999-01-01T00:00:00Z is too far away"),
        ({"deadline": "2026-01-01"}, "deadline: '2026-01-01' is neither"),
    ],
)
def test_wrong_limits_are_one_message(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        read_limits(given, NOW)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_named_stays() -> None:
    assert read_limits({"deadline": "10s"}, NOW) == {
        "parallelism": None, "rate": None, "priority": None, "weight": None, "tolerate": None,
        "deadline": NOW + 10_000,
    }  # fmt: skip


def test_words_that_are_no_pairs_are_refused(cli: Cli) -> None:
    assert "'50' is not NAME=VALUE" in cli("set", "t", "50", code=2).stderr
    twice = cli("set", "t", "rate=1/s", "rate=2/s", code=2).stderr
    assert "rate is given twice, '1/s' and '2/s'; keep one" in twice
