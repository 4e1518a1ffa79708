"""The executor's end of the link to its pool: orders come in, frames of news go out."""

from __future__ import annotations

import os
import select
import socket
from typing import Final

from streamsched.worker import wire

_READ: Final = 256 * 1024
_exit = os._exit  # as it is before handlers can replace it


class Link:
    """Ends this process where it cannot speak to its pool any more.

    Handlers share our descriptors: before each use it is held against what it was, so that no file which took the
    link's number is read or written in its place.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._identity = _identity(sock.fileno())
        self._frames = wire.Frames()
        self._poller = select.poll()
        self._poller.register(sock, select.POLLIN)

    def close(self) -> None:
        """Let go of it, in a copy of this process; the copy cannot use it any more."""
        self._sock.close()

    def wait(self, seconds: float | None) -> bool:
        """Wait so long for orders; returns whether there are any."""
        return bool(self._poller.poll(None if seconds is None else seconds * 1000))

    def receive(self) -> list[wire.Order]:
        """Return the orders that are whole; ends this process where the pool is gone."""
        self._check()
        data = self._sock.recv(_READ)
        if not data:
            _exit(0)  # results of what still runs could not be sent
        return [wire.decode_order(body) for body in self._frames.feed(data)]

    def send(self, frame: bytes) -> None:
        """Send a frame, waiting until it is taken."""
        self._check()
        try:
            self._sock.sendall(frame)
        except OSError:
            _exit(wire.LINK_LOST)

    def lose(self, why: str) -> None:
        """End this process: it would hear nothing any more."""
        try:
            os.write(2, why.encode())
        finally:
            _exit(wire.LINK_LOST)

    def _check(self) -> None:
        try:
            if _identity(self._sock.fileno()) == self._identity:
                return
        except OSError:
            pass
        _exit(wire.LINK_LOST)


def _identity(fd: int) -> tuple[int, int]:
    stat = os.fstat(fd)
    return stat.st_dev, stat.st_ino
