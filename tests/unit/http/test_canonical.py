"""A template as events hold it can be sent too: whatever stands in it, that is a task or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamsched.commands.request import want
from streamsched.domain.errors import WrongInput
from streamsched.files.template_file import load_template
from streamsched.http.tasks import template_of
from tests.support.http_server import Http, serving

WHOLE = """
name: whole
params:
  n: {type: integer, default: 3, minimum: 1, maximum: 9, description: how many}
  text: {type: string, default: a, pattern: "[a-z]+", minLength: 1, maxLength: 9, enum: [a, b]}
  files: {type: array, items: string, default: [a.txt]}
split: SPLIT
child:
  handler: job:work
  args: {n: "${n}", text: "${text}"}
  retry: {max_attempts: 3, initial_interval: 1s, non_retryable: [ValueError]}
  timeout: 10m
  heartbeat: 10s
  needs: {gpu: a100}
failure: {on: run_all, tolerate: 2%, rules: [{error: KeyError, do: fail_task}]}
reduce: {handler: "job:total", timeout: 1h}
queue: gpu
labels: {team: data}
deadline: 1d
parallelism: 5
rate: 10/s
fairness: {key: "${text}", weight: 2}
"""
SPLITS = (
    '{range: {first: 1, last: "${n}", size: 1}}', '{files: {glob: "${files}"}}', "{lines: {file: a.txt, size: 10}}",
    "{list: {items: [1, 2, 3]}}", "{dates: {start: 2026-01-01, end: 2026-01-03, every: day}}",
    "{grid: {axes: {a: [1, 2], b: [x, y]}}}", "{bytes: {files: [a.bin], size: 1MiB}}", "{by: job:cut}",
)  # fmt: skip
ODD: tuple[Any, ...] = (None, True, -1, 10**30, 1.5, "", "${child.first}", "\x1b", [], [[]], {}, {"a": None}, [None])


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    with serving(tmp_path_factory.mktemp("canonical") / "log") as found:
        yield found


def changed(value: Any) -> Iterator[Any]:
    """Yield the value with each part replaced, left out, or beside another one."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield {key: each for key, each in value.items() if key != name}
            yield from ({**value, name: each} for each in (*ODD, *changed(part)))
        yield {**value, "colour": 1}
    elif isinstance(value, list):
        for at, part in enumerate(value):
            yield from ([*value[:at], each, *value[at + 1 :]] for each in (*ODD, *changed(part)))


@pytest.mark.parametrize("split", SPLITS)
def test_whatever_stands_in_a_template_is_a_task_or_refused(tmp_path: Path, split: str) -> None:
    file = tmp_path / "whole.yaml"
    file.write_text(WHOLE.replace("SPLIT", split))
    template = json.loads(load_template(file).to_json())
    assert want(template_of(template)).prepared.template_json == load_template(file).to_json()
    refused = 0
    for each in changed(template):
        try:
            want(template_of(each))
        except WrongInput:  # any other error would be a 500
            refused += 1
    assert refused > 100


def test_a_template_of_a_file_is_not_one_of_an_event_and_the_other_way_round(ask: Http, tmp_path: Path) -> None:
    file = tmp_path / "whole.yaml"
    file.write_text(WHOLE.replace("SPLIT", SPLITS[0]))
    template = json.loads(load_template(file).to_json())
    assert ask.post("/v1/tasks", {"template": template}).problem == "input-error"
    assert ask.post("/v1/tasks", {"template": {"name": "a"}, "canonical": True}).problem == "template-error"
    schedule = {"schedule": {"interval": "1h", "template": template}, "canonical": True}
    assert ask("PUT", "/v1/schedules/s", schedule, If_Match="*").problem == "no-such-schedule"
    assert ask("PUT", "/v1/schedules/s", schedule, If_None_Match='"3:1"').problem == "input-error"
    assert ask("PUT", "/v1/schedules/s", schedule, If_None_Match="*").status == 201
    assert ask("PUT", "/v1/schedules/s", schedule, If_Match="*").json["changed"] is False
    other = {**schedule, "params": {"n": 5}}
    assert ask("PUT", "/v1/schedules/s", other, If_None_Match="*").problem == "schedule-conflict"
    assert ask("DELETE", "/v1/schedules/s?note=no%20more").json["status"]["note"] == "no more"
    assert (
        ask("PUT", "/v1/schedules/t", {"schedule": {"interval": "1h", "template": {}}, "canonical": True}).status == 422
    )
