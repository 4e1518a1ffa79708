"""An open log with its topics, and the views of it in the data folder."""

from __future__ import annotations

import fcntl
import getpass
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from msgspec import Struct

from streamsched.domain.ids import uuid7
from streamsched.domain.visible import visible
from streamsched.installation.folder import make_private, seal
from streamsched.installation.settings import Settings
from streamsched.log.codec import Codec
from streamsched.log.port import LogError, NotAllowed, TopicMismatch
from streamsched.log.topics import EVENT_PARTITIONS, Topics
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records

# What only some commands need is imported where it is made: submit and status are as fast as what they import.
if TYPE_CHECKING:
    from streamsched.log.adapter import LogAdapter
    from streamsched.view.view import View

VIEW_SLOTS = 8
Progress = Callable[[int, int], None]
"""Hears how many records are folded, of how many."""
logger = logging.getLogger(__name__)


class Copies(Struct, frozen=True):
    """How many copies new topics have, and how many of them must have a record: as in ``TopicSpec``."""

    replication: int = -1
    min_insync: int = 0


class Installation:
    """An open log with its topics: what every command starts from."""

    def __init__(self, settings: Settings, *, write: bool = False) -> None:
        """Open the log.

        Args:
            settings: where it is.
            write: open the embedded log for writing, and create it where there is none; Kafka is always both.

        Raises:
            LogUnreachable: no broker answers, or the folder cannot be used.

        """
        self.settings = settings
        self.codec = Codec()
        self.clock = SystemClock()
        self._locks: list[IO[str]] = []
        self._private = False
        if write and not settings.brokers:
            self._make_private()
        self.log: LogAdapter
        if settings.brokers:
            from streamsched.log.kafka.log import KafkaLog

            self.log = KafkaLog(settings.brokers, settings.kafka)
        else:
            from streamsched.log.embedded import EmbeddedLog

            self.log = EmbeddedLog(settings.data_dir / "log", read_only=not write)
        self.topics = Topics(settings.prefix, child_partitions=settings.child_partitions)
        if not settings.brokers and write:
            self.create_topics()

    def pause(self, seconds: float) -> None:
        """Wait; the simulation's does not."""
        time.sleep(seconds)

    def create_topics(self, copies: Copies | None = None) -> Sequence[str]:
        """Create what is missing, with position 0 for every partition of both groups; returns the new topics.

        Raises:
            TopicMismatch: a topic is not as it must be; nothing was created.
            LogError: the work log has another size than it had, and there are workers.

        """
        from streamsched.runtime.mark import INITIAL

        copies = copies or Copies()
        specs = [
            spec._replace(replication=copies.replication, min_insync=copies.min_insync) for spec in self.topics.specs()
        ]
        created = self.log.create_topics(specs)
        for group, places in self.topics.groups().items():
            # Positions of an older topic are not to begin at 0 again: who is given such a partition makes up for it.
            if places[0].topic in created:
                self.log.commit_initial(group, places, INITIAL.encode())
        if self.settings.brokers:
            self._record_sizes(anew=bool({self.topics.events, self.topics.children} & set(created)))
        return created

    def _record_sizes(self, *, anew: bool) -> None:
        from streamsched.log import sizes

        made_with = sizes.recorded(self.log, self.topics)
        now = sizes.Sizes(self.topics.event_partitions, self.topics.child_partitions)
        if made_with is not None and made_with.events != now.events and not anew:
            raise TopicMismatch(sizes.difference(self.topics, made_with))
        if made_with is not None and made_with.children != now.children and self.log.members(self.topics.worker_group):
            raise LogError(sizes.difference(self.topics, made_with))
        if made_with != now:
            sizes.record(self.log, self.topics)

    def check_sizes(self) -> None:
        """Refuse topics that do not have the partitions that they were made with.

        Where that was never recorded, it is now, if the groups' positions show that none were added.

        Raises:
            TopicMismatch: there are others; the message says what to do.

        """
        if not self.settings.brokers:
            return  # nobody adds any
        from streamsched.log import sizes

        try:
            made_with = sizes.recorded(self.log, self.topics)
            if made_with is None and self._whole():
                sizes.record(self.log, self.topics)
        except NotAllowed as error:
            logger.warning("that no partitions were added to the topics is not checked: %s", error)
            made_with = None
        made_with = made_with or sizes.Sizes(EVENT_PARTITIONS, self.topics.child_partitions)
        if wrong := sizes.difference(self.topics, made_with):
            raise TopicMismatch(wrong)

    def _whole(self) -> bool:
        """Tell whether the groups have a position for every partition, as when the topics were made."""
        return self.topics.event_partitions == EVENT_PARTITIONS and all(
            position is not None
            for group, places in self.topics.groups().items()
            for position in self.log.committed(group, places, stable=False).values()
        )

    def discover(self) -> Installation:
        """Learn the sizes of the topics as they are.

        Raises:
            TopicMismatch: there are none, or partitions were added; the message says what to do.

        """
        prefix = self.settings.prefix
        try:
            events = self.log.partitions(f"{prefix}.events")
            children = self.log.partitions(f"{prefix}.children")
        except TopicMismatch as error:
            if self.settings.brokers:
                raise
            raise TopicMismatch(
                f"nothing with prefix {prefix!r} is in {self.settings.where}; 'streamsched run' and 'submit' make it"
            ) from error
        self.topics = Topics(prefix, event_partitions=events, child_partitions=children)
        if self.settings.brokers and events != EVENT_PARTITIONS:  # nodes look always, but a command has no time
            self.check_sizes()
        return self

    def refresh(self) -> None:
        """See all that other processes have written to the embedded log until now; Kafka shows it by itself."""
        from streamsched.log.embedded import EmbeddedLog

        if isinstance(self.log, EmbeddedLog):
            self.log.refresh()

    @property
    def records(self) -> Records:
        """Make the records of this installation."""
        return Records(self.codec, self.topics)

    @property
    def journal_id(self) -> str:
        """Tell which journal this is."""
        return self.topics.journal_id(self.log)

    def identity(self, role: str, name: str | None = None) -> Identity:
        """Make the identity of a node or client of this process."""
        node_id = uuid7(self.clock.now())
        return Identity(node_id, visible(name or node_name(role)), self.clock)

    def view(self, kind: str) -> View:
        """Open a view of this kind in the data folder, in the first slot that is free; in memory if there is none."""
        from streamsched.view.store import StoreUnusable
        from streamsched.view.view import open_view

        folder = self.settings.data_dir / "views" / self.log.cluster_id.replace("/", "_") / self.settings.prefix
        self._make_private()
        journal_id = self.journal_id
        for slot in range(VIEW_SLOTS):
            place = folder / f"{kind}-{slot}"
            if self._lock(place.with_suffix(".lock")):
                try:
                    return open_view(place, journal_id, self.codec)
                except StoreUnusable as error:
                    logger.error("the view is kept in memory: %s", error)
                    break
        return open_view(None, journal_id, self.codec)

    def close(self) -> None:
        """Let go of the log and the views' locks."""
        self.log.close()
        for lock in self._locks:
            lock.close()
        if self._private:
            seal(self.settings.data_dir)

    def _make_private(self) -> None:
        """Make the data folder, and remember that something was written into it."""
        if not self._private:
            make_private(self.settings.data_dir)
            self._private = True

    def _lock(self, path: Path) -> bool:
        """Take the lock of a view; it goes with the process."""
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                return False
            self._locks.append(lock)
            return True
        return False


def node_name(role: str) -> str:
    """Name a node that was given no name."""
    return f"{role}-{socket.gethostname()}-{os.getpid()}"


def user_name() -> str:
    """Name whoever runs this process, and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
