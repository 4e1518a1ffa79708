"""Many readers of one stream of a server, in one process: ``python -m bench.http_readers PORT READERS SECONDS PATH``.

Writes one JSON document: how many messages and bytes came, and how many readers were cut off.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


class Reader:
    """One reader, and what it got."""

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.cut_off = False

    async def read(self, port: int, path: str, until: float) -> None:
        """Read until it is over, or the server ends the stream."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode())
            async with asyncio.timeout_at(until):
                while got := await reader.read(65_536):
                    self.bytes += len(got)
                    self.messages += got.count(b"\ndata: ")
            self.cut_off = True
        except TimeoutError:
            pass
        finally:
            writer.close()


async def run(port: int, readers: int, seconds: float, path: str) -> dict[str, float]:
    """Run all readers for so many seconds."""
    begun = time.perf_counter()
    until = asyncio.get_running_loop().time() + seconds
    all_of_them = [Reader() for _ in range(readers)]
    await asyncio.gather(asyncio.sleep(seconds), *(each.read(port, path, until) for each in all_of_them))
    return {
        "seconds": time.perf_counter() - begun,
        "messages": sum(each.messages for each in all_of_them),
        "least": min((each.messages for each in all_of_them), default=0),
        "bytes": sum(each.bytes for each in all_of_them),
        "cut_off": sum(each.cut_off for each in all_of_them),
    }


if __name__ == "__main__":
    number, many, duration, place = sys.argv[1:]
    json.dump(asyncio.run(run(int(number), int(many), float(duration), place)), sys.stdout)
