"""Programs of templates: what is called for each child, and which patterns of workers name one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamsched.domain.command import Call, Command, call_of
from streamsched.domain.options import Options, options_of, read_options, write_options
from streamsched.domain.policy import RetryPolicy
from streamsched.domain.refusal import TemplateError
from streamsched.domain.routing import allows, problem_of_pattern, problem_of_patterns, requirement_of
from streamsched.domain.splitters.lists import ListSplit
from streamsched.domain.splitting import ChildArguments, plan
from streamsched.domain.template import ChildSpec, Param, Template, version
from streamsched.domain.variables import resolve_params

ITEMS = ["a b", 'x"y', "$(id); `id`", "${n}", 5]
SHELL: dict[str, Any] = {"shell": True}


def template(*words: str, args: dict[str, Any] | None = None, **fields: Any) -> Template:
    return Template(
        name="t",
        params={"n": Param(type="integer", default=7), "list": Param(type="array", default=["p", "q r"])},
        split=ListSplit(items=[item.replace("${", "$${") if isinstance(item, str) else item for item in ITEMS]),
        child=ChildSpec(args=args or {}, command=Command(words=list(words), **fields)),
    )


def call(made: Template, index: int) -> Call:
    params = resolve_params(made, {})
    return call_of(made.child.code, ChildArguments(made, params, plan(made, params).document)(index))


def test_placeholders_are_filled_in_arguments_environment_and_folder() -> None:
    made = template(
        "./x", "-n${n}", "${child.item}", "${list}", "$${n}", env={"A": "${child.index}:${n}"}, cwd="in/${child.index}",
        args={"item": "${child.item}"},
    )  # fmt: skip
    assert call(made, 0) == Call("./x", ["-n7", "a b", "p", "q r", "${n}"], {"A": "0:7"}, "in/0", {"item": "a b"})
    assert [call(made, index).words[1] for index in range(5)] == ["a b", 'x"y', "$(id); `id`", "${n}", "5"]


def test_in_the_text_of_a_shell_a_value_is_never_a_command() -> None:
    script = 'echo "${child.item}" ${n}; echo $${HOME} "$1" "${child.item}"'
    made = template(script, "${child.item}", env={"B": "b"}, **SHELL)
    assert made.child.code == "$ /bin/sh"
    for index, item in enumerate(ITEMS):
        found = call(made, index)
        assert found.words == [
            "-c", 'echo "${streamsched_1}" ${streamsched_2}; echo ${HOME} "$1" "${streamsched_3}"', "sh", str(item),
        ]  # fmt: skip
        assert found.env == {"B": "b", "streamsched_1": str(item), "streamsched_2": "7", "streamsched_3": str(item)}


def test_the_options_say_what_exit_codes_mean() -> None:
    assert options_of(ChildSpec(handler="a:b")) is None
    assert write_options(options_of(template("x").child) or Options()) == '{"command":{}}'
    made = options_of(template("x", exit_codes={"75": "retry", "3": "fail"}).child)
    assert made is not None
    assert made.command is not None
    assert (made.stage, made.command.exit_codes) == ("work", {"75": "retry", "3": "fail"})
    assert read_options(write_options(made)) == made
    for other in ('{"command":{"fd":3}}', '{"command":{"exit_codes":{"3":"stop"}}}', '{"stage":"reduce","command":{}}'):
        assert read_options(other) is None


def test_templates_with_programs_keep_their_json() -> None:
    made = template("./x", "${n}", env={"A": "1"}, exit_codes={"3": "fail"})
    assert Template.from_json(made.to_json()) == made
    assert "handler" not in json.loads(made.to_json())["child"]
    assert version(made) != version(template("./y", "${n}", env={"A": "1"}, exit_codes={"3": "fail"}))
    good = {"words": ["x"]}
    wrongs: list[Any] = [{"words": []}, {"words": "x"}, {**good, "env": []}, {**good, "cwd": 5}, {**good, "a": 1}, []]
    for wrong in wrongs:
        body = json.loads(made.to_json())
        body["child"]["command"] = wrong
        with pytest.raises(TemplateError):
            Template.from_json(json.dumps(body))


def test_ends_of_programs_can_be_named_as_final() -> None:
    policy = RetryPolicy(non_retryable=("Exit2", "oom", "SignalSIGSEGV"))
    policy.check_names()
    assert policy.rules_out("Exit2", ())
    assert policy.rules_out("oom", ("streamsched.oom", "streamsched.worker.errors.CommandFailed"))
    assert not policy.rules_out("Exit20", ("streamsched.Exit20",))


def test_a_reduce_is_a_handler() -> None:
    with pytest.raises(TemplateError, match=r"reduce\.command: a program cannot reduce; write a handler"):
        Template(name="t", split=ListSplit(items=[1]), child=ChildSpec(handler="a:b"), reduce=template("x").child)


def test_arguments_of_a_program_have_a_limit() -> None:
    with pytest.raises(TemplateError, match="limit is 262,144"):
        plan(template("x", "${child.item}" * 40_000), {"n": 1, "list": []})
    with pytest.raises(TemplateError, match="field child: child with its variables filled in is above 256 KiB"):
        plan(template("x", "y" * 300_000), {"n": 1, "list": []})


@pytest.mark.parametrize("text", ["[]", "{}", '{"words":5,"env":{},"cwd":"","args":{}}', "", '{"words":[],"env":5}'])
def test_what_are_no_arguments_of_a_program_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"arguments of a program|JSON|char"):
        call_of("$ x", text)


@pytest.mark.parametrize(
    ("pattern", "program", "named"),
    [
        ("./x", "./x", True),
        ("./x", "x", False),
        ("./x", "./y", False),
        ("./*", "./x.sh", True),
        ("./*", "./a/x", False),
        ("./*", "./..", False),
        ("./*/x", "./../x", False),
        ("./../*", "./../x", True),
        ("./*/x", "./a/x", True),
        ("./*/x", "././x", False),
        ("*", "./x", False),
        ("p*", "python3", True),
        ("p*", "p/../../bin/sh", False),
        ("[ab]?", "b1", True),
        ("x.*", "x.sh", True),
        ("/opt/*", "/opt/x", True),
        ("/opt/*", "/opt/", True),
        ("a b", "a b", True),
        ("X", "x", False),
    ],
)
def test_patterns_name_programs(pattern: str, program: str, named: bool) -> None:
    assert allows([f"$ {pattern}"], f"$ {program}") is named
    assert not allows([pattern, "*"], f"$ {program}")
    assert not allows([f"$ {pattern}"], program)


def test_a_worker_that_announces_nothing_may_run_all() -> None:
    needed = requirement_of("$ ./x:y")
    assert needed.met_by(None)
    assert not needed.met_by([])
    assert needed.met_by(["jobs.*", "$ ./x:*"])
    assert (needed.name, needed.option) == ("command ./x:y", "--allow-command ./x:y")
    assert requirement_of("$ a b").option == "--allow-command 'a b'"
    assert (requirement_of("a.b:c").name, requirement_of("a.b:c").option) == ("module a.b", "--allow a.b")


def test_patterns_that_name_no_program_are_refused() -> None:
    for pattern in ("$ ", "$ *", "$ **", "$ ?*", "$  "):
        assert problem_of_pattern(pattern) == "names no program"
    assert problem_of_pattern("$ " + "x" * 999) is not None
    assert problem_of_patterns(["jobs.*", "$ ./x", "$ ./t/*", "$ */*"]) is None
