"""Fairness: whose turn it is, what it is counted for, and what a template may say of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsched.domain.fairness import Fairness, Stake, expected_slots, rank, stake_of
from streamsched.domain.splitting import plan
from streamsched.domain.template import Param, Template, TemplateError
from tests.support.mini_cluster import TEMPLATE


def test_a_template_key_is_never_the_id_of_a_task() -> None:
    assert stake_of("acme", "", 3) == Stake("acme", 3)
    assert stake_of("other", "acme", 1).key != "acme"
    assert stake_of("other", "acme", 1) == stake_of("another", "acme", 1)


def test_expected_running_slots_tell_what_runs_from_what_waits() -> None:
    assert expected_slots(10, 1_000) == 5.0
    assert expected_slots(10, None) == 5.0, "a second where nothing is measured"
    assert expected_slots(101, 10) == pytest.approx(1.0)


@given(weights=st.lists(st.integers(1, 20), min_size=2, max_size=6), grants=st.integers(1, 300))
def test_a_grant_leaves_no_key_more_than_one_above_another(weights: list[int], grants: int) -> None:
    shares = [0] * len(weights)
    for _ in range(grants):
        chosen = min(range(len(weights)), key=lambda key: rank(shares[key], Stake(str(key), weights[key])))
        shares[chosen] += 1
        for other, weight in enumerate(weights):
            assert shares[chosen] / weights[chosen] <= shares[other] / weight + 1 / weights[chosen] + 1e-9


def test_a_key_is_filled_in_and_bounded() -> None:
    fairness = Fairness(key="${tenant}-$${x}")
    assert fairness.key_of({"tenant": 7}) == "7-${x}"
    template = Template(
        name="t", split=TEMPLATE.split, child=TEMPLATE.child,
        params={**TEMPLATE.params, "tenant": Param(type="string")}, fairness=fairness,
    )  # fmt: skip
    given_params = {name: param.default for name, param in TEMPLATE.params.items()}
    with pytest.raises(TemplateError, match="1,006 characters"):
        plan(template, {**given_params, "tenant": "x" * 1_001})


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"weight": 0}, "weight"), ({"weight": 1_001}, "weight"), ({"key": 5}, "must be a string"),
     ({"key": "${who}"}, "unknown in fairness.key"), ({"key": "${child.index}"}, "unknown in fairness.key")],
)  # fmt: skip
def test_what_cannot_be_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        Template(name="t", split=TEMPLATE.split, child=TEMPLATE.child, params=TEMPLATE.params,
                 fairness=Fairness(**fields))  # type: ignore[arg-type]  # fmt: skip
