"""The start of an executor: what its process does before it runs jobs, in the copy that its guardian has forked."""

from __future__ import annotations

import atexit
import faulthandler
import gc
import os
import socket
import sys
from contextlib import suppress

import msgspec

from streamsched.worker import copies, descendants, telemetry, wire
from streamsched.worker.executor import Executor
from streamsched.worker.link import Link
from streamsched.worker.page import Page
from streamsched.worker.streams import Capture


def main(text: str) -> None:
    """Run an executor with this setup, JSON."""
    setup = msgspec.json.decode(text, type=wire.Setup)
    copies.ignore_signals()
    del sys.argv[1:]  # they tell handlers nothing
    descendants.adopt()
    link = Link(socket.socket(fileno=setup.link))
    page = Page(setup.page)
    page.born(os.getpid())
    os.close(setup.page)
    os.set_inheritable(setup.link, False)
    spans = telemetry.begin()
    with suppress(FileNotFoundError):  # it may have been deleted
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - pathlib is not worth its import here
    faulthandler.enable(2)
    output = Capture(setup.output_path, setup.copy_path, page.text)
    atexit.register(output.end)
    gc.freeze()
    executor = Executor(setup, link, page, output)
    if spans is not None:
        executor.trace(spans)
    executor.run()
