"""Failure rules in the fold (design-life.md, section 2): the first that matches a failed work child decides."""

from __future__ import annotations

from typing import Any

import pytest

from streamsched.domain import events as e
from streamsched.domain.bounds import LAST_ORDINAL
from streamsched.domain.errors import InputError
from streamsched.domain.failure_rules import ACTIONS, CONDITIONS, FailureRule
from streamsched.domain.phases import ChildState, Phase
from streamsched.domain.policy import RUN_ALL, FailurePolicy, RetryPolicy
from streamsched.domain.template import LIFE_LEVEL, Template, version
from streamsched.files.template_file import prepare, template_of
from tests.support.journals import template
from tests.unit.domain.test_evolve import ONCE, Story
from tests.unit.domain.test_stages import planned

LOST = e.Cause(("m.Lost", "ConnectionError", "OSError", "Exception"))
FAILED, DUE, CANCELLED = ChildState.FAILED, ChildState.DUE, ChildState.CANCELLED


def story(*rules: dict[str, Any], retry: RetryPolicy | None = None, **policy: Any) -> Story:
    ruled = FailurePolicy(rules=tuple(FailureRule(**rule) for rule in rules), **({"percent": 100} | policy))
    return Story(3, retry=retry or RetryPolicy(), failure=ruled).dispatch(0, 2)


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        ({"error": "m.Lost"}, True),
        ({"error": "Lost"}, True),
        ({"error": "OSError"}, True),
        ({"error": "builtins.OSError"}, True),
        ({"error": "other.Lost"}, False),
        ({"error": "Trouble"}, True),  # as it is shown
        ({"exit_code": 75}, True),
        ({"exit_code": 7}, False),
        ({"message": "quota"}, True),
        ({"message": "Quota"}, False),
        ({"message": "q.ota"}, False),  # a plain substring, not a pattern
        ({"reason": "error"}, True),
        ({"reason": "timeout"}, False),
        ({"error": "OSError", "message": "quota", "exit_code": 75, "reason": "error"}, True),
        ({"error": "OSError", "message": "none"}, False),
    ],
)
def test_a_rule_matches_where_each_of_its_conditions_holds(rule: dict[str, Any], met: bool) -> None:
    told = story({**rule, "do": "fail"})
    told.fail(0, message="the quota is used up", cause=e.Cause(LOST.error_types, exit_code=75))
    assert told.states()[0] is (FAILED if met else DUE)


def test_the_first_rule_that_matches_decides() -> None:
    rules = ({"message": "x", "do": "skip"}, {"error": "OSError", "do": "fail"}, {"reason": "error", "do": "retry"})
    told = story(*rules, retry=RetryPolicy(non_retryable=("KeyError",)))
    told.fail(0, cause=LOST, message="x").fail(1, cause=LOST).fail(2, error_type="KeyError")
    assert told.states() == [CANCELLED, FAILED, DUE]


def test_without_a_rule_that_matches_the_retries_decide() -> None:
    told = story({"error": "KeyError", "do": "skip"}).fail(0).fail(1, retryable=False)
    assert told.states()[:2] == [DUE, FAILED]


def test_retry_also_retries_what_would_not_be_within_max_attempts() -> None:
    told = story({"error": "OSError", "do": "retry"}, retry=RetryPolicy(max_attempts=2))
    told.fail(0, cause=LOST, retryable=False, delay=70)
    assert (told.states()[0], told.task.detail_of(0).due) == (DUE, 1_070)
    told.dispatch(0, 0, ordinal=2).fail(0, ordinal=2, attempt=2, cause=LOST, retryable=False)
    assert told.states()[0] is FAILED


def test_retry_ends_with_the_last_ordinal() -> None:
    told = story({"reason": "worker_lost", "do": "retry"}, retry=RetryPolicy(max_attempts=0))
    for ordinal in range(1, LAST_ORDINAL):
        told.fail(0, ordinal=ordinal, reason="worker_lost", retryable=False).dispatch(0, 0, ordinal=ordinal + 1)
    assert told.fail(0, ordinal=LAST_ORDINAL, reason="worker_lost", retryable=False).states()[0] is FAILED


def test_what_runs_again_after_it_took_its_workers_down_has_taken_none_down_yet() -> None:
    told = story({"reason": "worker_lost", "do": "retry"}, retry=RetryPolicy(max_attempts=0))
    told.tell(e.ChildReturned, 0, 1, 1, 1, 0, None, 5, "drain").dispatch(0, 0, ordinal=2)
    assert told.task.detail_of(0).recoveries == 5
    told.fail(0, ordinal=2, reason="worker_lost", retryable=False)
    assert told.task.detail_of(0).recoveries == 0


