"""Exit codes and messages: what scripts rely on, and what people get for their mistakes."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from streamsched import __version__
from tests.support.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def one_line(text: str) -> str:
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]


def test_a_worker_that_would_be_killed_in_its_drain_is_refused(cli: Cli) -> None:
    done = cli("worker", "--brokers", "127.0.0.1:1", "--drain-timeout", "30", "--grace-period", "30", code=2)
    assert done.returncode == 2
    assert "terminationGracePeriodSeconds" in one_line(done.stderr)
    assert "--drain-timeout 20" in done.stderr


@pytest.mark.parametrize(
    ("allow", "says"),
    [
        (["*"], "anyone who may write to the log could run any code here"),
        (["a", "*"], "any code here"),
        (["*.a"], "a star stands only at the end"),
        (["a*"], "a star stands only at the end"),
        (["a,b"], "is not a name of a module"),
        (["a:f"], "is not a name of a module"),
        (["a."], "is not a name of a module"),
        ([""], "is not a name of a module"),
        ([f"m{number}" for number in range(101)], "101 modules, more than 100"),
    ],
)
@pytest.mark.parametrize("command", [["worker", "--brokers", "127.0.0.1:1"], ["up"]])
def test_what_no_worker_allows_is_refused(cli: Cli, command: list[str], allow: list[str], says: str) -> None:
    options = [word for module in allow for word in ("--allow", module)]
    message = one_line(cli.here(*command, *options, code=2).stderr)
    assert says in message
    assert "'jobs.*'" in message
    assert not list(cli.folder.iterdir())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--queue", "a b"], "--queue: 'a b' is not the name of a queue"),
        (["--queue", "*"], "is not the name of a queue"),
        (["--label", "zone"], "--label: 'zone' is not a label; write NAME=VALUE"),
        (["--label", "zone="], "is not a label"),
        (["--label", "*=*"], "is not a label"),
        (["--label", "a=1", "--label", "a=2"], "the label a has two values"),
        ([word for n in range(33) for word in ("--label", f"l{n}=1")], "33 labels, more than 32"),
        ([word for n in range(101) for word in ("--queue", f"q{n}")], "101 queues, more than 100"),
    ],
)
def test_what_is_no_queue_and_no_label_is_refused(cli: Cli, options: list[str], says: str) -> None:
    message = one_line(cli.here("worker", "--brokers", "127.0.0.1:1", *options, code=2).stderr)
    assert says in message
    assert not list(cli.folder.iterdir())


def test_version(cli: Cli) -> None:
    assert cli("--version").stdout == f"streamsched {__version__}\n"


def test_every_command_has_help_with_an_example(cli: Cli) -> None:
    from streamsched.cli.app import COMMANDS, DEAD_LETTER_COMMANDS, GROUPS, command

    group = command()
    names: list[tuple[str, ...]] = [(name,) for name in COMMANDS]
    names += [(group_name, name) for group_name, (_, commands) in GROUPS.items() for name in commands]
    names += [("dead-letters",), *(("dead-letters", name) for name in DEAD_LETTER_COMMANDS)]
    for path in names:
        node = group
        for name in path:
            node = node.commands[name]
        assert node.help.strip()
        assert f"streamsched {' '.join(path)}" in node.epilog or f" {' '.join(path)}" in node.epilog
        options = {option for parameter in node.params for option in parameter.opts}
        assert {"--brokers", "--data-dir", "--prefix", "--config"} <= options
        own = cli.here(*path, "--help").stdout
        assert "env var" not in own  # [env: NAME], as of every option
        assert max(map(len, own.partition("Examples:")[0].splitlines())) <= 80
    shown = cli("run", "--help").stdout
    assert "Examples:\n  streamsched run examples/print-numbers.yaml -p n=1000000\n" in shown


@pytest.mark.parametrize("path", ["", "topics", "topic", "schedule", "audit", "dead-letters"])
def test_the_purpose_of_every_command_is_listed_whole(cli: Cli, path: str) -> None:
    _, _, listed = cli.here(*path.split(), "--help").stdout.partition("\nCommands:\n")
    assert listed
    assert [line for line in listed.splitlines() if line.endswith("...")] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["run"],
        ["run", "none.yaml"],
        ["run", "count.yaml", "-p", "m=1"],
        ["run", "count.yaml", "-p", "n=x"],
        ["run", "count.yaml", "-p", "n"],
        ["run", "count.yaml", "-p", "size=0"],
        ["run", "count.yaml", "-p", "n=100000000"],
        ["run", "count.yaml", "--params", "none.json"],
        ["run", "count.yaml", "--slots", "0"],
        ["run", "count.yaml", "--task-id", "a b"],
        ["run", "count.yaml", "--task-id", "tick@1"],
        ["run", "count.yaml", "--task-id", ""],
        ["run", "count.yaml", "--frobnicate"],
        ["plan", "count.yaml", "-p", "n=x"],
        ["try", "count.yaml", "--child", "4"],
        ["submit", "count.yaml", "-p", "n=x"],
        ["up", "--brokers", "127.0.0.1:1"],
        ["worker"],
        ["scheduler"],
        ["topics", "create"],
        ["topics", "check"],
        ["topics", "repair"],
        ["list", "--state", "asleep"],
        ["list", "--brokers", "nowhere"],
        ["list", "--config", "none.toml"],
        ["list", "--prefix", "a b"],
        ["list", "--log-level", "loud"],
        ["replay", "--until", "yesterday"],
        ["audit", "verify", "--until", "yesterday"],
        ["schedule", "create", "none.yaml"],
        ["schedule", "create", "count.yaml"],
        ["schedule", "update", "count.yaml", "--id", "a@b"],
        ["schedule", "ticks", "x", "--outcome", "lost"],
        ["schedule", "ticks", "x", "--since", "yesterday"],
    ],
    ids=" ".join,
)
def test_wrong_input_exits_2_and_writes_nothing(arguments: list[str], cli: Cli) -> None:
    cli.template("count")
    done = cli.here(*arguments, code=2)
    assert done.stdout == ""
    assert done.stderr
    assert [path.name for path in cli.folder.iterdir()] == ["count.yaml"]


def test_messages_name_the_thing_and_the_remedy(cli: Cli) -> None:
    cli.template("count")
    assert "known here: n, size" in one_line(cli.here("run", "count.yaml", "-p", "m=1", code=2).stderr)
    message = one_line(cli.here("worker", code=2).stderr)
    assert "streamsched run" in message
    assert "--brokers" in message
    message = one_line(cli.here("up", "--brokers", "127.0.0.1:1", code=2).stderr)
    assert "streamsched scheduler" in message
    assert "STREAMSCHED_BROKERS" in message


@pytest.mark.slow
def test_no_broker_exits_3_within_10_seconds_naming_the_address(cli: Cli) -> None:
    cli.template("count")
    began = time.monotonic()
    error = cli.here("--brokers", "127.0.0.1:1", "submit", "count.yaml", code=3).stderr
    assert time.monotonic() - began < 10
    assert "127.0.0.1:1" in error.splitlines()[-1]
    assert "--brokers" in error.splitlines()[-1]


def test_no_log_exits_3(cli: Cli) -> None:
    assert "streamsched run" in one_line(cli.here("status", "x", code=3).stderr)


def test_global_options_before_and_after_the_command(cli: Cli) -> None:
    assert "here/log" in cli.here("--data-dir", "here", "status", "x", code=3).stderr
    assert "there/log" in cli.here("status", "x", "--data-dir", "there", code=3).stderr
    assert "there/log" in cli.here("--data-dir", "here", "status", "x", "--data-dir", "there", code=3).stderr


def test_settings_from_environment_and_file(cli: Cli) -> None:
    (cli.folder / "s.toml").write_text('data_dir = "filed"\n[kafka]\n"client.id" = "me"\n')
    assert "filed/log" in cli.here("--config", "s.toml", "list", code=3).stderr
    cli.environment["STREAMSCHED_CONFIG"] = "s.toml"
    assert "filed/log" in cli.here("list", code=3).stderr
    cli.environment["STREAMSCHED_DATA_DIR"] = "set"
    assert "set/log" in cli.here("list", code=3).stderr
    assert "given/log" in cli.here("list", "--data-dir", "given", code=3).stderr
    (cli.folder / "s.toml").write_text("datadir = 1\n")
    assert "datadir" in one_line(cli.here("list", code=2).stderr)


def test_plan_shows_the_ends_and_writes_nothing(cli: Cli) -> None:
    cli.template("count")
    document = cli.json("plan", "count.yaml", "-p", "n=1000000", "-p", "size=1000")
    assert document["children"] == 1000
    assert [entry["child"] for entry in document["shown"]] == [0, 1, 2, 997, 998, 999]
    assert document["shown"][-1]["args"] == {"first": 999001, "last": 1000000}
    assert "1,000" in cli.here("plan", "count.yaml", "-p", "n=1000000", "-p", "size=1000").stdout
    assert [path.name for path in cli.folder.iterdir()] == ["count.yaml"]


def test_try_runs_one_child_here(cli: Cli) -> None:
    cli.template("count")
    done = cli("try", "count.yaml", "-p", "size=2", "--child", "1")
    assert done.stdout.splitlines() == ["3", "4", '{"count": 2}']


def test_try_of_a_handler_that_raises_shows_where(cli: Cli) -> None:
    path = cli.template("fail")
    done = cli.start("try", path)
    _, err = done.communicate(timeout=60)
    assert done.returncode == 1
    assert "RuntimeError" in err


REDUCED = """
name: reduced
split: {range: {first: 1, last: 5, size: 1}}
child: {handler: "theirs:square", args: {n: "${child.first}"}}
reduce: {handler: "theirs:total", args: {plus: 100}}
"""
SQUARES = """
def square(ctx, n):
    return (n * n,)


