"""The service of a worker that writes what its handlers print into the log, once a second.

It never holds up the worker: where the log does not take it, it is left out, and that is said once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Final

from streamsched.domain.ids import partition_of
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log.port import Append, LogError, NotAllowed, TopicMismatch
from streamsched.runtime.service import Service
from streamsched.worker.relay import Relay

EVERY_S: Final = 1.0
PATIENCE_MS: Final = 3_000
"""How long a record may take: a worker that ends waits for it."""
MISSING_S: Final = 60.0
"""How long it is not tried again where the topic or a right is missing."""

logger = logging.getLogger(__name__)


class OutputWriter:
    """Writes records of output to the log, which it opens for the first one. Close it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = replace(settings, kafka={"message.timeout.ms": str(PATIENCE_MS), **settings.kafka})
        self._opened = ExitStack()
        self._site: Installation | None = None
        self._partitions = 0
        self.close = self._opened.close

    def write(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Write records; those of one task stay in their order. Raise LogError."""
        if self._site is None:
            self._site = self._opened.enter_context(closing(Installation(self._settings)))
        topic = self._site.topics.output
        self._partitions = self._partitions or self._site.log.partitions(topic)
        self._site.log.append(
            [Append(topic, partition_of(name, self._partitions), name.encode(), lines) for name, lines in records]
        )


@contextmanager
def relaying(settings: Settings, path: Path | None) -> Iterator[list[Service]]:
    """Give the service for what is appended to this file from now on; none without a file. In the end it is deleted."""
    if path is None:
        yield []
        return
    with closing(Relay(path, settings.output_rate)) as relay, closing(OutputWriter(settings)) as writing:
        yield [Service("relaying output", partial(relay_output, relay, writing))]
    from shutil import rmtree

    rmtree(path.parent, ignore_errors=True)


def place_of_copy(site: Installation) -> Path | None:
    """Return where executors of this process write a copy; None where nothing is relayed, or no file can be written.

    The embedded log needs none: what handlers print is in a file of the same folder.
    """
    if not (site.settings.brokers and site.settings.output_rate):
        return None
    try:
        folder = site.scratch()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        logger.warning("what handlers print is not kept in the log: no file can be written for it (%s)", error)
        return None
    return folder / "output.log"


def relay_output(relay: Relay, writing: OutputWriter, stop: Event) -> None:
    """Write what comes, until the end, and then what is left."""
    failed: type[LogError] | None = None
    not_before = 0.0
    while not stop.wait(EVERY_S):
        if time.monotonic() < not_before or not (records := relay.take()):
            continue
        try:
            writing.write(records)
            failed = None
        except LogError as error:
            relay.lost(records)
            if isinstance(error, TopicMismatch | NotAllowed):
                not_before = time.monotonic() + MISSING_S
            if failed is not type(error):
                logger.warning("what handlers print is not kept in the log for 'logs' now: %s", error)
            failed = type(error)
    if failed is None and (records := relay.take()):
        with suppress(LogError):
            writing.write(records)
