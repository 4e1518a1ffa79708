"""Async children over the embedded log: many at once in a slot, against a server that takes its time."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Cli

pytestmark = pytest.mark.slow

HANDLERS = """
import asyncio
import os


def warm():
    with open("warm.txt", "a") as file:
        file.write(f"{os.getpid()}\\n")


async def fetch(ctx, port: int, index: int) -> dict[str, int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n")
    answer = await reader.read()
    writer.close()
    ctx.log.info("child %s was answered", ctx.child_index)
    return {"index": index, "bytes": len(answer)}
"""
TEMPLATE = """
name: fetches
params: {n: {type: integer}, port: {type: integer}}
split: {range: {first: 1, last: "${n}", size: 1}}
child:
  handler: "fetches:fetch"
  setup: "fetches:warm"
  concurrency: 50
  memory: 1GB
  args: {port: "${port}", index: "${child.index}"}
"""


class Server:
    """Answers each request after 0.2 s, and counts how many it had at once."""

    def __init__(self) -> None:
        self.port = 0
        self.now = self.most = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, backlog=1000)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        async with server:
            await self._over.wait()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.now -= 1
        writer.close()

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_fifty_children_of_a_slot_wait_at_once_and_their_setup_runs_once(tmp_path: Path, server: Server) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "fetches.py").write_text(HANDLERS)
    (tmp_path / "fetches.yaml").write_text(TEMPLATE)
    words = ("run", "fetches.yaml", "--slots", "1", "-p", "n=400", "-p", f"port={server.port}", "--task-id", "fetches")
    cli(*words)
    assert 40 <= server.most <= 50
    assert len((tmp_path / "warm.txt").read_text().splitlines()) == 1
    results = [json.loads(line) for line in cli("results", "fetches", "--json").stdout.splitlines()]
    assert len(results) == 400
    output = (tmp_path / ".streamsched" / "output.log").read_text()
    assert all(f"fetches[{child}]#1 INFO fetches.fetch: child {child} was answered" in output for child in range(400))
