"""What becomes of failures, as users have it: which are borne and redriven, and which are not tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Cli

pytestmark = pytest.mark.slow

HANDLERS = '''
import json
from pathlib import Path

import streamsched


def half(ctx, child):
    """Fail in odd children, after a checkpoint, until they are mended; then continue from it."""
    before = ctx.last_checkpoint
    if child % 2 and not Path("mended").exists():
        ctx.checkpoint({"child": child}, wait=True)
        raise ValueError(f"child {child}")
    return before


class Outer:
    class Base(Exception):
        pass


class Sub(Outer.Base, KeyError):
    pass


def wrong(ctx, child):
    """Fail in a way of each child's own."""
    if child == 0:
        raise Sub("x")
    if child == 1:
        b"\\xff".decode()
    if child == 2:
        raise type("Made", (OSError,), {"__module__": 7})
    if child == 3:
        raise ConnectionResetError(5, "gone")
    if child == 4:
        raise Exception
    if child == 6:
        json.loads("{")
    if child == 7:
        raise streamsched.RetryAfter(0.001)
    raise KeyboardInterrupt
'''


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "fh.py").write_text(HANDLERS)
    return Cli(tmp_path)


def write(cli: Cli, failure: str, retry: str = "{max_attempts: 1}", handler: str = "half") -> str:
    (cli.folder / "job.yaml").write_text(
        f"name: job\nsplit: {{range: {{first: 0, last: {5 if handler == 'half' else 7}, size: 1}}}}\n"
        f'child: {{handler: "fh:{handler}", args: {{child: "${{child.first}}"}}, retry: {retry}}}\nfailure: {failure}\n'
    )
    return "job.yaml"


def test_failures_that_were_borne_are_redriven_from_their_checkpoints(cli: Cli) -> None:
    job = write(cli, "{tolerate: 50%}")
    cli("run", job, "--task-id", "t")
    assert cli.json("status", "t")["children"]["failed"] == 3
    (cli.folder / "mended").touch()
    cli("redrive", "t")
    cli("run", job, "--task-id", "t")
    status = cli.json("status", "t")
    assert (status["state"], status["redrive"], status["children"]["succeeded"]) == ("succeeded", 1, 6)
    results = [line["result"] for line in cli.lines("results", "t")]
    assert results == [None, {"child": 1}, None, {"child": 3}, None, {"child": 5}]
    assert [child["dispatches"] for child in cli.lines("children", "t")] == [1, 2, 1, 2, 1, 2]
    assert "nothing is left to do; do it all again with --all" in cli("redrive", "t", code=2).stderr
    cli("audit", "verify")


@pytest.mark.parametrize(
    ("named", "final"),
    [
        ("fh.Sub, ValueError", {0, 1, 6}),
        ("Sub", {0}),
        ("fh.Outer.Base", {0}),
        ("KeyError, builtins.UnicodeDecodeError", {0, 1}),
        ("LookupError, Made", {0, 2}),
        ("OSError", {2, 3}),
        ("Exception", {0, 1, 2, 3, 4, 6, 7}),
        ("BaseException", {0, 1, 2, 3, 4, 5, 6, 7}),
        ("json.JSONDecodeError, streamsched.ChildError", {6, 7}),  # as their packages show them
        ("m.Sub, Outer.Base, ValueErr", set()),
    ],
)
def test_an_error_is_not_tried_again_by_its_class_or_a_base(cli: Cli, named: str, final: set[int]) -> None:
    retry = f"{{max_attempts: 2, initial_interval: 1ms, non_retryable: [{named}]}}"
    cli("run", write(cli, "{tolerate: 100%}", retry, "wrong"), "--task-id", "t")
    assert {child["child"] for child in cli.lines("children", "t") if child["attempt"] == 1} == final


@pytest.mark.parametrize("name", ["m:Sub", "Value Error", "ValueError()", "''", "m..Sub", ".Sub", "m.", "3rd", "a-b"])
def test_a_name_that_no_class_can_have_is_refused(cli: Cli, name: str) -> None:
    said = cli.here("plan", write(cli, "{}", f"{{non_retryable: [OSError, {name}]}}"), code=2).stderr
    assert "job.yaml:3: child.retry.non_retryable[1]: " in said
    assert "is not a name of an error type; write ValueError or package.module.Class" in said


@pytest.mark.parametrize(
    ("name", "own"),
    [("IOError", "OSError"), ("builtins.EnvironmentError", "OSError"), ("socket.timeout", "TimeoutError")],
)
def test_a_second_name_that_no_error_is_told_by_is_refused(cli: Cli, name: str, own: str) -> None:
    said = cli.here("plan", write(cli, "{}", f"{{non_retryable: [OSError, {name}]}}"), code=2).stderr
    assert "job.yaml:3: child.retry.non_retryable[1]: " in said
    assert f"is an alias of {own}, and errors are reported as {own}; write {own}" in said


def test_run_all_runs_everything_and_then_fails(cli: Cli) -> None:
    job = write(cli, "{on: run_all}")
    cli("run", job, "--task-id", "t", "--slots", "1", code=1)
    status = cli.json("status", "t")
    assert (status["state"], status["children"]["succeeded"], status["children"]["failed"]) == ("failed", 3, 3)
    assert status["reason"] == "child 1 failed: ValueError: child 1"
    (cli.folder / "mended").touch()
    cli("redrive", "t")
    cli("run", job, "--task-id", "t")
    assert [child["dispatches"] for child in cli.lines("children", "t")] == [1, 2, 1, 2, 1, 2]
    cli("audit", "verify")


@pytest.mark.parametrize("failure", ["{on: run_all, tolerate: 50%}", "{on: run_all, tolerate: {count: 3}}"])
def test_run_all_succeeds_where_the_failures_are_borne(cli: Cli, failure: str) -> None:
    cli("run", write(cli, failure), "--task-id", "t")
    assert cli.json("status", "t")["children"]["failed"] == 3


@pytest.mark.parametrize("on", ["runall", "'yes'", "[run_all]", "true"])
def test_another_word_is_refused(cli: Cli, on: str) -> None:
    assert "job.yaml:4: failure.on: " in cli.here("plan", write(cli, f"{{on: {on}}}"), code=2).stderr


def test_rules_and_groups_of_failures_as_users_have_them(cli: Cli) -> None:
    rules = '[{error: Sub, do: skip}, {message: "codec can", do: fail}, {error: JSONDecodeError, do: fail}]'
    job = write(cli, f"{{tolerate: 100%, rules: {rules}}}", "{max_attempts: 2, initial_interval: 1ms}", "wrong")
    cli("run", job, "--task-id", "t")
    children = {child["child"]: child for child in cli.lines("children", "t")}
    assert (children[0]["state"], children[0]["reason"], children[0]["attempt"]) == ("cancelled", "skipped", 1)
    assert {number for number, child in children.items() if child["attempt"] == 2} == {2, 3, 4, 5, 7}
    groups = cli.lines("failures", "t")
    assert [group["count"] for group in groups] == [2, 2, 2, 2, 2, 1, 1, 1]
    assert {group["fingerprint"] for group in groups} == {child["group"] for child in children.values()}
    assert {tuple(group["samples"]): group["ended"] for group in groups} == {
        **{(number,): 1 for number in range(1, 8)}, (0,): 0,
    }  # fmt: skip
    assert {group["type"] for group in groups} >= {"Sub", "UnicodeDecodeError", "JSONDecodeError", "KeyboardInterrupt"}
    shown = cli("failures", "t").stdout.splitlines()
    assert len(shown) == 1 + len(groups)
    assert all(shown[1 + at].startswith(group["fingerprint"]) for at, group in enumerate(groups))
    assert children[6]["group"] in cli("children", "t").stdout
    cli("audit", "verify")


def test_failures_of_one_bug_are_one_group_and_a_redrive_lowers_it(cli: Cli) -> None:
    job = write(cli, "{tolerate: 100%}")
    cli("run", job, "--task-id", "t")
    (group,) = cli.lines("failures", "t")
    assert (group["count"], group["ended"], sorted(group["samples"])) == (3, 3, [1, 3, 5])
    assert group["message"] == f"child {group['samples'][0]}"
    (cli.folder / "mended").touch()
    cli("redrive", "t")
    cli("run", job, "--task-id", "t")
    assert [(each["count"], each["ended"]) for each in cli.lines("failures", "t")] == [(3, 0)]


def test_a_task_without_failures_has_none_and_an_unknown_one_is_an_error(cli: Cli) -> None:
    (cli.folder / "mended").touch()
    cli("run", write(cli, "{}"), "--task-id", "t")
    done = cli("failures", "t")
    assert (done.stdout, done.stderr) == ("", "no attempt has failed\n")
    assert "no task 'u'" in cli("failures", "u", code=4).stderr


def test_the_exit_code_of_a_program_is_told(cli: Cli) -> None:
    (cli.folder / "job.yaml").write_text(
        "name: job\nsplit: {range: {first: 0, last: 1, size: 1}}\n"
        'child: {command: [sh, -c, "echo no space on /dev/sd$0 >&2; exit 7$0", "${child.first}"], '
        "retry: {initial_interval: 1ms}}\n"
        "failure: {rules: [{exit_code: 70, do: skip}, {exit_code: 71, do: fail_task}]}\n"
    )
    cli("run", "job.yaml", "--task-id", "t", "--slots", "1", code=1)
    assert [(child["state"], child["attempt"]) for child in cli.lines("children", "t")] == [
        ("cancelled", 1), ("failed", 1),
    ]  # fmt: skip
    assert cli.json("status", "t")["reason"].startswith(
        "child 1 failed: Exit71: the program sh ended with exit code 71"
    )


def test_a_rule_that_can_never_match_is_refused_with_its_line(cli: Cli) -> None:
    said = cli.here("plan", write(cli, "{rules: [{exit_code: 75, do: retry}]}"), code=2).stderr
    assert "job.yaml:4: failure.rules[0].exit_code: " in said
    assert "only programs have exit codes; name its error in error, or write a command" in said


def test_only_selected_children_are_redriven(cli: Cli) -> None:
    job = write(cli, "{tolerate: 50%}")
    cli("run", job, "--task-id", "t")
    (cli.folder / "mended").touch()
    where = "state=failed and index=1..3"
    shown = cli.json("redrive", "t", "--where", where, "--dry-run")
    assert shown == {"task_id": "t", "where": where, "children": 2, "states": {"failed": 2}}
    assert "2 children would run again: 2 failed" in cli("redrive", "t", "--where", where, "--dry-run").stdout
    said = cli("redrive", "t", "--where", "state=succeeded", code=2).stderr
    assert "no child of task 't' that did not succeed meets the selector" in said
    assert cli.json("status", "t")["redrive"] == 0, "nothing was written"
    cli("redrive", "t", "--where", where)
    cli("run", job, "--task-id", "t")
    status = cli.json("status", "t")
    assert (status["state"], status["redrive"], status["children"]["succeeded"]) == ("succeeded", 1, 5)
    assert status["children"]["failed"] == 1, "child 5 was left out, and is tolerated"
    assert [child["dispatches"] for child in cli.lines("children", "t")] == [1, 2, 1, 2, 1, 1]
    assert [line["result"] for line in cli.lines("results", "t")] == [None, {"child": 1}, None, {"child": 3}, None]
    assert "where state=failed and index=1..3" in cli("replay", "--task", "t").stdout
    cli("audit", "verify")


def test_what_a_selector_leaves_out_counts_for_the_verdict(cli: Cli) -> None:
    job = write(cli, "{on: run_all}")
    cli("run", job, "--task-id", "t", "--slots", "1", code=1)
    (cli.folder / "mended").touch()
    cli("redrive", "t", "--where", "index=1")
    cli("run", job, "--task-id", "t", code=1)
    status = cli.json("status", "t")
    assert (status["state"], status["children"]["succeeded"], status["children"]["failed"]) == ("failed", 4, 2)
    assert status["reason"] == "2 of 6 children did not succeed, 2 of them were left out of the redrive"
    cli("redrive", "t", "--where", "error=ValueError")
    cli("run", job, "--task-id", "t")
    assert cli.json("status", "t")["children"]["succeeded"] == 6
    cli("audit", "verify")


def test_children_and_results_are_selected(cli: Cli) -> None:
    cli("run", write(cli, "{tolerate: 50%}"), "--task-id", "t")

    def selected(command: str, where: str) -> list[int]:
        return [child["child"] for child in cli.lines(command, "t", "--where", where)]

    assert selected("children", "state=failed and index>=2") == [3, 5]
    assert selected("children", "error=ValueError and index=0..3") == [1, 3]
    assert selected("children", "error!=ValueError and index!=0|2") == [4]
    assert selected("children", "attempts>=2") == []
    assert selected("results", "index=0..3") == [0, 2]
    assert selected("results", "state=failed") == []
    said = cli("children", "t", "--where", "state=failed and stat=3", code=2).stderr
    assert "where: character 18: unknown field 'stat'; did you mean state?" in said
