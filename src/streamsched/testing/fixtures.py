"""Fixtures for pytest; nothing else in this package imports it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamsched.testing.memory_cluster import Cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Yield a cluster with a scheduler and a worker, and end what runs in it behind the test."""
    with Cluster() as made:
        yield made
