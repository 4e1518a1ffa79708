"""A ``streamsched server`` on an installation that is measured."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from typing import Any, Final

import psutil

from bench.cluster import READY_LIMIT, BenchError, Site

BUSY_CHILDREN: Final = 5_000_000
"""Children of a task that runs longer than anything is measured; then it is cancelled."""


@contextmanager
def serving(site: Site) -> Iterator[tuple[psutil.Process, int]]:
    """Have a server on the installation, which has folded its journal."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    node = site.start("server", "--http", f"127.0.0.1:{port}")
    try:
        limit = time.monotonic() + READY_LIMIT
        while answer(port, "/readyz") is None:
            if node.process.poll() is not None or time.monotonic() > limit:
                raise BenchError(f"the server did not start: {node.said()}")
            time.sleep(0.05)
        yield psutil.Process(node.process.pid), port
    finally:
        site.nodes.remove(node)
        node.stop()


def answer(port: int, path: str) -> Any:
    """Return a document of the server; None where it does not answer, or not with one."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=READY_LIMIT)) as connection, suppress(ConnectionError):
        connection.request("GET", path)
        answered = connection.getresponse()
        return json.loads(answered.read()) if answered.status == 200 else None
    return None


def until_running(port: int, task_id: str) -> None:
    """Wait until children of a task have succeeded."""
    limit = time.monotonic() + READY_LIMIT
    while not (status := answer(port, f"/v1/tasks/{task_id}")) or not status["children"]["succeeded"]:
        if time.monotonic() > limit:
            raise BenchError("the task does not run")
        time.sleep(0.05)
