"""Handlers that emit, from the command line, over the embedded log and with real executors."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli

pytestmark = pytest.mark.slow

HANDLERS = """
import asyncio
import os
import signal


def resumed(ctx, n):
    for number in ctx.resume(range(n), every=7):
        ctx.emit("out", {"child": ctx.child_index, "n": number}, key=str(number), headers={"a": "b"})
        if number == n // 2 and ctx.attempt == 1:
            ctx.emit("out", "an element that is not finished")
            os.kill(os.getpid(), signal.SIGKILL)


def stepped(ctx, n):
    done = ctx.last_checkpoint or 0
    while done < n:
        ctx.emit("out", {"child": ctx.child_index, "n": done})
        done += 1
        if done % 10 == 0:
            ctx.checkpoint(done, wait=done % 50 == 0)
            if done == 60 and ctx.attempt == 1:
                raise ValueError("no")
    ctx.emit("out", b"the end")


def large(ctx, n):
    for number in ctx.resume(range(n), every=1):
        for _ in range(3):
            ctx.emit("out", bytes(1_000_000))


async def parallel(ctx, n):
    for number in ctx.resume(range(n), every=9):
        ctx.emit("out", {"child": ctx.child_index, "n": number})
        await asyncio.sleep(0)
        if number == n // 2 and ctx.attempt == 1 and ctx.child_index == 1:
            raise ValueError("no")


def full(ctx, n):
    for number in range(n):
        ctx.emit("out", "x")


def refused(ctx, n):
    try:
        ctx.emit("elsewhere", "x")
    except Exception as error:
        return [type(error).__name__, str(error)]


def own(ctx, n):
    ctx.emit("streamsched.events", b"x")
"""
TEMPLATE = """
name: emitting
params: {{n: {{type: integer, default: 100}}}}
split: {{range: {{first: 1, last: 3, size: 1}}}}
child: {{handler: "emits:{handler}", args: {{n: "${{n}}"}}, retry: {{max_attempts: 2, initial_interval: 10ms}}}}
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "emits.py").write_text(HANDLERS)
    found = Cli(tmp_path)
    found.environment["STREAMSCHED_EMIT_TOPICS"] = "out,made-*,streamsched.*"
    return found


def run(cli: Cli, handler: str, *more: str, code: int = 0, child: str = "") -> str:
    template = cli.folder / f"{handler}.yaml"
    template.write_text(TEMPLATE.format(handler=handler).replace("retry:", f"{child}retry:"))
    return cli("run", template, "--slots", "2", "--task-id", "task", *more, code=code).stderr


def consumed(cli: Cli, topic: str = "out") -> list[dict[str, Any]]:
    return [json.loads(line) for line in cli.here("topic", "consume", topic, "--json").stdout.splitlines()]


def test_elements_of_resume_emit_exactly_once_though_each_executor_is_killed(cli: Cli) -> None:
    run(cli, "resumed")
    found = [json.loads(record["value"]) for record in consumed(cli)]
    for child in range(3):
        assert [each["n"] for each in found if each["child"] == child] == list(range(100))
    first = consumed(cli)[0]
    assert first["headers"] == [{"name": "a", "value": "b"}]
    assert first["key"] == str(found[0]["n"])


def test_what_a_checkpoint_covers_is_written_once_though_each_child_fails(cli: Cli) -> None:
    cli("topic", "create", "out", "--partitions", "3")
    run(cli, "stepped")
    values = [record["value"] for record in consumed(cli)]
    assert values.count("the end") == 3
    found = [json.loads(value) for value in values if value != "the end"]
    for child in range(3):
        assert [each["n"] for each in found if each["child"] == child] == list(range(100))


def test_async_handlers_of_one_executor_emit_each_for_itself(cli: Cli) -> None:
    run(cli, "parallel", child="concurrency: 3, ")
    found = [json.loads(record["value"]) for record in consumed(cli)]
    for child in range(3):
        assert [each["n"] for each in found if each["child"] == child] == list(range(100))