def total(ctx, results, plus):
    seen = [(result.index, result.value) for result in ctx.resume(results)]
    print(ctx.stage, ctx.child_index, seen)
    return {"sum": plus + sum(square for _, (square,) in seen), "missing": results.missing}
"""


@pytest.fixture
def reduced(cli: Cli) -> Cli:
    (cli.folder / "t.yaml").write_text(REDUCED)
    (cli.folder / "theirs.py").write_text(SQUARES)
    return cli


def test_try_runs_a_reduce_behind_its_children(reduced: Cli) -> None:
    done = reduced("try", "t.yaml", "--reduce", "3")
    assert done.stdout.splitlines() == [
        "reduce 0 [(0, [1]), (1, [4]), (2, [9])]",
        '{"sum": 114, "missing": 2}',
    ]
    assert done.stderr.splitlines()[0] == 'child 0 of 5: theirs:square {"n":1}'
    assert done.stderr.splitlines()[3] == 'reduce of 3 results, 2 missing: theirs:total {"plus":100}'
    out = reduced("try", "t.yaml", "--reduce", "9", "--json").stdout
    assert json.loads(out[out.index("{") :]) == {
        "stage": "reduce", "results": 5, "missing": 0, "result": {"missing": 0, "sum": 155},
    }  # fmt: skip


def test_try_of_a_reduce_shows_what_failed(reduced: Cli) -> None:
    (reduced.folder / "theirs.py").write_text(SQUARES.replace("print(", "raise ValueError("))
    code, err = tried(reduced, "t.yaml", "--reduce", "1")
    assert (code, err.splitlines()[-1]) == (1, "ValueError: ('reduce', 0, [(0, [1])])")
    assert "src/streamsched" not in err
    (reduced.folder / "theirs.py").write_text(SQUARES.replace("(n * n,)", "n / 0"))
    code, err = tried(reduced, "t.yaml", "--reduce", "1")
    assert (code, err.splitlines()[-1]) == (1, "ZeroDivisionError: division by zero")


def test_try_of_a_reduce_needs_one(cli: Cli) -> None:
    cli.template("count")
    said = one_line(cli.here("try", "count.yaml", "--reduce", "1", code=2).stderr)
    assert "count.yaml: the template has no reduce; add it (docs/template.md), or leave out --reduce" in said
    said = one_line(cli.here("try", "count.yaml", "--reduce", "1", "--child", "1", code=2).stderr)
    assert "give one of them" in said


BROKEN = {
    "raises": ("    raise ValueError('its own')\n", "ValueError: its own"),
    "exits": ("    import sys; sys.exit(5)\n", "SystemExit: 5"),
    "unspeakable": ("    raise type('Odd', (Exception,), {'__str__': lambda self: 5})\n", "theirs.Odd: (its message"),
    "arguments": (None, "TypeError: handler() got an unexpected keyword argument 'text'"),
    "not an exception": ("    raise GeneratorExit\n", "GeneratorExit"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_try_shows_the_handler_s_own_traceback(cli: Cli, what: str) -> None:
    body, said = BROKEN[what]
    (cli.folder / "theirs.py").write_text(
        "def handler(ctx): ...\n" if body is None else f"def handler(ctx, text):\n    print('printed')\n{body}"
    )
    done, err = tried(failing(cli), "fail.yaml")
    assert done == 1
    assert err.rstrip().splitlines()[-1].startswith(said)
    assert "src/streamsched" not in err
    if body is not None:
        where, at = err.splitlines()[1:3]
        assert where == "Traceback (most recent call last):"
        assert at == f'  File "{cli.folder}/theirs.py", line 3, in handler'


IMPORTS = {
    "raises": ("raise ValueError('its own')\n", "ValueError: its own", 1),
    "syntax": ("def f(:\n", "SyntaxError: invalid syntax", 1),
    "lacks a library": ("import there_is_no_such_library\n", "ModuleNotFoundError: No module named 'there_is_no", 1),
    "exits": ("raise SystemExit(0)\n", "SystemExit: 0", 1),
    "is not there": (None, "streamsched: fail.yaml: handler theirs:handler: importing theirs failed: Module", 2),
    "lacks the function": ("", "streamsched: fail.yaml: handler theirs:handler: module theirs has no 'handler'", 2),
}


@pytest.mark.parametrize("what", IMPORTS)
def test_try_shows_the_own_traceback_of_a_module_too(cli: Cli, what: str) -> None:
    text, said, code = IMPORTS[what]
    if text is not None:
        (cli.folder / "theirs.py").write_text(text)
    done, err = tried(failing(cli), "fail.yaml")
    assert done == code
    assert err.rstrip().splitlines()[-1].startswith(said)
    assert "src/streamsched" not in err
    assert "importlib" not in err
    if code == 1:
        assert f'File "{cli.folder}/theirs.py", line 1' in err


THEIRS = """
import asyncio
from pathlib import Path
LOADED = []
async def warm():
    await asyncio.sleep(0)
    LOADED.append("warm")
