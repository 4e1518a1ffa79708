"""``docs/testing.md``: its tests pass, and it names all of the kit."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from streamsched import testing
from streamsched.testing import ChildRun, Cluster, run_child

TEXT: Final = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
BLOCKS: Final = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
TESTS: Final = re.findall(r"^def (test_\w+)", TEXT, re.MULTILINE)
INSIDE: Final = {"close", "clock"}


@pytest.fixture(scope="module")
def code() -> Iterator[dict[str, Any]]:
    """Run all code of the document, the job as a module of its own, and return what the rest defines."""
    job = ModuleType("payments")
    sys.modules["payments"] = job
    exec(compile(BLOCKS[0], "docs/testing.md", "exec"), vars(job))  # noqa: S102
    found: dict[str, Any] = {"__name__": "docs_testing"}
    for block in BLOCKS[1:]:
        exec(compile(block, "docs/testing.md", "exec"), found)  # noqa: S102
    yield found
    del sys.modules["payments"]


@pytest.mark.parametrize("name", TESTS)
def test_its_tests_pass(name: str, code: dict[str, Any], tmp_path: Path) -> None:
    test: Callable[..., None] = code[name]
    with Cluster() as cluster:
        given = {"cluster": cluster, "tmp_path": tmp_path}
        test(**{each: given[each] for each in inspect.signature(test).parameters})


def test_it_has_tests() -> None:
    assert len(TESTS) >= 8


def test_it_names_all_of_the_kit() -> None:
    names = {*testing.__all__} - {"ChildDied", "ChildRun", "CrashPoint"}  # what others return, and an error inside
    names |= {name for name in dir(Cluster) if not name.startswith("_")} | {"client", "now"}
    names |= {*inspect.signature(run_child).parameters, *ChildRun.__slots__}
    assert {name for name in names - INSIDE if not re.search(rf"\b{name}\b", TEXT)} == set()
