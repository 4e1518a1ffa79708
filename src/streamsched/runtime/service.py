"""A node and what it runs beside its loop: services, all started and stopped in one way."""

from __future__ import annotations

import ctypes
import gc
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final, Protocol

from streamsched.log.port import LogError

NEW_OBJECTS: Final = 10_000
M_MMAP_THRESHOLD: Final = -3
"""The option of glibc's mallopt for the size from which memory is mapped, and unmapped when it is freed."""
MMAP_THRESHOLD_BYTES: Final = 128 * 1024
"""glibc's first value. By itself glibc raises it to the largest block that was freed: some megabytes after a fetch."""
BEGIN_ANEW_S: Final = 2.0
"""Seconds before a service that failed begins anew."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """``run`` works, in a thread of its own, until ``stop`` is set. What it needs of the log it opens itself."""

    name: str
    run: Callable[[Event], None]


class Node(Protocol):
    """What turns in a loop."""

    @property
    def stopped(self) -> bool:
        """Whether the loop is over."""

    def step(self, timeout: float) -> bool:
        """Make one turn of at most ``timeout`` seconds; returns whether anything happened."""

    def stop(self) -> None:
        """Hand everything over and leave."""


def collect_less() -> None:
    """Keep all modules out of garbage collections: a full one through them holds up the loop for 30 ms.

    Collect after ten thousand new objects, not after 700: a turn makes thousands, and hardly one is in a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)


def return_large_blocks() -> None:
    """Make glibc return fetched data to the system once it is read, instead of fragmenting the heap.

    Executors are processes of their own and keep the defaults.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)


def serve(node: Node, services: Sequence[Service], *, on_turn: Callable[[], None], timeout: float) -> None:
    """Turn the node until it has stopped, with its services beside it until it has left."""
    stop = Event()
    threads = [Thread(target=_keep_on, args=(each, stop), name=each.name, daemon=True) for each in services]
    for thread in threads:
        thread.start()
    try:
        while not node.stopped:
            node.step(timeout)
            on_turn()
        node.stop()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _keep_on(service: Service, stop: Event) -> None:
    """Run a service until the end, and anew, after a while, when it failed."""
    while not stop.is_set():
        try:
            service.run(stop)
        except LogError as error:
            logger.warning("%s failed, will start again: %s", service.name, error)
        except Exception:
            logger.exception("%s failed, will start again", service.name)
        stop.wait(BEGIN_ANEW_S)