def test_more_than_the_buffer_holds_goes_out_on_the_way(cli: Cli) -> None:
    run(cli, "large", "-p", "n=5")
    assert len(consumed(cli)) == 3 * 5 * 3


@pytest.mark.parametrize(
    ("handler", "n", "says"),
    [
        ("full", 20_001, "20,000 records of"),
        ("own", 1, "topic 'streamsched.events' is of streamsched's own"),
    ],
)
def test_what_cannot_be_emitted_fails_the_child_at_once(cli: Cli, handler: str, n: int, says: str) -> None:
    run(cli, handler, "-p", f"n={n}", code=1)
    child = cli.here("children", "task", "--state", "failed", "--json").stdout.splitlines()[0]
    assert json.loads(child)["attempt"] == 1
    assert says in child


def test_a_topic_that_is_not_allowed_is_named_with_the_setting(cli: Cli) -> None:
    run(cli, "refused")
    (name, message) = json.loads(cli.here("results", "task", "--json").stdout.splitlines()[0])["result"]
    assert name == "EmitRefused"
    assert "may not write to topic 'elsewhere': name it in the worker's setting [emit] topics" in message
    assert "(those are out, made-*, streamsched.*)" in message


def test_topics_are_made_written_and_read(cli: Cli) -> None:
    assert "created" in cli("topic", "create", "orders", "--partitions", "2").stdout
    assert "is there" in cli("topic", "create", "orders", "--partitions", "2").stdout
    assert "partitions" in cli("topic", "create", "orders", "--partitions", "3", code=3).stderr
    process = cli.start("topic", "produce", "orders", "--key-separator", ":", stdin=subprocess.PIPE)
    out, _ = process.communicate("a:1\nb:2\nno key\na:3\n", timeout=60)
    assert out == "4 records written to orders\n"
    found = [(each["key"], each["value"]) for each in consumed(cli, "orders")]
    assert sorted(found, key=str) == [("a", "1"), ("a", "3"), ("b", "2"), (None, "no key")]
    again = "\n".join(json.dumps(each) for each in consumed(cli, "orders"))
    cli("topic", "create", "copies", "--partitions", "2")
    process = cli.start("topic", "produce", "copies", "--json", stdin=subprocess.PIPE)
    process.communicate(again, timeout=60)
    assert [(each["key"], each["value"], each["partition"]) for each in consumed(cli, "copies")] == [
        (each["key"], each["value"], each["partition"]) for each in consumed(cli, "orders")
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["create", "streamsched.events"], 2, "streamsched's own"),
        (["create", "a b"], 2, "invalid name"),
        (["produce", "nowhere"], 2, "there is no topic nowhere"),
        (["consume", "nowhere"], 2, "there is no topic nowhere"),
    ],
)
def test_a_topic_that_cannot_be_is_refused_in_one_line(cli: Cli, arguments: list[str], code: int, says: str) -> None:
    cli("topic", "create", "orders")
    done = cli("topic", *arguments, code=None)
    assert says in done.stderr, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.returncode in (code, 3)


def test_try_shows_what_a_handler_emits_and_writes_nothing(cli: Cli) -> None:
    template = cli.folder / "try.yaml"
    template.write_text(TEMPLATE.format(handler="stepped"))
    done = cli("try", template, "-p", "n=12")
    assert done.stderr.splitlines()[1:3] == ['emits to out: {"child":0,"n":0}', 'emits to out: {"child":0,"n":1}']
    assert done.stderr.splitlines()[-1] == "emits to out: the end"
    assert not (cli.folder / ".streamsched").exists()
    template.write_text(TEMPLATE.format(handler="own"))
    _, err = cli.start("try", template).communicate(timeout=60)
    assert "EmitRefused: topic 'streamsched.events' is of streamsched's own" in err.splitlines()[-1]
