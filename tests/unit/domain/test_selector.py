"""Selectors, grammar 1 (design-life.md 7): what they mean, and what is refused and where."""

from __future__ import annotations

import pytest

from streamsched.domain.child_detail import ChildDetail
from streamsched.domain.events import Selector
from streamsched.domain.phases import ChildState
from streamsched.domain.selector import Predicate, SelectorError, parse, text_of

FAILED = ChildDetail(attempt=3, error_type="jobs.errors.BadRow", reason="error", group="f00d")


@pytest.mark.parametrize(
    ("where", "meets"),
    [
        ("state=failed", True),
        ("state=failed|cancelled", True),
        ("state!=failed", False),
        ("state = failed  and\tindex = 5", True),
        ("state!=waiting and state!=running", True),
        ("index=0..4|6..9", False),
        ("index=0..4|5..9", True),
        ("index!=5", False),
        ("index!=0..4|6..9", True),
        ("index>=5", True),
        ("index>=6", False),
        ("error=BadRow", True),
        ("error=jobs.errors.BadRow", True),
        ("error=errors.BadRow", False),
        ("error=BadRow and error=jobs.errors.BadRow", True),
        ("error!=BadRow", False),
        ("error!=KeyError|OSError", True),
        ("reason='error'", True),
        ('reason="it was stopped"', False),
        ("group=f00d", True),
        ("group!=f00d|beef", False),
        ("attempts=3", True),
        ("attempts>=4", False),
        ("attempts=1..2", False),
        ("state=failed and error=BadRow and index=5..5 and attempts>=2 and reason!=timeout", True),
    ],
)
def test_a_child_meets_all_clauses(where: str, meets: bool) -> None:
    predicate = Predicate(parse(where))
    assert predicate.meets(5, ChildState.FAILED, 3, FAILED) is meets
    assert meets <= predicate.may_meet(5, ChildState.FAILED)
    assert any(5 in span for span in predicate.indexes(10)) >= meets


def test_of_a_child_that_was_never_dispatched_nothing_is_known() -> None:
    def meets(where: str) -> bool:
        return Predicate(parse(where)).meets(0, ChildState.CANCELLED, 0, ChildDetail())

    assert meets("attempts=0")
    assert meets("error!=KeyError")
    assert not meets("error=KeyError")
    assert not meets("attempts>=1")


@pytest.mark.parametrize(
    ("state", "shown"),
    [(ChildState.DUE, "waiting"), (ChildState.STOPPING, "running"), (ChildState.SUCCEEDED, "succeeded")],
)
def test_states_are_those_that_people_see(state: ChildState, shown: str) -> None:
    assert Predicate(parse(f"state={shown}")).meets(0, state, 1, ChildDetail())


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("", "where: character 1: a clause is missing"),
        ("stat=failed", "where: character 1: unknown field 'stat'; did you mean state?"),
        ("state=failed and indx=3", "where: character 18: unknown field 'indx'; did you mean index?"),
        ("state", "where: state, character 1: an operator must follow"),
        ("state=", "where: state, character 7: a value is missing; as state=failed|cancelled"),
        ("state=failed|", "where: state, character 14: a value is missing"),
        ("state=faild", "where: state, character 1: unknown state 'faild'; one of waiting, running"),
        ("state>=failed", "where: state, character 1: state has no numbers to compare; use = or !="),
        ("index=a", "where: index, character 1: 'a' is not a number"),
        ("index=-1", "'-1' is not a number"),
        ("index=9..3", "where: index, character 1: 9..3 is an empty range; the smaller number goes first: 3..9"),
        ("index=10000000", "10000000 can never match; at most 9,999,999"),
        ("attempts>=5000", "5000 can never match; at most 4,095"),
        ("index>=3..4", ">= takes one number"),
        ("index>=3|4", ">= takes one number"),
        ("index=1..5 and index=7", "where: index, character 16: no number meets all of its clauses"),
        ("index>=7 and index!=0..9999999", "no number meets all of its clauses"),
        ("state=failed and state=cancelled", "where: state, character 18: no value meets all of its clauses"),
        ("state=failed and state!=failed", "no value meets all of its clauses"),
        ("state!=waiting|running|succeeded|failed|cancelled", "no value meets all of its clauses"),
        ("error=KeyError and error=OSError", "where: error, character 20: no value meets all of its clauses"),
        ("error=jobs.KeyError and error!=KeyError", "no value meets all of its clauses"),
        ("error=''", "'' can never match; from 1 to"),
        (f"group={'f' * 65}", "can never match; from 1 to 64 characters"),
        ("state=failed or index=3", "where: state, character 14: 'or index=3' follows a clause; join clauses by 'and'"),
        ("state=failed, index=3", "unknown state 'failed,'"),
        ("state=failed and", "where: character 17: a clause is missing"),
        ("reason='a", "a value is missing"),
        (" and ".join(["index>=1"] * 101), "more than 100 clauses"),
        ("index=" + "|".join(["1"] * 1001), "more than 1,000 values"),
        ("x" * 40_000, "40,000 characters, more than 32,000"),
    ],
)
def test_what_can_never_match_is_refused_with_its_place(where: str, says: str) -> None:
    with pytest.raises(SelectorError) as raised:
        parse(where)
    assert says in str(raised.value)


@pytest.mark.parametrize("where", ["state=failed and index=1..3|7", "reason='a b' and error!=x", 'group="it\'s"'])
def test_a_selector_is_written_as_it_is_read(where: str) -> None:
    assert parse(text_of(parse(where))) == parse(where)


def test_clauses_of_another_writer_are_checked_too() -> None:
    clause = parse("state=failed").clauses[0]
    contradiction = Selector(1, (clause, *parse("state=cancelled").clauses))
    with pytest.raises(SelectorError, match="no value meets"):
        Predicate(contradiction)
