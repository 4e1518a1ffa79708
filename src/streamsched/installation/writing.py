"""How a client writes: straight to Kafka, and to the embedded log through its mailbox.

The embedded log has one writing process at a time. A running ``run`` or ``up`` holds its lock and empties the mailbox
many times a second. Without one, the client opens the log for a moment and empties the mailbox itself.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Final

from streamsched.installation.folder import make_private
from streamsched.installation.mailbox import Mailbox, MailboxRequest
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log.port import Append, LogError, LogTaken, LogUnreachable, TopicMismatch, TopicPartition
from streamsched.log.topics import RECORD_LIMIT

PATIENCE_S: Final = 30.0
"""Seconds that a client waits for the process that has the log, and such a process for clients."""
LOOK_S: Final = 0.02
RECORD_OVERHEAD_BYTES: Final = 2048
"""Of a record in a request, at most: its topic and headers."""
FETCH_WAIT_S: Final = 0.02
"""How long a client's fetch may wait: a task in a partition that is new to it is seen only when the fetch returns."""


def write(site: Installation, record: Append) -> int:
    """Append a record, durable on return; returns its offset, on the embedded log that or a later one.

    Raise LogUnreachable: nothing was written, unless the message says that this is unknown.
    """
    return write_all(site, [record])[0]


def write_all(site: Installation, records: Sequence[Append]) -> Sequence[int]:
    """Append records as ``write`` does, together; returns their offsets.

    Raise LogUnreachable: of several, some may have been written.
    """
    if site.settings.brokers:
        return site.log.append(records)
    _hand_in(site.settings, records)
    site.refresh()
    places = [TopicPartition(record.topic, record.partition) for record in records]
    ends = site.log.end(set(places))
    return [ends[place] - 1 for place in places]


def connect(settings: Settings, *, create: bool) -> Installation:
    """Open the log for a client; ``create`` makes a missing embedded one.

    Raise LogUnreachable; TopicMismatch if there are no topics with this prefix.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return _open(settings)
        except (LogUnreachable, TopicMismatch):
            if settings.brokers or not create:
                raise
        try:
            Installation(settings, write=True).close()
        except LogTaken:  # by a process that may be making the log just now
            if time.monotonic() >= deadline:
                raise
            time.sleep(LOOK_S)


def open_to_work(settings: Settings) -> Installation:
    """Open the log to work on it; waits for clients that write for a moment. Raise LogUnreachable."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return Installation(settings, write=True)
        except LogTaken:
            if time.monotonic() >= deadline:
                raise
            time.sleep(LOOK_S)


class Tenure:
    """The right to work on the embedded log of a folder: one process has it until it ends."""

    def __init__(self, settings: Settings, command: str) -> None:
        """Take it. Raise LogTaken, with its id and command, if another process has it."""
        settings.need_log(f"'{command}'")
        path = settings.data_dir / "run.lock"
        try:
            make_private(settings.data_dir)
            self._lock: IO[str] = path.open("a+")
        except OSError as error:
            raise LogUnreachable(f"the folder {settings.data_dir} cannot be used for the log: {error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise LogTaken(
                f"{_holder(path)} works on {settings.where}: give it tasks with 'streamsched submit', wait until it "
                "ends, stop it, or use another folder (--data-dir)"
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()} {command}\n")
        self._lock.flush()

    def close(self) -> None:
        """Release it."""
        self._lock.close()


def _holder(path: Path) -> str:
    number, _, command = path.read_text(errors="replace").strip().partition(" ")
    return f"process {number} ('streamsched {command}')" if number.isdigit() else "another process"


def _open(settings: Settings) -> Installation:
    site = Installation(settings.fetching(FETCH_WAIT_S))
    try:
        return site.discover()
    except BaseException:
        site.close()
        raise


def _hand_in(settings: Settings, records: Sequence[Append]) -> None:
    """Put requests into the mailbox and wait until they are in the log; an interrupt or error withdraws them."""
    mailbox = Mailbox(settings.data_dir)
    requests: list[MailboxRequest] = []
    try:
        requests.extend(mailbox.put(*some) for some in _portions(records))
        _deliver(settings, mailbox, requests)
    except LogTaken as error:
        withdrawn = [request.withdraw() for request in requests]
        if all(withdrawn):
            raise LogUnreachable(f"nothing was written, the request was not answered: {error}") from error
        if any(request.waits for request in requests):
            raise LogUnreachable(f"it may still be written, look again later: {error}") from error
    except BaseException:
        for request in requests:
            request.withdraw()
        raise
    if any(request.refused for request in requests):
        raise LogError(f"the log in {settings.data_dir} cannot take this: the process that has it logged why")


def _portions(records: Sequence[Append]) -> Iterator[list[Append]]:
    """Yield the records in portions, each of at most one record's limit in all."""
    portion: list[Append] = []
    size = 0
    for record in records:
        own = len(record.value or b"") + len(record.key or b"") + RECORD_OVERHEAD_BYTES
        if portion and size + own > RECORD_LIMIT:
            yield portion
            portion, size = [], 0
        portion.append(record)
        size += own
    yield portion


def _deliver(settings: Settings, mailbox: Mailbox, requests: Sequence[MailboxRequest]) -> None:
    """Wait until the requests are appended; append them here while no process has the log. Raise LogTaken."""
    deadline = time.monotonic() + PATIENCE_S
    while any(request.waits for request in requests):
        try:
            with closing(Installation(settings, write=True)) as site:
                mailbox.empty(site.log)
        except LogTaken:
            if time.monotonic() >= deadline:
                raise
            time.sleep(LOOK_S)
