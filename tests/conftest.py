"""Tests that take minutes are left out unless they are asked for by their mark; no test fails of a busy machine."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("streamsched", deadline=None)
settings.load_profile("streamsched")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "long" in str(config.option.markexpr):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
