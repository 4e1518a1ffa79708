"""The one broker of a test run: started when the first test asks for it, stopped when the run ends."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tools.broker import Broker, BrokerError


@functools.cache
def broker() -> Broker:
    """Start the broker, or skip the test (fail it where CI is set) because Java or Maven is missing."""
    folder = Path(tempfile.mkdtemp(prefix="streamsched-kafka-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        started = start(folder)
    except BrokerError as error:
        if os.environ.get("CI"):
            pytest.fail(f"no broker: {error}", pytrace=False)
        pytest.skip(f"NO KAFKA TESTS WERE RUN: {error}")
    atexit.register(started.stop)
    return started


def start(folder: Path) -> Broker:
    """Start a broker of a test's own, which it may kill and pause as it likes; it has to stop it."""
    own = Broker(folder)
    own.start()
    return own
