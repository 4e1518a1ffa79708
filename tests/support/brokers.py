"""The one broker of a test run: started when the first test asks for it, stopped when the run ends."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tools.broker import Broker, BrokerError
from tools.cluster import Cluster


class NoText(str):
    """A header's name that is sent as bytes which are no UTF-8."""

    def encode(self, *_: Any, **__: Any) -> bytes:
        return b"\xff\xfe"


@functools.cache
def broker() -> Broker:
    """Start the broker, or skip the test (fail it where CI is set) because Java or Maven is missing."""
    folder = Path(tempfile.mkdtemp(prefix="streamsched-kafka-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    own = start(folder)
    atexit.register(own.stop)
    return own


def start(folder: Path, *, stock_timeouts: bool = False) -> Broker:
    """Start a broker of a test's own, which it may kill and pause as it likes; it has to stop it."""
    own = Broker(folder, stock_timeouts=stock_timeouts)
    start_own(own)
    return own


def start_cluster(folder: Path) -> Cluster:
    """Start three brokers of a test's own; it has to stop them."""
    own = Cluster(folder)
    start_own(own)
    return own


def start_own(own: Broker | Cluster) -> None:
    """Start these brokers, or skip the test (fail it where CI is set)."""
    try:
        own.start()
    except BrokerError as error:
        if os.environ.get("CI"):
            pytest.fail(f"no broker: {error}", pytrace=False)
        pytest.skip(f"NO KAFKA TESTS WERE RUN: {error}")