def test_a_record_that_cannot_be_read_is_retried_within_max_attempts() -> None:
    told = story({"reason": "poison", "do": "retry"}, retry=RetryPolicy(max_attempts=3))
    ordinal = 1
    while told.fail(0, ordinal=ordinal, reason="poison", retryable=False).states()[0] is DUE:
        ordinal += 1
        told.dispatch(0, 0, ordinal=ordinal)
    assert (told.states()[0], ordinal) == (FAILED, 3)


def test_fail_ends_a_child_that_has_attempts_left_and_counts() -> None:
    told = story({"error": "OSError", "do": "fail"}, percent=None, count=1).fail(0, cause=LOST)
    assert (told.states()[0], told.task.failed, told.task.phase) == (FAILED, 1, Phase.RUNNING)
    assert told.fail(1, cause=LOST).task.phase is Phase.FAILING


def test_skip_cancels_the_child_and_does_not_count() -> None:
    told = story({"error": "OSError", "do": "skip"}, percent=None).fail(0, cause=LOST).fail(1, cause=LOST)
    detail = told.task.detail_of(0)
    assert (told.states()[0], detail.reason, detail.error_type) == (CANCELLED, "skipped", "Trouble")
    assert (told.task.failed, told.task.cancelled, told.task.phase) == (0, 2, Phase.RUNNING)
    assert told.complete(2).task.phase is Phase.SUCCEEDING
    told.tell(e.TaskSucceeded, 0, "", 0).tell(e.TaskRedriven, 1, "failed", False, "", "")
    assert (told.task.cancelled, told.states()[:2]) == (0, [ChildState.WAITING] * 2)


@pytest.mark.parametrize("on", ["fail_fast", RUN_ALL])
def test_fail_task_fails_the_task_at_once_whatever_it_tolerates(on: str) -> None:
    told = story({"message": "quota", "do": "fail_task"}, on=on).fail(1, message="over quota")
    assert (told.task.phase, told.states()[1]) == (Phase.FAILING, FAILED)
    assert told.task.reason == "child 1 failed: Trouble: over quota"


def test_a_child_that_was_told_to_stop_ends_as_cancelled_where_it_would_be_retried() -> None:
    told = story({"error": "OSError", "do": "retry"}, {"message": "bad", "do": "fail_task"})
    told.tell(e.TaskCancelRequested, 0, "enough").stop(0).stop(1)
    told.fail(0, cause=LOST, retryable=False).fail(1, message="bad")
    assert (told.states()[:2], told.task.phase) == ([CANCELLED, FAILED], Phase.CANCELLING)


def test_rules_are_about_work_children_alone() -> None:
    policy = FailurePolicy(rules=(FailureRule(reason="error", do="skip"),))
    told = planned(failure=policy).dispatch(0, 1).complete(0).complete(1).dispatch(2, 2).fail(2)
    assert (told.task.phase, told.states()[2]) == (Phase.FAILING, FAILED)


def test_a_template_with_rules_is_of_a_newer_language_and_others_stay_as_they_are() -> None:
    plain = template()
    ruled = template(failure=FailurePolicy(rules=(FailureRule(error="ValueError", do="fail"),)))
    assert (plain.level, ruled.level) == (0, LIFE_LEVEL)
    assert '"rules"' not in plain.to_json()
    assert '"rules":[{"do":"fail","error":"ValueError"}]' in ruled.to_json()
    assert Template.from_json(ruled.to_json()) == ruled
    assert version(ruled) != version(plain)


def document(rules: object, **child: Any) -> dict[str, Any]:
    code = {} if "command" in child else {"handler": "m:f"}
    return {
        "name": "t", "split": {"range": {"first": 1, "last": 2, "size": 1}}, "child": {**code, **child},
        "failure": {"rules": rules},
    }  # fmt: skip


def test_all_actions_and_conditions_can_be_written() -> None:
    rules: list[dict[str, Any]] = [
        {"error": "ValueError", "do": "fail"}, {"exit_code": 75, "do": "retry"}, {"exit_code": -9, "do": "retry"},
        {"message": "quota", "do": "fail_task"}, {"reason": "timeout", "do": "skip"},
    ]  # fmt: skip
    made = template_of(document(rules, command=["x"], timeout="1s"))
    assert [rule.to_dict() for rule in prepare(made, {}).template.failure.rules] == rules
    assert {rule["do"] for rule in rules} == set(ACTIONS)
    assert {*CONDITIONS, "do"} == {name for rule in rules for name in rule}


