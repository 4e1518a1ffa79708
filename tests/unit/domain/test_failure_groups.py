"""Groups of failures (design-life.md, section 8): counted in the journal's order, at most 200 of a task, then other."""

from __future__ import annotations

from streamsched.domain import events as e
from streamsched.domain.failure_groups import MESSAGE_LIMIT, MOST, OTHER, SAMPLES
from streamsched.domain.phases import Phase
from streamsched.domain.policy import FailurePolicy, RetryPolicy
from streamsched.domain.task import Load
from streamsched.view.rows import explain, load_task, task_key, task_rows
from streamsched.view.store import MemoryStore
from tests.support.audit_case import CODEC
from tests.unit.domain.test_evolve import ONCE, Story
from tests.unit.domain.test_stages import planned

ALL = FailurePolicy(percent=100)


def cause(fingerprint: str) -> e.Cause:
    return e.Cause(("m.Error",), None, fingerprint)


def counts(story: Story) -> dict[str, tuple[int, int]]:
    return {key: (group.attempts, group.ended) for key, group in story.task.failures.items()}


def test_attempts_and_endings_are_counted_by_fingerprint_then_by_error_type() -> None:
    story = Story(3, failure=ALL, retry=RetryPolicy(max_attempts=2)).dispatch(0, 2)
    story.fail(0, cause=cause("aa")).fail(1, cause=cause("bb")).fail(2, error_type="Timeout")
    assert counts(story) == {"aa": (1, 0), "bb": (1, 0), "Timeout": (1, 0)}
    story.dispatch(0, 1, ordinal=2).fail(0, 2, attempt=2, cause=cause("aa")).fail(1, 2, attempt=2, cause=cause("aa"))
    assert counts(story) == {"aa": (3, 2), "bb": (1, 0), "Timeout": (1, 0)}
    assert [story.task.detail_of(child).group for child in range(3)] == ["aa", "aa", "Timeout"]
    assert story.task.failures["aa"].children == [0, 1]


def test_a_redrive_lowers_what_has_ended_and_no_attempt() -> None:
    story = Story(3, failure=ALL, retry=ONCE).dispatch(0, 2)
    story.fail(0, cause=cause("aa")).fail(1, cause=cause("aa")).complete(2).tell(e.TaskSucceeded, 0, "", 0)
    assert counts(story) == {"aa": (2, 2)}
    story.tell(e.TaskRedriven, 1, "failed", False, "", "")
    assert counts(story) == {"aa": (2, 2)}
    story.dispatch(0, 1, ordinal=2)
    assert counts(story) == {"aa": (2, 0)}
    story.fail(0, 2, cause=cause("bb")).complete(1, 2)
    assert counts(story) == {"aa": (2, 0), "bb": (1, 1)}


def test_what_is_skipped_is_an_attempt_and_has_not_failed() -> None:
    rules: tuple[dict[str, str], ...] = ({"reason": "error", "do": "skip"},)
    story = Story(1, failure=FailurePolicy(rules=rules)).dispatch(0, 0).fail(0)  # type: ignore[arg-type]
    assert counts(story) == {"Trouble": (1, 0)}


def test_failures_of_every_stage_count() -> None:
    story = planned().dispatch(0, 1).complete(0).complete(1).dispatch(2, 2).fail(2, cause=cause("cc"))
    assert (counts(story), story.task.phase) == ({"cc": (1, 1)}, Phase.FAILING)


def test_groups_are_bounded_and_the_others_are_one() -> None:
    story = Story(300, failure=ALL, retry=ONCE).dispatch(0, 299)
    for child in range(300):
        story.fail(child, cause=cause(f"{child:x}"), message="x" * 4_000, at=1_000 + child)
    assert len(story.task.failures) == MOST + 1
    other = story.task.failures[OTHER]
    assert (other.attempts, other.ended, other.message) == (100, 100, "")
    assert other.children == list(range(200, 200 + SAMPLES))
    assert (other.first_at, other.last_at) == (1_200, 1_299)
    assert len(story.task.failures["0"].message) == MESSAGE_LIMIT
    assert len(task_rows(story.task, CODEC, new=True)[task_key(b"g", "task")] or b"") < 60_000


def test_the_row_of_groups_is_written_when_they_changed_and_comes_back() -> None:
    store, key = MemoryStore(), task_key(b"g", "task")
    story = Story(2, failure=ALL, retry=ONCE).dispatch(0, 1)
    rows = task_rows(story.task, CODEC, new=True)
    assert key not in rows
    story.task.stored()
    story.fail(0, cause=cause("aa"))
    store.write(rows | task_rows(story.task, CODEC, new=False))
    story.task.stored()
    story.complete(1)
    assert key not in task_rows(story.task, CODEC, new=False)
    loaded = load_task(store, CODEC, "task", Load())
    assert loaded is not None
    told = explain(key, store.get(key) or b"")
    assert (told.task_id, told.values) == ("task", {"failures aa": ["Trouble", "no", 1_000, 1_000, 1, 1, [0]]})
    assert (loaded.failures, loaded.failures.changed) == (story.task.failures, False)
