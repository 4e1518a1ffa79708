"""Regular expressions of templates: linear or refused, in every place that looks at a variable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamsched.audit.decisions import judge_in_place
from streamsched.domain import events as e
from streamsched.domain import pattern
from streamsched.domain.errors import InputError
from streamsched.domain.param import Param
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.task import Load, Task
from streamsched.domain.template import ChildSpec, Template, TemplateError
from streamsched.domain.variables import resolve_params
from streamsched.files.params_input import load_params
from streamsched.files.template_file import load_template, prepare
from streamsched.runtime.identity import Identity
from streamsched.scheduler import tasks
from streamsched.scheduler.planner import plan_task
from streamsched.testing.clock import VirtualClock
from tests.support.mini_cluster import MiniCluster

LONG = 200_000
"""Characters: with an engine that goes back, any of the patterns below takes longer than the universe."""
EXPLOSIVE = (
    ("^(a+)+$|^a+!$", "a" * LONG + "!", True),
    ("^(a|aa)+$", "a" * LONG + "!", False),
    (r"^(\w+\s?)*$", "a" * LONG + "!", False),
    (r"(x+x+)+y", "x" * LONG, False),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * LONG, False),
)
UNKNOWN = (r"(a)\1", r"(?P<n>a)(?P=n)", r"(?=a)b", r"(?!a)b", r"(?<=a)b", r"(?<!a)b", r"(?(1)a|b)", "(?>a+)b", "a++b")
LARGE = (
    "(a{1000}){1000}", "(a{300}){300}x", r"\w{1000}", "((((a{10}){10}){10}){10}){10}", "a{1,99999999999999999999}",
    "[01]*1[01]{100000}", "(?P<n[>(a{300})[]]){300}", "x" * 20_000, "([)]a{1000}){1000}", "(?:a{1000}|[[b]]){1000}",
)  # fmt: skip


def template(**params: Param) -> Template:
    return Template(name="t", params=params, split=RangeSplit(first=1, last=1, size=1), child=ChildSpec(handler="m:f"))


@pytest.mark.parametrize(("text", "value", "found"), EXPLOSIVE)
def test_what_explodes_elsewhere_is_answered(text: str, value: str, found: bool) -> None:
    pattern.check(text)
    assert pattern.matches(text, value) is found
    assert pattern.work_of(text, value) <= pattern.WORK_LIMIT


@pytest.mark.parametrize("text", [*UNKNOWN, *LARGE, "(", "[", "a{", "(?x) a", "\ud800", "*a"])
def test_what_cannot_be_bounded_is_refused_where_the_template_is_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps({
        "name": "t", "params": {"a": {"type": "string", "pattern": text}},
        "split": {"range": {"first": 1, "last": 1, "size": 1}}, "child": {"handler": "m:f"},
    }))  # fmt: skip
    with pytest.raises(InputError) as caught:
        load_template(path)
    assert caught.value.field == "params.a.pattern"
    assert "is not a regular expression known here" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("b", "abc", True),  # it is searched for
        ("^b", "abc", False),
        (r"^\d+$", "٣", True),
        (r"^\w+\Z", "é", True),
        (r"\\Z", "\\Z", True),
        ("(?i)^ABC$", "abc", True),
        ("(?s)^.$", "\n", True),
        ("(?m)^b$", "a\nb", True),
        ("^a$", "a\n", False),
        ("^.$", "\udcff", True),  # of a file name that is not text
        (r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$", "01234567-0123-0123-0123-0123456789ab", True),
        (r"^[^\s@]+@[^\s@]+\.[a-z]{2,63}$", "a@b.example", True),
        (r"\[\]{2}", "[]]", True),
        ("[]a]{2}", "]a", True),
        ("[^]a]", "]", False),
    ],
)
def test_what_patterns_mean(text: str, value: str, found: bool) -> None:
    pattern.check(text)
    assert pattern.matches(text, value) is found


@pytest.mark.parametrize(
    ("text", "least"),
    [("(a{7}b{3}){5}", 50), ("([)]a{9}){9}", 81), ("[]{}()]{4}a{6}", 10), ("((?:ab){10}|c){10}", 200), ("a{3}{3}", 9)],
)
def test_the_weight_is_never_below_the_size(text: str, least: int) -> None:
    assert least <= pattern.weigh(text) <= 3 * least


def test_size_times_length_is_bounded() -> None:
    param = Param(type="string", pattern="[01]*1[01]{1000}x")
    assert param.mismatch("01" * 4_000) is not None
    assert param.mismatch("01" * LONG) == "is too long for so large a pattern"


def test_all_variables_of_a_task_share_one_bound(tmp_path: Path) -> None:
    many = {f"p{number}": Param(type="string", pattern=f"^[a-z]{{1,{1_000 + number}}}$") for number in range(20)}
    with pytest.raises(TemplateError, match="one too many with a large pattern"):
        resolve_params(template(**many), dict.fromkeys(many, "a"))
    path = tmp_path / "t.json"
    params = {name: param.to_dict() for name, param in many.items()}
    body = {"name": "t", "params": params, "split": {"range": {"first": 1, "last": 1, "size": 1}}}
    path.write_text(json.dumps({**body, "child": {"handler": "m:f"}}))
    with pytest.raises(InputError, match="all patterns together are too large"):
        load_template(path)


def test_a_default_and_a_given_value_are_held_against_it(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    text = (
        "name: t\nparams: {{a: {{type: string, pattern: '^a+$', default: {}}}}}\nsplit: {{range: {{first: 1, last: 1, "
    )
    path.write_text((text + "size: 1}}}}\nchild: {{handler: 'm:f'}}\n").format("b"))
    with pytest.raises(InputError, match=r"params\.a\.default.*does not match"):
        load_template(path)
    path.write_text((text + "size: 1}}}}\nchild: {{handler: 'm:f'}}\n").format("a"))
    loaded = load_template(path)
    assert prepare(loaded, load_params(loaded, ["a=aaa"])).plan.children == 1
    with pytest.raises(InputError, match="does not match"):
        load_params(loaded, ["a=ab"])


# --- tasks of older versions, in the journal -------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*UNKNOWN[:3], *LARGE[:3], "(", "\ud800"])
def test_a_scheduler_refuses_the_request_and_goes_on(text: str) -> None:
    mini = MiniCluster()
    body = template(a=Param(type="string", pattern=text)).to_json()
    request = mini.request("old", template=body, params=json.dumps({"a": "a" * LONG}))
    mini.log.append([mini.records.journal(request, "old")])
    mini.submit("after")
    mini.turn()
    task = mini.scheduler.view.task("old")
    assert task is not None
    assert str(task.phase) == "refused"
    assert "cannot be matched" in task.reason or "too long for so large a pattern" in task.reason
    assert mini.phase("after") == "succeeded"


def test_a_task_that_was_planned_goes_on_and_is_found_right() -> None:
    mini = MiniCluster()
    body = template(a=Param(type="string", pattern=r"(a)\1")).to_json()
    request = mini.request("old", template=body, params=json.dumps({"a": "aa"}))
    plain = template(a=Param(type="string"))
    planned = plan_task(Task(mini.request("old", plain.to_json(), request.params), Load()), mini.me, 1)
    assert isinstance(planned, e.TaskPlanned)
    mini.scheduler.stop()
    mini.log.append([mini.records.journal(event, "old") for event in (request, planned)])
    mini.scheduler = mini.new_scheduler(mini.view)
    mini.turn()
    assert mini.phase("old") == "succeeded"
    assert judge_in_place(Task(request, Load()), planned, 2) is None


def test_a_turn_plans_no_longer_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    mini, planned = MiniCluster(), []

    def slow(task: Task, me: Identity, *more: Any) -> e.TaskPlanned | e.TaskRefused:
        planned.append(task.task_id)
        clock = me.clock
        assert isinstance(clock, VirtualClock)
        clock.advance(tasks.PLANNING_S / 2)
        return plan_task(task, me, *more)

    monkeypatch.setattr(tasks, "plan_task", slow)
    for number in range(9):
        mini.submit(f"t{number}")
    turns = []
    for _ in range(12):
        before = len(planned)
        mini.scheduler.step(0.0)
        turns.append(len(planned) - before)
    assert max(turns) == 2
    assert sorted(planned) == [f"t{number}" for number in range(9)]
