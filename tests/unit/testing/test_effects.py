"""``assert_effects_idempotent`` finds what is done twice and what is lost, and says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsched import ChildContext
from streamsched.testing import assert_effects_idempotent

sent: list[str] = []
rows: dict[str, int] = {}


def appends(ctx: ChildContext, items: list[str]) -> int:
    """Send each item: what was sent since the last checkpoint is sent again."""
    for item in ctx.resume(items):
        ctx.log.info(item)
        sent.append(item)
    return len(items)


def upserts(ctx: ChildContext, items: list[str]) -> int:
    """Write each item under a key."""
    for number, item in enumerate(ctx.resume(items)):
        rows[item] = number * 0
    return len(items)


def says_before_it_does(ctx: ChildContext, items: list[str]) -> int:
    """Take the checkpoint before what it covers."""
    for number in range(ctx.last_checkpoint or 0, len(items)):
        ctx.checkpoint(number + 1)
        rows[items[number]] = 1
    return len(items)


def counts_its_own(ctx: ChildContext, items: list[str]) -> int:
    """Return what only this attempt did."""
    rows["done"] = 1
    return sum(1 for _ in ctx.resume(items))


def keeps_the_attempt(ctx: ChildContext, items: list[str]) -> None:
    """Write another value each time."""
    rows["who"] = ctx.attempt


def forgets(ctx: ChildContext, items: list[str]) -> None:
    """Never come to a second checkpoint again."""
    ctx.checkpoint(1)
    if not sent:
        ctx.checkpoint(2)
    sent.append("x")
    rows["done"] = 1


ITEMS = {"items": ["a", "b", "c"]}


@pytest.fixture(autouse=True)
def _clean() -> None:
    sent.clear()
    rows.clear()


def test_a_write_under_a_key_is_fine() -> None:
    assert_effects_idempotent(upserts, ITEMS, effects=lambda: rows)


def test_what_is_doubled_and_what_is_lost_is_named_with_its_point() -> None:
    with pytest.raises(AssertionError, match="died after checkpoint 1 and resumed from the beginning: 'a' doubled"):
        assert_effects_idempotent(appends, ITEMS, effects=lambda: sent)
    with pytest.raises(AssertionError, match=r"after checkpoint 1 and resumed from checkpoint 1: \('a', 1\) lost"):
        assert_effects_idempotent(says_before_it_does, ITEMS, effects=lambda: rows)
    with pytest.raises(AssertionError, match=r"after its start .*: \('who', 1\) lost; \('who', 2\) not there"):
        assert_effects_idempotent(keeps_the_attempt, ITEMS, effects=lambda: rows)


def looks_at_the_last(ctx: ChildContext, items: list[str], wait: bool) -> None:
    """Send each item, unless it was sent last."""
    for number in range(ctx.last_checkpoint or 0, len(items)):
        if sent[-1:] != items[number : number + 1]:
            sent.append(items[number])
        ctx.checkpoint(number + 1, wait=wait)


def test_what_was_waited_for_is_not_repeated() -> None:
    assert_effects_idempotent(looks_at_the_last, {**ITEMS, "wait": True}, effects=lambda: sent)
    with pytest.raises(AssertionError, match="after its end and resumed from the beginning: 'a', 'b', 'c' doubled"):
        assert_effects_idempotent(looks_at_the_last, {**ITEMS, "wait": False}, effects=lambda: sent)


def test_another_result_is_found() -> None:
    with pytest.raises(AssertionError, match="resumed from checkpoint 1: it returned 2, and undisturbed 3"):
        assert_effects_idempotent(counts_its_own, ITEMS, effects=lambda: rows)


def test_another_way_the_second_time_is_found() -> None:
    with pytest.raises(AssertionError, match="it did not come to checkpoint 2"):
        assert_effects_idempotent(forgets, ITEMS, effects=lambda: rows)


def writes(ctx: ChildContext, path: str, items: list[str]) -> None:
    """Write a file under a name with its token in it, and rename it as the last act."""
    part = Path(f"{path}.{ctx.fencing_token}")
    part.write_text("".join(items))
    part.rename(path)


def test_outside_of_memory(tmp_path: Path) -> None:
    def files() -> dict[str, str]:
        return {each.name: each.read_text() for each in tmp_path.iterdir()}

    def reset() -> None:
        for each in tmp_path.iterdir():
            each.unlink()

    args = {"path": str(tmp_path / "out"), **ITEMS}
    assert_effects_idempotent(writes, args, effects=files, reset=reset)
    with pytest.raises(ValueError, match="changes nothing"):
        assert_effects_idempotent(writes, args, effects=files)
    reset()
    with pytest.raises(ValueError, match="give reset="):
        assert_effects_idempotent(writes, args, effects=files)


def buffers(ctx: ChildContext, path: str, items: list[str]) -> None:
    """Write to a file whose buffer is written when it is closed, after its checkpoints."""
    done = ctx.last_checkpoint or 0
    with Path(path).open("r+" if done else "w") as file:
        file.seek(2 * done)
        for number, item in enumerate(items[done:], done):
            file.write(f"{item}\n")
            ctx.checkpoint(number + 1)
        file.truncate()


def test_what_is_in_a_buffer_is_lost_in_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "out"

    def outside() -> list[str]:
        return path.read_text().replace("\0", "?").splitlines() if path.exists() else []

    args = {"path": str(path), **ITEMS}
    assert_effects_idempotent(buffers, args, effects=outside, reset=lambda: path.unlink(missing_ok=True))
    with pytest.raises(AssertionError, match="checkpoint 1 and resumed from checkpoint 1: 'a', 'b' lost"):
        assert_effects_idempotent(buffers, args, effects=outside, reset=lambda: path.unlink(missing_ok=True), fork=True)


def test_of_many_checkpoints_some_are_tried_the_ends_too() -> None:
    begun = []

    def many(ctx: ChildContext) -> None:
        begun.append(ctx.last_checkpoint)
        rows["done"] = 1
        for _ in ctx.resume(range(1000)):
            pass

    assert_effects_idempotent(many, effects=lambda: rows, points=3)
    assert [each["resume"] for each in begun if each] == [1, 500, 499, 1000, 999, 1000]
