"""Which tests run by default, and which of them side by side."""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("streamsched", deadline=None)  # a busy machine fails no test
settings.load_profile("streamsched")

_ONE_AFTER_THE_OTHER: Final = {"chaos", "contract", "fault", "guard", "kafka", "poison"}
"""Folders whose tests share a broker or start nodes: with ``-n`` one process runs them all."""


def _one_after_the_other(nodeid: str) -> bool:
    return nodeid.split("/")[1] in _ONE_AFTER_THE_OTHER


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out tests one by one, but those that need a broker together."""

    def _split_scope(self, nodeid: str) -> str:
        return "broker" if _one_after_the_other(nodeid) else nodeid


@pytest.hookimpl(optionalhook=True)  # it is there only with the plugin
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Choose the scheduling of ``pytest -n``."""
    return Scheduling(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a process that only computes stand back behind the nodes of the one that has the broker."""
    if "PYTEST_XDIST_WORKER" in os.environ and not _one_after_the_other(item.nodeid) and not os.nice(0):
        os.nice(10)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that take minutes, unless their mark is asked for."""
    if "long" in str(config.option.markexpr):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