@pytest.mark.parametrize(
    ("rules", "child", "field", "said"),
    [
        ({}, {}, "failure.rules", "must be a list"),
        ([{"error": "E"}], {}, "failure.rules[0].do", "is missing"),
        ([{"error": "E", "do": "stop"}], {}, "failure.rules[0].do", "'stop' is nothing to do about a failure"),
        ([{"eror": "E", "do": "fail"}], {}, "failure.rules[0].eror", "did you mean error?"),
        ([{"do": "fail"}], {}, "failure.rules[0]", "add one of error, exit_code, message, reason"),
        ([{"message": "", "do": "fail"}], {}, "failure.rules[0].message", "1 to 1,000 characters"),
        ([{"message": "x" * 1_001, "do": "fail"}], {}, "failure.rules[0].message", "1 to 1,000 characters"),
        ([{"error": "E", "do": "fail"}] * 101, {}, "failure.rules", "has 101 rules, the limit is 100"),
        ([{"error": "m:E", "do": "fail"}], {}, "failure.rules[0].error", "is not a name of an error type"),
        ([{"error": "IOError", "do": "fail"}], {}, "failure.rules[0].error", "is an alias of OSError"),
        ([{"reason": "slow", "do": "fail"}], {}, "failure.rules[0].reason", "is not a reason of a failure"),
        ([{"reason": "timeout", "do": "fail"}], {}, "failure.rules[0].reason", "the children have no timeout"),
        ([{"reason": "heartbeat", "do": "skip"}], {}, "failure.rules[0].reason", "add child.heartbeat"),
        ([{"exit_code": 75, "do": "retry"}], {}, "failure.rules[0].exit_code", "only programs have exit codes"),
        ([{"exit_code": 0, "do": "skip"}], {"command": ["x"]}, "failure.rules[0].exit_code", "exit code 0 is success"),
        ([{"exit_code": 256, "do": "skip"}], {"command": ["x"]}, "failure.rules[0].exit_code", "at most 255"),
        (
            [{"exit_code": 1, "reason": "worker_lost", "do": "skip"}], {"command": ["x"]},
            "failure.rules[0].exit_code", "has no exit code",
        ),
        (
            [{"exit_code": 3, "do": "retry"}], {"command": ["x"], "exit_codes": {"3": "fail"}},
            "failure.rules[0].exit_code", "contradicts child.exit_codes",
        ),
        (
            [{"exit_code": 3, "do": "retry"}], {"command": ["x"], "retry": {"non_retryable": ["Exit3"]}},
            "failure.rules[0].do", "contradicts child.retry.non_retryable, which has Exit3",
        ),
        (
            [{"error": "m.E", "do": "retry"}], {"retry": {"non_retryable": ["E"]}},
            "failure.rules[0].do", "contradicts child.retry.non_retryable, which has E",
        ),
        (
            [{"error": "E", "do": "retry"}], {"retry": {"max_attempts": 1}},
            "failure.rules[0].do", "contradicts child.retry.max_attempts",
        ),
        (
            [{"error": "E", "do": "fail"}, {"message": "x", "do": "skip"}, {"error": "E", "do": "skip"}], {},
            "failure.rules[2]", "rule 0 stands before it",
        ),
        (
            [{"error": "E", "do": "fail"}, {"error": "m.E", "message": "x", "do": "skip"}], {},
            "failure.rules[1]", "rule 0 stands before it",
        ),
        (
            [{"message": "quota", "do": "fail"}, {"message": "the quota is", "do": "skip"}], {},
            "failure.rules[1]", "remove it, or move it up",
        ),
    ],
)  # fmt: skip
def test_a_rule_that_can_never_match_is_refused(rules: object, child: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        prepare(template_of(document(rules, **child)), {})
    assert (caught.value.field, said in str(caught.value)) == (field, True), str(caught.value)


@pytest.mark.parametrize(
    ("rules", "child"),
    [
        ([{"error": "m.E", "do": "fail"}, {"error": "E", "do": "skip"}], {}),
        ([{"error": "E", "message": "x", "do": "fail"}, {"error": "E", "do": "skip"}], {}),
        ([{"message": "the quota is", "do": "fail"}, {"message": "quota", "do": "skip"}], {}),
        ([{"error": "E", "do": "retry"}], {"retry": {"non_retryable": ["m.E"]}}),
        ([{"error": "E", "do": "fail"}], {"retry": {"non_retryable": ["E"]}}),
        ([{"reason": "heartbeat", "do": "skip"}], {"heartbeat": "1s"}),
    ],
)  # fmt: skip
def test_a_rule_that_can_match_is_taken(rules: object, child: dict[str, Any]) -> None:
    assert prepare(template_of(document(rules, **child)), {}).template.level == LIFE_LEVEL


def test_once_is_no_retry_for_a_rule_either() -> None:
    assert story({"error": "Trouble", "do": "retry"}, retry=ONCE).fail(0).states()[0] is FAILED
