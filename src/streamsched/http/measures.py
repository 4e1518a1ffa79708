"""The server's own metrics: its requests, counted as they are answered, and gauges that are read off its fold.

Labels are addresses as they stand in the table, never what somebody sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from streamsched.domain.task import Task
from streamsched.hosting import gauges
from streamsched.hosting.gauges import Names
from streamsched.http.desk import Desk
from streamsched.http.problems import NotReady
from streamsched.http.session import FollowingSession
from streamsched.http.streams import Streams
from streamsched.installation.site import Installation
from streamsched.log.port import LogError, TopicPartition
from streamsched.runtime import metrics
from streamsched.runtime.metrics import Sample
from streamsched.runtime.totals import Totals

PAGES: Final = "pages"
"""In the place of an address: what is none of the API's."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
LOOK_S: Final = 2.0
"""How long the log may take to say where the journal ends; without that the lag is not told."""


class Measures:
    """What this server tells of itself."""

    def __init__(self, desk: Desk, streams: Streams) -> None:
        self._desk = desk
        self._streams = streams
        self._names = Names()
        self._totals = Totals(metrics.OF_SERVER)

    def note(self, path: str, method: str, status: int, seconds: float) -> None:
        """Take note of a request whose answer begins."""
        labels = (path, method if method in METHODS else gauges.OTHER, f"{status // 100}xx")
        self._totals.record(metrics.SERVER_REQUEST_SECONDS, seconds, labels)

    async def text(self) -> bytes:
        """Write all of it in the words of Prometheus; of a fold that is not ready only how far it is."""
        from streamsched.hosting.exposition import Exposition  # late: who is never scraped does without

        samples = [*gauges.of_process(), *self._own(), *await self._lag(), *await self._work()]
        return await asyncio.to_thread(Exposition(self._totals, [lambda: samples]).text)

    def _own(self) -> Iterator[Sample]:
        yield metrics.SERVER_STREAMS, (), float(len(self._streams.open))
        yield metrics.SERVER_AGE, (), round(self._desk.age_s, 3)

    async def _lag(self) -> list[Sample]:
        desk = self._desk
        if not desk.ready:
            done, total = desk.folding
            return [(metrics.SERVER_LAG, (), float(total - done))]
        if desk.trouble:
            return []
        with suppress(LogError, TimeoutError, NotReady):
            async with asyncio.timeout(LOOK_S):
                ends = await desk.look(_ends)
                return [(metrics.SERVER_LAG, (), float(await desk.read(lambda session: session.follower.behind(ends))))]
        return []

    async def _work(self) -> list[Sample]:
        try:
            tasks, now = await self._desk.read(_standing)
        except NotReady:
            return []
        read = partial(gauges.of_tasks, tasks, self._names, now, gauges.OF_SERVER)
        return await asyncio.to_thread(lambda: list(read()))


def _ends(site: Installation) -> Mapping[TopicPartition, int]:
    return site.log.end(site.topics.journal())


def _standing(session: FollowingSession) -> tuple[list[Task], int]:
    return list(session.follower.view.active.values()), session.site.clock.now()