def plainly():
    LOADED.append("plain")
async def later(ctx, path: Path):
    await ctx.checkpoint({"a": 1}, wait=True)
    return [path.name, *LOADED]
async def breaks(ctx, path):
    raise ValueError("its own")
def now(ctx, path: Path):
    return [path.name, *LOADED]
def wrong(ctx, path: "Unknown"):
    return path
"""
TRIED = [
    ("handler: theirs:later", 0, '["b"]'),
    ("handler: theirs:later, setup: theirs:warm, concurrency: 5, reuse: 5, memory: 1GB", 0, '["b", "warm"]'),
    ("handler: theirs:later, setup: theirs:plainly", 0, '["b", "plain"]'),
    ("handler: theirs:now, setup: theirs:warm", 0, '["b", "warm"]'),
    ("handler: theirs:now, setup: theirs:plainly", 0, '["b", "plain"]'),
    ("handler: theirs:breaks", 1, "ValueError: its own"),
    ("handler: theirs:now, setup: theirs:missing", 2, "module theirs has no 'missing'"),
    ("handler: theirs:now, concurrency: 5", 1, "BadArguments: child.concurrency is for async handlers"),
    ("handler: theirs:wrong", 1, "WrongAnnotation: parameter path is annotated Unknown"),
]


@pytest.mark.parametrize(("child", "code", "says"), TRIED)
def test_try_does_as_workers_do(cli: Cli, child: str, code: int, says: str) -> None:
    (cli.folder / "theirs.py").write_text(THEIRS)
    child = re.sub(r"(theirs:\w+)", r"'\1'", child)
    body = f"name: t\nsplit: {{list: {{items: [a/b]}}}}\nchild: {{{child}, args: {{path: '${{child.item}}'}}}}\n"
    (cli.folder / "t.yaml").write_text(body)
    process = cli.start("try", "t.yaml")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, says in out + err) == (code, True), out + err
    assert "src/streamsched" not in err


def test_plan_checks_annotations_on_request(cli: Cli) -> None:
    (cli.folder / "theirs.py").write_text(THEIRS)
    template = (
        "name: t\nsplit: {list: {items: [a, 5]}}\nchild: {handler: 'theirs:NAME', args: {path: '${child.item}'}}\n"
    )
    (cli.folder / "t.yaml").write_text(template.replace("NAME", "now"))
    assert cli("plan", "t.yaml").returncode == 0
    wrong = cli.start("plan", "t.yaml", "--check")
    _, err = wrong.communicate(timeout=60)
    assert wrong.returncode == 2
    assert "t.yaml: child.args: argument path: expected Path, and got 5: a path is a text" in err
    (cli.folder / "t.yaml").write_text(template.replace("NAME", "wrong"))
    wrong = cli.start("plan", "t.yaml", "--check")
    assert "parameter path is annotated Unknown" in wrong.communicate(timeout=60)[1]
    assert wrong.returncode == 2
    (cli.folder / "t.yaml").write_text(template.replace("NAME", "breaks"))
    assert cli("plan", "t.yaml", "--check").stdout.splitlines()[-1].endswith('{"path":5}')


def failing(cli: Cli) -> Cli:
    """Write a template whose handler is ``theirs:handler``."""
    (cli.folder / "fail.yaml").write_text(
        "name: fail\nsplit: {list: {items: [1]}}\nchild: {handler: 'theirs:handler', args: {text: x}}\n"
    )
    return cli


def tried(cli: Cli, *arguments: str) -> tuple[int, str]:
    """Try a template; returns the exit code and what is said of it."""
    process = cli.start("try", *arguments)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_completion_script(cli: Cli) -> None:
    cli.environment["_STREAMSCHED_COMPLETE"] = "complete_bash"
    cli.environment["COMP_WORDS"] = "streamsched wor"
    cli.environment["COMP_CWORD"] = "1"
    assert cli(code=0).stdout.split() == ["worker"]
