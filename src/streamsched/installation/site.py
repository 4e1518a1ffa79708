"""An open log with its topics, and its views in the data folder."""

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

# Imported late where only some commands need it: submit and status are as fast as their imports.
if TYPE_CHECKING:
    from streamsched.log.adapter import LogAdapter
    from streamsched.view.view import View

VIEW_SLOTS = 8
SCRATCH_SLOTS = 64
Progress = Callable[[int, int], None]
"""Called with the numbers of folded records and of all."""
logger = logging.getLogger(__name__)


class Copies(Struct, frozen=True):
    """Replication factor and min.insync.replicas of new topics, as in ``TopicSpec``."""

    replication: int = -1
    min_insync: int = 0


class Installation:
    """An open log with its topics."""

    def __init__(self, settings: Settings, *, write: bool = False) -> None:
        """Open the log; ``write``: the embedded log for writing, created if missing. Raise LogUnreachable."""
        settings.need_log("this")
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
        """Wait; the simulation overrides it."""
        time.sleep(seconds)

    def create_topics(self, copies: Copies | None = None) -> Sequence[str]:
        """Create missing topics, with position 0 for every partition of both groups; returns the new topics.

        Raise TopicMismatch, with nothing created; LogError if the work log's size differs while there are workers.
        """
        from streamsched.runtime.commit_metadata import INITIAL

        copies = copies or Copies()
        specs = [
            spec._replace(replication=copies.replication, min_insync=copies.min_insync) for spec in self.topics.specs()
        ]
        created = self.log.create_topics(specs)
        for group, places in self.topics.groups().items():
            # Not for an existing topic: a node that is assigned a partition without a position makes up for it.
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
        """Raise TopicMismatch if a topic's number of partitions has changed since it was created.

        A number that was never recorded is recorded now, if the groups' positions show that none were added.
        """
        if not self.settings.brokers:
            return
        from streamsched.log import sizes

        try:
            made_with = sizes.recorded(self.log, self.topics)
            if made_with is None and self._whole():
                sizes.record(self.log, self.topics)
        except NotAllowed as error:
            logger.warning("cannot check whether partitions were added to the topics: %s", error)
            made_with = None
        made_with = made_with or sizes.Sizes(EVENT_PARTITIONS, self.topics.child_partitions)
        if wrong := sizes.difference(self.topics, made_with):
            raise TopicMismatch(wrong)

    def _whole(self) -> bool:
        """Return whether the groups have a position for every partition, as in new topics."""
        return self.topics.event_partitions == EVENT_PARTITIONS and all(
            position is not None
            for group, places in self.topics.groups().items()
            for position in self.log.committed(group, places, stable=False).values()
        )

    def discover(self) -> Installation:
        """Read the actual sizes of the topics. Raise TopicMismatch if there are none, or partitions were added."""
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
        if self.settings.brokers and events != EVENT_PARTITIONS:  # nodes always check; a command has no time
            self.check_sizes()
        return self

    def refresh(self) -> None:
        """Read what other processes have written to the embedded log; Kafka needs no refresh."""
        from streamsched.log.embedded import EmbeddedLog

        if isinstance(self.log, EmbeddedLog):
            self.log.refresh()

    @property
    def records(self) -> Records:
        """The factory of this installation's records."""
        return Records(self.codec, self.topics)

    @property
    def journal_id(self) -> str:
        """The id of the journal."""
        return self.topics.journal_id(self.log)

    def identity(self, role: str, name: str | None = None) -> Identity:
        """Return a new identity for a node or client of this process."""
        node_id = uuid7(self.clock.now())
        return Identity(node_id, visible(name or node_name(role)), self.clock)

    def view(self, kind: str) -> View:
        """Open a view of this kind in the first free slot of the data folder; in memory if none is free."""
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

    def scratch(self) -> Path:
        """Return an empty folder of this process, below the data folder if that can be; what a dead one left goes."""
        from shutil import rmtree
        from tempfile import mkdtemp

        with suppress(OSError):
            self._make_private()
        for slot in range(SCRATCH_SLOTS):
            place = self.settings.data_dir / "scratch" / str(slot)
            if self._lock(place.with_suffix(".lock")):
                rmtree(place, ignore_errors=True)
                return place
        return Path(mkdtemp(prefix="streamsched-"))

    def close(self) -> None:
        """Close the log and release the views' locks."""
        self.log.close()
        for lock in self._locks:
            lock.close()
        if self._private:
            seal(self.settings.data_dir)

    def _make_private(self) -> None:
        """Make the data folder and remember to seal it."""
        if not self._private:
            make_private(self.settings.data_dir)
            self._private = True

    def _lock(self, path: Path) -> bool:
        """Take the lock of a view, until the process ends."""
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
    """Return the default name of a node."""
    return f"{role}-{socket.gethostname()}-{os.getpid()}"


def user_name() -> str:
    """Return the name of this process's user and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may have a user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
