"""Which tests run by default, and which of them side by side."""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import settings

settings.register_profile("streamsched", deadline=None)  # a busy machine fails no test
settings.load_profile("streamsched")

_ONE_AFTER_THE_OTHER: Final = {"chaos", "contract", "fault", "guard", "kafka", "poison"}
"""Folders whose tests share a broker or start nodes: with ``-n`` one process runs them all."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Group the tests that need a broker. Leave out those that take minutes, unless their mark is asked for."""
    for item in items:
        if item.path.relative_to(config.rootpath).parts[1] in _ONE_AFTER_THE_OTHER:
            item.add_marker(pytest.mark.xdist_group("broker"))
    if "long" in str(config.option.markexpr):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a process that only computes stand back behind the nodes of the one that has the broker."""
    if "PYTEST_XDIST_WORKER" in os.environ and not item.get_closest_marker("xdist_group") and not os.nice(0):
        os.nice(10)
