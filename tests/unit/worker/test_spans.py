"""Traces of attempts, in real executors: a root each, with a link to the submit, above what the handler traces."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from streamsched.worker import telemetry
from tests.support.cli import Cli
from tests.support.collector import Collected, collecting

SUBMIT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LINK = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
HANDLERS = """
import asyncio
import os
import time
from opentelemetry import trace

def plain(ctx, first, last):
    with trace.get_tracer("mine").start_as_current_span("plain inside"):
        time.sleep(0.002)
    print("pid", os.getpid())

def failing(ctx, first, last):
    if ctx.attempt == 1:
        raise ValueError("it is odd")

async def gentle(ctx, first, last):
    await asyncio.sleep(0.01)
    with trace.get_tracer("mine").start_as_current_span(f"gentle inside {ctx.child_index}"):
        await asyncio.sleep(0.01)
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    made = Cli(tmp_path)
    for name in [*made.environment]:
        if name.startswith("OTEL_"):
            del made.environment[name]
    (tmp_path / "tracing.py").write_text(HANDLERS)
    for name, more in (("plain", ""), ("failing", ""), ("gentle", "  concurrency: 4\n")):
        (tmp_path / f"{name}.yaml").write_text(
            f"name: {name}\nsplit:\n  range: {{first: 1, last: 4, size: 1}}\nchild:\n  handler: tracing:{name}\n"
            '  args: {first: "${child.first}", last: "${child.last}"}\n'
            f"  retry: {{max_attempts: 2, initial_interval: 10ms}}\n{more}"
        )
    return made


def run(cli: Cli, name: str) -> str:
    return cli("run", f"{name}.yaml", "--task-id", f"my-{name}", "--slots", "1").stderr


def check_attempt(span: Collected, name: str) -> None:
    assert span.parent == ""
    assert span.links == [LINK]
    assert span.trace != LINK.partition("-")[0], "a trace of its own"
    assert span.resource["service.name"] == "streamsched-worker"
    assert span.attributes["streamsched.task"] == f"my-{name}"
    assert span.attributes["streamsched.stage"] == "work"


def test_an_attempt_is_a_root_with_a_link_to_its_submit_and_what_its_handler_traces_is_below_it(cli: Cli) -> None:
    with collecting() as collector:
        cli.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address, "TRACEPARENT": SUBMIT}
        run(cli, "plain")
        attempts = collector.named("tracing:plain", 4)
        inside = collector.named("plain inside", 4)
    assert len(attempts) == 4
    assert sorted(span.attributes["streamsched.child"] for span in attempts) == [0, 1, 2, 3]
    for span in attempts:
        check_attempt(span, "plain")
        assert span.attributes["streamsched.outcome"] == "completed"
        assert not span.failed
    assert {(span.trace, span.parent) for span in inside} == {(span.trace, span.id) for span in attempts}
    output = (cli.folder / ".streamsched" / "output.log").read_text()
    assert len(set(re.findall(r"pid (\d+)", output))) == 1, "sending spans costs no executor"


def test_an_async_attempt_has_its_own_span_beside_others(cli: Cli) -> None:
    with collecting() as collector:
        cli.environment |= {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.address}/v1/traces",
            "TRACEPARENT": SUBMIT,
        }
        run(cli, "gentle")
        attempts = {span.attributes["streamsched.child"]: span for span in collector.named("tracing:gentle", 4)}
        inside = {child: collector.named(f"gentle inside {child}", 1)[0] for child in range(4)}
    assert len(attempts) == len({span.trace for span in attempts.values()}) == 4
    for child, span in attempts.items():
        check_attempt(span, "gentle")
        assert (inside[child].trace, inside[child].parent) == (span.trace, span.id)


def test_a_failed_attempt_says_why_and_the_next_has_a_span_of_its_own(cli: Cli) -> None:
    with collecting() as collector:
        cli.environment |= {
            "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.address,
            "OTEL_SERVICE_NAME": "mine", "TRACEPARENT": "nonsense",
        }  # fmt: skip
        run(cli, "failing")
        attempts = collector.named("tracing:failing", 8)
    assert len(attempts) == 8
    assert len({span.trace for span in attempts}) == 8
    assert {span.resource["service.name"] for span in attempts} == {"mine"}
    for span in attempts:
        assert span.links == [], "what is no traceparent is linked to nothing"
        assert span.failed is (span.attributes["streamsched.attempt"] == 1)
        assert (span.message, span.events) == (("ValueError: it is odd", ["exception"]) if span.failed else ("", []))


def test_a_collector_that_is_away_costs_no_child_and_is_told_once(cli: Cli) -> None:
    cli.environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "10",
    }  # fmt: skip
    run(cli, "plain")
    assert cli.json("status", "my-plain")["state"] == "succeeded"
    output = (cli.folder / ".streamsched" / "output.log").read_text()
    assert output.count("traces of this process cannot be sent") <= 1


@pytest.mark.parametrize(
    ("variables", "on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
    ],
)
def test_traces_are_off_unless_somebody_says_where_to(variables: dict[str, str], on: bool) -> None:
    assert telemetry.wanted(variables) is on


def test_without_the_package_work_goes_on_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telemetry, "PACKAGES", ("no_such_package.at_all",))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x")
    telemetry.check()
    assert "pip install 'streamsched[otel]'" in caplog.text
    assert telemetry.begin() is None


def test_where_they_are_off_nothing_of_opentelemetry_is_imported(cli: Cli) -> None:
    (cli.folder / "tracing.py").write_text(
        "import sys\n\ndef plain(ctx, first, last):\n"
        "    return sorted(name for name in sys.modules if name.startswith(('opentelemetry', 'requests')))\n"
    )
    run(cli, "plain")
    assert {str(each["result"]) for each in cli.lines("results", "my-plain")} == {"[]"}
    assert "opentelemetry" not in sys.modules or telemetry.begin() is None
