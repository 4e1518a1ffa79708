"""The real client on a log in memory: an installation, its session, and time that passes while it waits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final, cast

from streamsched.client import Client
from streamsched.commands.request import Params
from streamsched.domain.task import Task
from streamsched.files.schedule_file import WantedSchedule, want_schedule
from streamsched.installation.session import Session
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log.codec import Codec
from streamsched.log.core import Connection
from streamsched.log.port import TopicPartition
from streamsched.log.topics import Topics
from streamsched.reach.direct import Direct
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from streamsched.view.store import MemoryStore, Store
from streamsched.view.view import View

SETTINGS: Final = Settings(brokers="memory", data_dir=Path("nowhere"))


class MemorySite(Installation):
    """An installation whose log is in memory. ``rows``: what its views keep their rows in."""

    def __init__(
        self, *, log: Connection, topics: Topics, codec: Codec, me: Identity, pause: Callable[[float], None],
        rows: Callable[[], Store] = MemoryStore,
    ) -> None:  # fmt: skip
        self.settings = SETTINGS
        self.codec = codec
        self.clock = cast(SystemClock, me.clock)
        self.log = log
        self.topics = topics
        self._me = me
        self._pause = pause
        self._rows = rows

    def pause(self, seconds: float) -> None:
        """Let others go on meanwhile."""
        self._pause(seconds)

    def identity(self, role: str, name: str | None = None) -> Identity:
        """Return the one identity of this process."""
        return self._me

    def view(self, kind: str) -> View:
        """Open a view."""
        return View(self._rows(), self.codec)

    def close(self) -> None:
        """Close the log."""
        self.log.close()


class MemoryClient(Client):
    """The real client on such a site; where it waits for changes, the site's time passes."""

    def __init__(self, site: MemorySite) -> None:
        self._reach = self._direct = Direct(MemorySession(site))

    @property
    def session(self) -> Session:
        """Its session."""
        return self._direct.session

    def find(self, task_id: str) -> Task:
        """Return a task as it stands now. Raise NoSuchTask."""
        return self._direct.tasks.find(task_id)

    def _wanted_schedule(
        self, schedule: WantedSchedule | Path | str, params: Params, schedule_id: str | None
    ) -> WantedSchedule:
        if not isinstance(schedule, WantedSchedule):
            now = self.session.me.clock.now()
            schedule = want_schedule(Path(schedule), params, now=now, schedule_id=schedule_id)
        return schedule


class MemorySession(Session):
    """The real session on such a site."""

    def __init__(self, site: MemorySite) -> None:
        self.settings, self.site, self.me = site.settings, site, site.identity("client")
        self.on_progress = lambda done, total: None

    def changes(self, places: Collection[TopicPartition], interval: float) -> Iterator[int]:
        """Let time pass; yield the number of new records each time."""
        for folded in super().changes(places, 0.0):
            yield folded
            self.site.pause(interval)
