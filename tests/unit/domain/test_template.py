"""Templates, placeholders and policies in the domain."""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import fmean

import pytest

from streamsched.domain.placeholders import Reference, parse
from streamsched.domain.splitters.lists import ListSplit
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.splitting import ChildArguments, plan
from streamsched.domain.template import ChildSpec, FailurePolicy, Param, RetryPolicy, Template, TemplateError, version
from streamsched.domain.variables import resolve_params

TEMPLATE = Template(
    name="t",
    params={
        "n": Param(type="integer", minimum=1),
        "where": Param(type="string", default="${not} a placeholder", pattern="(?s)^.{0,40}$", description="d"),
        "mode": Param(type="string", enum=("fast", "slow"), default="fast"),
        "tree": Param(type="object", default={"a": [1, None, True, 0.5]}),
    },
    split=RangeSplit(first=-5, last="${n}", size=4),
    child=ChildSpec(
        handler="a.b:c",
        args={
            "n": "${n}",
            "tree": "${tree}",
            "deep": [{"x": ["${child.index}", "100% of ${tree}, $${n}, ${where}"]}],
            "span": "${child.first}..${child.last} (${child.size})",
        },
        retry=RetryPolicy(non_retryable=("ValueError",)),
    ),
    failure=FailurePolicy(count=5, percent=1.5),
)


def arguments(template: Template, params: dict[str, object], index: int) -> object:
    resolved = resolve_params(template, params)
    return json.loads(ChildArguments(template, resolved, plan(template, resolved).document)(index))


def test_placeholders_keep_types_and_are_formatted_in_strings() -> None:
    assert arguments(TEMPLATE, {"n": 9, "where": 'a"b\n%s'}, 1) == {
        "n": 9,
        "tree": {"a": [1, None, True, 0.5]},
        "deep": [{"x": [1, '100% of {"a":[1,null,true,0.5]}, ${n}, a"b\n%s']}],
        "span": "-1..2 (4)",
    }


def test_values_of_variables_are_data_not_templates() -> None:
    got = arguments(TEMPLATE, {"n": 9}, 0)
    assert isinstance(got, dict)
    assert got["deep"][0]["x"][1].endswith("${n}, ${not} a placeholder")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", ()), ("a", ("a",)), ("${a}", (Reference("a"),)), ("$${a}", ("${a}",)), ("$$${a}", ("$${a}",)),
        ("$a {b} $", ("$a {b} $",)), ("x${child.first}y", ("x", Reference("child.first"), "y")),
        ("${a}${b-c}", (Reference("a"), Reference("b-c"))),
    ],
)  # fmt: skip
def test_parse(text: str, pieces: tuple[str | Reference, ...]) -> None:
    assert parse(text) == pieces


def test_list_variables() -> None:
    template = replace(
        TEMPLATE,
        split=ListSplit(items=["é", {"k": 1}, "${n}", "<${n}>"]),
        child=ChildSpec(handler="a:b", args={"i": "${child.item}", "t": "<${child.item}>", "all": "${child.items}"}),
    )
    got = [arguments(template, {"n": 7}, index) for index in range(4)]
    assert got == [
        {"i": "é", "t": "<é>", "all": ["é"]},
        {"i": {"k": 1}, "t": '<{"k":1}>', "all": [{"k": 1}]},
        {"i": 7, "t": "<7>", "all": [7]},
        {"i": "<7>", "t": "<<7>>", "all": ["<7>"]},
    ]


def test_list_chunks() -> None:
    args = {
        "c": "${child.items}",
        "t": "${child.index}: ${child.items}",
        "f": "${child.first}",
        "l": "${child.last}",
    }
    template = replace(
        TEMPLATE, split=ListSplit(items=["a", '"', "c"], size=2), child=ChildSpec(handler="a:b", args=args)
    )
    assert arguments(template, {"n": 1}, 0) == {"c": ["a", '"'], "t": '0: ["a","\\""]', "f": 0, "l": 1}
    assert arguments(template, {"n": 1}, 1) == {"c": ["c"], "t": '1: ["c"]', "f": 2, "l": 2}


