"""Many clients of a server, in one process: ``python -m bench.http_clients PORT CLIENTS SECONDS PAUSE PATH…``.

Each keeps a connection and asks for the paths in turn, the next one PAUSE seconds after it had its answer (somewhere
around it, so that they do not go in step). Writes one JSON document: how long each answer took, and what was not 200.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Final

WARM_S: Final = 1.0
"""Answers of the first second are not measured."""


async def client(
    port: int,
    paths: Sequence[str],
    chance: random.Random,
    until: float,
    pause: float,
    took: list[float],
    odd: list[str],
) -> None:
    """Ask until it is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for path in cycle(paths):
        await asyncio.sleep(chance.uniform(0.5, 1.5) * pause)
        begun = time.perf_counter()
        if begun >= until:
            break
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        took.append(time.perf_counter() - begun)
        if not head.startswith(b"http/1.1 200"):
            odd.append(head.partition(b"\r\n")[0].decode())
    writer.close()


async def run(port: int, clients: int, seconds: float, pause: float, paths: Sequence[str]) -> dict[str, object]:
    """Run all clients, for a second, then for so many."""
    for length in (WARM_S, seconds):
        took: list[float] = []
        odd: list[str] = []
        begun = time.perf_counter()
        turns = [[*paths[n % len(paths) :], *paths[: n % len(paths)]] for n in range(clients)]
        chances = map(random.Random, range(clients))
        await asyncio.gather(
            *(client(port, *each, begun + length, pause, took, odd) for each in zip(turns, chances, strict=True))
        )
    return {"seconds": time.perf_counter() - begun, "took": took, "odd": odd[:5]}


if __name__ == "__main__":
    number, many, duration, between, *asked = sys.argv[1:]
    json.dump(asyncio.run(run(int(number), int(many), float(duration), float(between), asked)), sys.stdout)
