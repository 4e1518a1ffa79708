"""Which marks a test has from its folder, which tests run by default, and which of them side by side."""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("streamsched", deadline=None)  # a busy machine fails no test
settings.load_profile("streamsched")

_MARKS: Final[dict[str, tuple[str, ...]]] = {
    "chaos": ("fault", "kafka"),
    "contract": ("contract",),
    "fault": ("fault",),
    "golden": ("golden",),
    "guard": ("guard",),
    "kafka": ("kafka",),
    "model": ("simulation",),
    "mutants": ("simulation", "slow"),
    "poison": ("unit",),
    "property": ("property", "slow"),
    "simulation": ("simulation",),
    "ui": ("unit", "slow"),
    "unit": ("unit",),
}
"""The marks of every test in a folder; a broker elsewhere than in ``kafka`` is marked at the test."""
_INSTEAD_OF: Final = {"unit": {"fault", "kafka", "property"}, "fault": {"unit"}, "kafka": {"unit"}}
"""With one of these marks at the test itself, the folder's mark would be wrong."""
_ONE_AFTER_THE_OTHER: Final = {"chaos", "contract", "fault", "guard", "kafka", "poison"}
"""Folders whose tests share a broker or start nodes: with ``-n`` one process runs them all."""


def _folder(nodeid: str) -> str:
    return nodeid.split("/")[1]


def _one_after_the_other(nodeid: str) -> bool:
    return _folder(nodeid) in _ONE_AFTER_THE_OTHER


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show whole what failed at first and passed when it ran again, as ``.ci/run`` has it: nothing is forgiven."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.write_sep("=", f"failed, and ran once more: {report.nodeid}")
        report.toterminal(terminalreporter._tw)  # as pytest itself writes failures


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the marks of the folders; leave out the tests that take minutes, unless their mark is asked for."""
    for item in items:
        own = {mark.name for mark in item.iter_markers()}
        for mark in _MARKS.get(_folder(item.nodeid), ()):
            if not own & _INSTEAD_OF.get(mark, set()):
                item.add_marker(mark)
    if "long" in str(config.option.markexpr):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
