"""What users import: the names at the top level and their types, templates as dictionaries, work in the own process."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import streamsched
from streamsched import ChildContext, ChildError, Client, InputError, LocalTransport, TaskConflict
from streamsched.files.template_file import load_template, prepare
from tests.support.cli import TEMPLATES

RAISED = {
    "streamsched.domain.errors": ["InputError", "NoSuchSchedule", "NoSuchTask"],
    "streamsched.commands.redrive": ["NotRedrivable"],
    "streamsched.commands.request": ["TaskConflict"],
    "streamsched.queries.certificate": ["NotCertifiable"],
    "streamsched.commands.schedules": ["ScheduleConflict"],
    "streamsched.log.port": ["LogError", "LogTaken", "LogUnreachable", "TopicMismatch"],
    "streamsched.log.codec": ["UnknownSchema"],
    "streamsched.worker.errors": ["ChildError", "NonRetryable", "PayloadTooLarge", "RetryAfter"],
}
COUNT: dict[str, Any] = {
    "name": "count",
    "params": {"n": {"type": "integer", "default": 4}},
    "split": {"range": {"first": 1, "last": "${n}", "size": 2}},
    "child": {"handler": TEMPLATES["count"][0], "args": {"first": "${child.first}", "last": "${child.last}"}},
}


def changed(**fields: Any) -> dict[str, Any]:
    return {**COUNT, **fields}


def test_every_name_is_the_one_of_its_module() -> None:
    for module, names in RAISED.items():
        for name in names:
            assert getattr(streamsched, name) is getattr(__import__(module, fromlist=[name]), name)
    assert set(streamsched.__all__) <= set(dir(streamsched))
    for name in streamsched.__all__:
        assert getattr(streamsched, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        _ = streamsched.Cleint


def test_importing_it_imports_nothing_else() -> None:
    code = "import sys, streamsched; print(*(m for m in sys.modules if m.startswith(('streamsched', 'msgspec'))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert set(done.stdout.split()) == {"streamsched", "streamsched.version"}


@pytest.mark.slow
def test_types_are_seen_from_outside(tmp_path: Path) -> None:
    user = tmp_path / "user.py"
    user.write_text(
        "from streamsched import ChildContext, Client, RetryAfter, plan, run\n\n\n"
        "def handler(ctx: ChildContext, path: str) -> dict[str, int]:\n"
        "    ctx.checkpoint(path, wait=True)\n"
        "    raise RetryAfter(3.0)\n\n\n"
        "reveal_type(run({}, {}).state)\n"
        "reveal_type(plan({}).children)\n"
        "with Client() as client:\n"
        "    reveal_type(client.submit({}).first)\n"
        "    client.wait(5)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache"), "user.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert 'user.py:9: note: Revealed type is "str"' in said.replace("builtins.", ""), said
    assert 'user.py:10: note: Revealed type is "int"' in said.replace("builtins.", ""), said
    assert 'user.py:12: note: Revealed type is "bool"' in said.replace("builtins.", ""), said
    assert 'user.py:13: error: Argument 1 to "wait" of "Client" has incompatible type "int"' in said
    assert "Found 1 error in 1 file" in said


def test_a_handler_is_tried_without_a_worker() -> None:
    ctx = ChildContext(LocalTransport())
    assert list(ctx.resume(["a", "b"])) == ["a", "b"]
    error: ChildError = streamsched.RetryAfter(3)
    assert (error.retry_after, streamsched.NonRetryable("no").retryable) == (3, False)


def test_a_dictionary_is_the_same_template_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "count.yaml").write_text(
        "name: count\nparams:\n  n: {type: integer, default: 4}\n"
        'split:\n  range: {first: 1, last: "${n}", size: 2}\n'
        f'child:\n  handler: {TEMPLATES["count"][0]}\n  args: {{first: "${{child.first}}", last: "${{child.last}}"}}\n'
    )
    filed = prepare(load_template(tmp_path / "count.yaml"), {"n": 9})
    planned = streamsched.plan(COUNT, {"n": 9})
    assert planned == filed
    assert planned.children == 5
    assert planned.arguments()(4) == '{"first":9,"last":9}'
    with Client(data_dir=tmp_path / "log") as client:
        assert client.submit(COUNT, task_id="a").first
        assert not client.submit(tmp_path / "count.yaml", task_id="a").first
        with pytest.raises(TaskConflict, match="another template"):
            client.submit(changed(name="other"), task_id="a")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (changed(splitt={}), r"^template: splitt: unknown key splitt; did you mean split\?"),
        ({"name": "x", "split": COUNT["split"]}, "^template: child: is missing; add it"),
        (changed(name=5), "^template: name: must be a string, not 5; put it in quotes"),
        (changed(child={**COUNT["child"], "timeout": "soon"}), "^template: child.timeout: 'soon' is not a duration"),
        (changed(child={**COUNT["child"], "args": {"x": float("nan")}}), "child.args.x: nan is not a JSON number"),
        (changed(child={**COUNT["child"], "args": {"x": {1: 2}}}), "the key 1 is not a string; put it in quotes"),
        (changed(child={**COUNT["child"], "args": {"x": {1, 2}}}), r"child.args.x: .*write sorted"),
        (changed(child={**COUNT["child"], "args": {"x": 2**70}}), "the integer is beyond 64 bits"),
        (changed(split={"range": {"first": 1, "last": "${m}", "size": 2}}), r"split.range.last: ..m. is unknown"),
        ({}, "is missing"),
    ],
)  # fmt: skip
def test_a_wrong_dictionary_is_refused_with_its_field(template: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message), Client(data_dir=tmp_path / "log") as client:
        client.submit(template)
    with pytest.raises(InputError, match=message):
        streamsched.plan(template)
    with pytest.raises(InputError, match=message):
        streamsched.run(template, data_dir=tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_a_tuple_in_a_dictionary_is_a_list() -> None:
    planned = streamsched.plan(changed(params={}, split={"list": {"items": ("a", "b")}}, child={"handler": "a:b"}))
    assert planned.children == 2


def test_a_dictionary_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InputError, match="nested more than"):
        streamsched.plan(changed(child={**COUNT["child"], "args": {"x": endless}}))


@pytest.mark.parametrize("params", [{"m": 1}, {"n": "five"}])
def test_wrong_parameters_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"template count: "):
        streamsched.plan(COUNT, params)


def test_run_works_in_this_process(tmp_path: Path) -> None:
    states: list[str] = []
    found = streamsched.run(
        COUNT,
        {"n": 6},
        task_id="a",
        priority=2,
        data_dir=tmp_path,
        on_status=lambda status: states.append(status.state),
    )
    assert (found.state, found.children.succeeded, found.priority, states[-1]) == ("succeeded", 3, 2, "succeeded")
    assert found.started_at is not None
    assert found.finished_at is not None
    assert timedelta(0) <= found.finished_at - found.started_at < datetime.now(UTC) - found.submitted_at
    assert found.document()["submitted_at"] == found.submitted_at.isoformat(timespec="milliseconds")[:-6] + "Z"
    again = streamsched.run(COUNT, {"n": 6}, task_id="a", data_dir=tmp_path)
    assert again == found
    with Client(data_dir=tmp_path) as client:
        assert [child.result for child in client.results("a")] == [{"count": 2}] * 3
        assert client.wait("a", timeout=0).state == "succeeded"
