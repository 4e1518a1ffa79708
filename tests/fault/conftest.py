"""An installation for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import broker
from tests.support.nodes import Nodes
from tests.support.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    opened = Site(tmp_path)
    yield opened
    opened.end()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    started = Nodes(broker().address, tmp_path)
    started.env["STREAMSCHED_PREFIX"] = tmp_path.name.replace("_", "-")
    made = started.run("topics", "create")
    assert made.returncode == 0, made.stderr
    yield started
    started.end()