def test_canonical_json_and_version() -> None:
    text = TEMPLATE.to_json()
    assert Template.from_json(text) == TEMPLATE
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert len(version(TEMPLATE)) == 12
    assert version(TEMPLATE) == version(Template.from_json(text))
    assert version(replace(TEMPLATE, name="u")) != version(TEMPLATE)
    assert version(TEMPLATE, text) == version(TEMPLATE)


def test_the_version_of_a_template_never_changes() -> None:
    assert version(Template(name="t", split=RangeSplit(first=1, last=2, size=1), child=ChildSpec(handler="a:b"))) == (
        "af51300bf362"
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body.pop("child"),
        lambda body: body.update(more=1),
        lambda body: body["split"].update(list={"items": []}),
        lambda body: body.update(split={"files": {}}),
        lambda body: body["split"]["range"].update(size="x"),
        lambda body: body["child"].update(timeout_ms="5"),
        lambda body: body["child"].update(handler=None),
        lambda body: body["child"]["retry"].update(backoff="2"),
        lambda body: body["child"]["retry"].update(non_retryable=[5]),
        lambda body: body["failure"].update(percent=float("nan")),
        lambda body: body["params"].update(q={"type": ["integer"]}),
        lambda body: body["params"].update(q={"type": "string", "pattern": 5}),
        lambda body: body["params"].update(q={"type": "string", "other": 5}),
        lambda body: body["child"]["args"].update(x="${unknown}"),
    ],
)
def test_foreign_json_is_refused(damage: object) -> None:
    body = json.loads(TEMPLATE.to_json())
    assert callable(damage)
    damage(body)
    with pytest.raises(TemplateError):
        Template.from_json(json.dumps(body))


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "{", "[" * 100_000])
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(TemplateError, match="not a template in canonical JSON"):
        Template.from_json(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": 1, "mod": "fast"}, "template t, variable mod: is unknown; did you mean mode?"),
        ({}, "template t, variable n: is missing; give it a value: an integer, at least 1"),
        ({"n": None}, "template t, variable n: null is not an integer"),
        ({"n": 1.0}, "variable n: 1.0 is not an integer"),
        (
            {"n": 1, "mode": "slo"},
            'variable mode: "slo" is not among the allowed values; give it a string, one of',
        ),
        ({"n": 1, "where": "x" * 41}, "does not match the pattern"),
        ({"n": 1, "tree": {"a": {1}}}, "a value of type set is not JSON"),
        ({"n": 1, "tree": {1: 1}}, "the key 1 is not a string"),
    ],
)
def test_wrong_variables(given: dict[str, object], said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        resolve_params(TEMPLATE, given)
    assert said in str(caught.value)


def test_variables_that_are_no_object_are_refused() -> None:
    with pytest.raises(TemplateError, match="template t: the variables are not an object"):
        resolve_params(TEMPLATE, json.loads("[]"))


def test_an_enum_tells_one_from_true() -> None:
    param = Param(type="number", enum=(1,))
    assert param.fault(1) is None
    assert Param(type="array", enum=([1],)).fault([True]) is not None


@pytest.mark.parametrize(
    ("policy", "failed", "total", "exceeded"),
    [
        (FailurePolicy(), 0, 10, False), (FailurePolicy(), 1, 10, True), (FailurePolicy(), 1, 0, True),
        (FailurePolicy(count=0), 1, 10, True), (FailurePolicy(count=5), 5, 10, False),
        (FailurePolicy(count=5), 6, 0, True), (FailurePolicy(percent=0), 1, 10**7, True),
        (FailurePolicy(percent=1), 1, 100, False), (FailurePolicy(percent=1), 2, 100, True),
        (FailurePolicy(percent=1), 2, 0, False), (FailurePolicy(percent=0.57), 57, 10_000, False),
        (FailurePolicy(percent=0.57), 58, 10_000, True), (FailurePolicy(percent=100), 10, 10, False),
        (FailurePolicy(count=1, percent=50), 2, 10, True), (FailurePolicy(count=9, percent=50), 6, 10, True),
        (FailurePolicy(count=9, percent=50), 5, 10, False),
    ],
)  # fmt: skip
def test_failure_policy(policy: FailurePolicy, failed: int, total: int, exceeded: bool) -> None:
    assert policy.exceeded(failed, total) is exceeded


def test_short_forms_of_tolerate() -> None:
    assert FailurePolicy.tolerate(5) == FailurePolicy(count=5)
    assert FailurePolicy.tolerate("1%") == FailurePolicy(percent=1.0)
    assert FailurePolicy.tolerate("0.5%") == FailurePolicy(percent=0.5)


def test_retry_delays_have_full_jitter_below_a_growing_bound() -> None:
    policy = RetryPolicy(initial_interval_ms=1000, backoff=2.0)
    assert policy.max_interval_ms == 100_000
    for attempt, bound in ((1, 1000), (2, 2000), (3, 4000), (8, 100_000), (10**6, 100_000)):
        delays = [policy.delay_ms(attempt, f"task/{child}") for child in range(2000)]
        assert min(delays) >= 0
        assert max(delays) <= bound
        assert 0.45 * bound < fmean(delays) < 0.55 * bound
        assert max(delays) > 0.95 * bound


def test_retry_delays_never_change() -> None:
    policy = RetryPolicy()
    assert [policy.delay_ms(attempt, "task/7") for attempt in (1, 2, 3)] == [396, 679, 1708]
    assert RetryPolicy(initial_interval_ms=0).delay_ms(5, "x") == 0


def test_arguments_that_grow_too_large_are_refused_before_they_are_built() -> None:
    args = {"all": ["${tree}"] * 10_000}
    template = replace(TEMPLATE, child=ChildSpec(handler="a:b", args=args))
    params = resolve_params(template, {"n": 1, "tree": {"x": "y" * 200_000}})
    with pytest.raises(TemplateError, match=r"child\.args with its variables filled in is above 256 KiB"):
        plan(template, params)


def test_a_list_that_grows_too_large_is_refused() -> None:
    template = replace(TEMPLATE, split=ListSplit(items=["${tree}"] * 10_000), child=ChildSpec(handler="a:b"))
    params = resolve_params(template, {"n": 1, "tree": {"x": "y" * 200_000}})
    with pytest.raises(TemplateError, match=r"split\.list\.items with its variables filled in is above 1024 KiB"):
        plan(template, params)


def test_one_large_child_is_refused_even_if_the_first_is_small() -> None:
    items = ["a", "b" * 150_000, "c"]
    child = ChildSpec(handler="a:b", args={"x": ["${child.item}", "${child.item}"]})
    with pytest.raises(TemplateError, match=r"the arguments of a child have up to 300,0\d\d bytes"):
        plan(replace(TEMPLATE, split=ListSplit(items=items), child=child), {})
    single = ChildSpec(handler="a:b", args={"x": ["${child.item}"]})
    assert plan(replace(TEMPLATE, split=ListSplit(items=items), child=single), {}).children == 3


def test_unresolved_variables_are_refused_by_the_planner() -> None:
    with pytest.raises(TemplateError, match=r"variable n: split\.range\.last must be an integer"):
        plan(TEMPLATE, {})
    with pytest.raises(TemplateError, match="variable tree: has no value"):
        plan(replace(TEMPLATE, split=RangeSplit(first=1, last=2, size=1)), {})


@pytest.mark.parametrize("document", ["", "{}", "null", '{"glob":{}}', '{"range":{"first":1}}', '{"list":[]}'])
def test_foreign_plans_are_refused(document: str) -> None:
    params = resolve_params(TEMPLATE, {"n": 1})
    with pytest.raises(TemplateError, match="not a plan of a splitter known here"):
        ChildArguments(TEMPLATE, params, document)
