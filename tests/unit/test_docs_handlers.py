"""``docs/handlers.md`` is held against the code: all of the context is named, and its code runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamsched import ChildContext, LocalTransport
from streamsched.testing import run_child

TEXT = (Path(__file__).parents[2] / "docs" / "handlers.md").read_text()
INSIDE = {"read_from", "request_stop", "unsaved", "finish", "continue_with", "covered", "outbox"}
"""For whoever runs the handler."""


def code() -> dict[str, Any]:
    """Run all code of the document, and return what it defines."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, "docs/handlers.md", "exec"), found)  # noqa: S102
    return found


def test_all_of_the_context_is_named() -> None:
    public = {name for name in dir(ChildContext) if not name.startswith("_")} - INSIDE
    assert {name for name in public if f"`ctx.{name}" not in TEXT} == set()
    assert set(re.findall(r"\bctx\.(\w+)", TEXT)) <= public


def test_its_examples_run(tmp_path: Path) -> None:
    found = code()
    found["test_copy"](tmp_path)
    assert run_child(found["convert"], {"paths": ["a", "b"]}).result == {"converted": 2}
    assert run_child(found["convert"], {"paths": ["a", "b"]}, resume={"resume": 1}).result == {"converted": 1}
    emits = LocalTransport()
    found["price"](ChildContext(emits), [{"id": 7, "pieces": 2}])
    assert [(record.topic, record.key, record.value) for record in emits.emitted] == [
        ("prices", b"7", b'{"order":7,"price":6}')
    ]


def test_every_path_and_command_that_it_names_is_there() -> None:
    from streamsched.cli.app import COMMANDS, GROUPS

    for path in re.findall(r"\]\((\w+\.md)\)", TEXT):
        assert (Path(__file__).parents[2] / "docs" / path).is_file(), path
    assert set(re.findall(r"`streamsched (\w+)", TEXT)) <= {*COMMANDS, *GROUPS}


def test_stop_passes_except_exception() -> None:
    handler: Callable[..., Any] = code()["copy"]
    ctx = ChildContext(LocalTransport())
    ctx.request_stop()
    assert ctx.should_stop
    with pytest.raises(BaseException) as caught:
        handler(ctx, __file__, "/dev/null")
    assert type(caught.value).__name__ == "StopChild"
    assert not isinstance(caught.value, Exception)
