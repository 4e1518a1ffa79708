"""The threads behind the handlers: one has the session and folds, others read the log for what takes longer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from streamsched.http import positions
from streamsched.http.beats import LOOK_S, Beats
from streamsched.http.positions import Positions
from streamsched.http.problems import Behind, NotReady
from streamsched.http.session import FOLDED_TOGETHER, LATE_S, Change, FollowingSession, Told
from streamsched.http.surveys import Surveys
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.installation.writing import connect
from streamsched.log.port import LogError

R = TypeVar("R")
IDLE_S: Final = 0.05
"""Between two looks at the log where there is nothing new."""
REST_S: Final = 0.003
"""Between two looks where all was folded that there was: those who ask need the interpreter, and more has come then."""
TROUBLE_S: Final = 1.0
"""Between two looks at the log where the last one failed."""
PATIENCE_S: Final = 5.0
"""How long a read waits for its ``at_least``."""
CLOSE_S: Final = 1.5
"""How long the threads have to end what they are at: one may wait for a broker that does not answer."""
TOGETHER: Final = 32
"""Entries of a long answer that its thread gives at once: each may be a quarter of a megabyte, and more."""
logger = logging.getLogger(__name__)


class Pulse:
    """Whether what is done again and again is done well: ``trouble`` says why not, ``well_at`` when it last was."""

    def __init__(self, failure: str) -> None:
        self._failure = failure
        self.trouble = ""
        self.well_at = time.monotonic()

    def beat(self) -> None:
        """Note that it went well."""
        self.trouble, self.well_at = "", time.monotonic()

    def miss(self, error: Exception) -> None:
        """Note that it failed."""
        if isinstance(error, LogError):
            logger.warning("the log does not answer: %s", error)
            self.trouble = str(error)
        else:
            logger.error("%s", self._failure, exc_info=error)
            self.trouble = f"unexpected {type(error).__name__}"


class Desk:
    """Calls functions with the session, in the thread of the session, one after the other; it folds in between."""

    def __init__(self, settings: Settings, on_change: Callable[[Change, FollowingSession], None]) -> None:
        self.settings = settings
        self.ready = False
        self.folding = (0, 0)
        """While it is not ready: offsets done, and to do."""
        self._fold, self._hear = Pulse("the journal cannot be followed"), Pulse("nodes cannot be heard")
        self.looked_at = time.monotonic()
        """When the thread of the session has last looked at the log, whether that answered or not."""
        self._session = FollowingSession(settings, self._progress, on_change)
        self._thread = ThreadPoolExecutor(1, "streamsched-desk")
        self._reading = ThreadPoolExecutor(1, "streamsched-reading")
        self._hearing = ThreadPoolExecutor(1, "streamsched-beats")
        self._beats = Beats(settings)
        self.surveys = Surveys(settings)
        self._site: Installation | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._moved = asyncio.Event()
        self._renewed: set[str] = set()
        """Tasks whose status is being worked out anew, while others are told the last one."""
        self._stopped = False

    def stop(self) -> None:
        """End a first fold that still goes on."""
        self._stopped = True

    async def open(self) -> None:
        """Fold the whole journal, then follow it. Raise LogError, NotReady after ``stop``."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._session.begin)
        self._session.presence = await loop.run_in_executor(self._hearing, self._beats.open)
        self._fold.beat()
        self._hear.beat()
        self.looked_at, self.ready = time.monotonic(), True
        self._loops = [asyncio.create_task(self._follow()), asyncio.create_task(self._listen())]

    async def close(self) -> bool:
        """Close the view and the log, when the calls that were made have ended; return whether they did in time."""
        self.ready = False
        for following in self._loops:
            following.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        loop = asyncio.get_running_loop()
        closing = [
            loop.run_in_executor(self._thread, self._session.close),
            loop.run_in_executor(self._reading, self._close_site),
            loop.run_in_executor(self._hearing, self._beats.close),
            loop.run_in_executor(self.surveys.thread, self.surveys.close),
        ]
        for thread in (self._thread, self._reading, self._hearing, self.surveys.thread):
            thread.shutdown(wait=False)
        _, late = await asyncio.wait(closing, timeout=CLOSE_S)
        await asyncio.gather(*(each for each in closing if each.done()))
        return not late

    # --- calls ------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise NotReady while the journal is being folded."""
        if not self.ready:
            done, total = self.folding
            raise NotReady(f"the journal is being folded, {done:,} of {total:,} records", "ask again in a moment")

    async def read(self, function: Callable[[FollowingSession], R]) -> R:
        """Call a function that answers from the view."""
        return await self._call(lambda: function(self._session))

    def known(self, task_id: str, at_least: Positions, *, late: bool) -> Told | None:
        """Return a status that was told before, without waiting for the thread of the session. Raise NotReady.

        With ``late`` also one that is to be worked out anew; that is begun.
        """
        self.check()
        if (told := self._session.known(task_id, at_least)) is not None or not late:
            return told
        told = self._session.known(task_id, at_least, LATE_S)
        if told is not None and task_id not in self._renewed:
            self._renewed.add(task_id)
            renewing = asyncio.get_running_loop().run_in_executor(self._thread, self._session.status, task_id, {})
            renewing.add_done_callback(partial(self._on_renewed, task_id))
        return told

    async def write(self, function: Callable[[FollowingSession], R], name: str) -> R:
        """Call a function that may write, signed with this name, after the newest records were folded.

        Raise LogError; NotReady where the log is known not to answer, for all reads would wait for it meanwhile.
        """

        def call() -> R:
            self._check_log()  # what waited before this one may have shown it
            with self._session.fresh(name):
                return function(self._session)

        self._check_log()
        return await self._call(call)

    async def fresh(self, function: Callable[[FollowingSession], R]) -> R:
        """Call a function that prepares a change, as ``write`` does."""
        return await self.write(function, "")

    async def look(self, function: Callable[[Installation], R]) -> R:
        """Call a function that reads the log, in a thread of its own."""
        self.check()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reading, lambda: function(self._opened()))

    async def each(self, make: Callable[[Installation], Iterator[R]]) -> AsyncGenerator[R, None]:
        """Iterate over what a function reads from the log, in the thread for that; at None others read first."""
        iterator = await self.look(make)
        try:
            while some := await self.look(lambda _: _together(iterator)):
                for entry in some:
                    yield entry
        finally:
            if isinstance(iterator, Generator):
                self.later(iterator.close)

    def later(self, close: Callable[[], None]) -> None:
        """Close what was read, in the thread that read it."""
        with suppress(RuntimeError):  # the thread has ended
            self._reading.submit(close)

    # --- positions --------------------------------------------------------------------------------------------------

    @property
    def positions(self) -> dict[int, int]:
        """Up to where the journal was folded."""
        return self._session.reached if self.ready else {}

    @property
    def partitions(self) -> int:
        """The number of partitions of the journal."""
        return self._session.site.topics.event_partitions

    async def catch_up(self, keys: Collection[str]) -> None:
        """Wait until what the log has now of these tasks and schedules was folded. Raise LogError, NotReady, Behind.

        The log is asked in the thread for that, so no other read waits. A partition that stands still is left out.
        """
        self._check_log()
        ends = await self.look(lambda site: site.log.end({site.topics.journal_of(key) for key in keys}))
        await self.reach({place.partition: end for place, end in ends.items()}, passes_halts=True)

    async def reach(self, wanted: Positions, *, passes_halts: bool = False) -> None:
        """Wait until the journal was folded up to these positions, or stands still. Raise NotReady, Behind."""
        self.check()
        deadline = time.monotonic() + PATIENCE_S
        while not positions.reached(self.positions, wanted):
            if passes_halts:  # it may turn out only now that a partition cannot be read any further
                wanted = {each: end for each, end in wanted.items() if each not in self._session.follower.halts}
            left = deadline - time.monotonic()
            if left <= 0 or any(partition >= self.partitions for partition in wanted):
                was = positions.write(self.positions)
                raise Behind(f"the journal was read up to {was}, {self._age()}", "ask again, or without at_least")
            await self.moved(min(left, 0.5))

    async def moved(self, seconds: float) -> None:
        """Wait until something was folded, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._moved.wait()

    # --- inside -----------------------------------------------------------------------------------------------------

    @property
    def trouble(self) -> str:
        """Why the journal is not followed now, or nodes are not heard; empty where all is well."""
        return self._fold.trouble or self._hear.trouble

    @property
    def age_s(self) -> float:
        """Seconds since all was well."""
        return time.monotonic() - min(self._fold.well_at, self._hear.well_at)

    def _age(self) -> str:
        return f"{self.age_s:.0f} s ago: {self.trouble}" if self.trouble else "just now"

    def _check_log(self) -> None:
        if self.trouble:
            raise NotReady(f"the log does not answer: {self.trouble}", "ask again when it does")

    async def _call(self, function: Callable[[], R]) -> R:
        self.check()
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def _follow(self) -> None:
        """Fold what is new, for ever; where that fails, try again."""
        loop = asyncio.get_running_loop()
        while True:
            before, wait = self.positions, 0.0
            try:
                if (folded := await loop.run_in_executor(self._thread, self._session.follow)) < FOLDED_TOGETHER:
                    wait = REST_S if folded else IDLE_S
                self._fold.beat()
            except Exception as error:
                self._fold.miss(error)
                wait = TROUBLE_S
            finally:
                self.looked_at = time.monotonic()
            if before != self.positions:
                self._moved.set()
                self._moved = asyncio.Event()
            await asyncio.sleep(wait)

    async def _listen(self) -> None:
        """Hear what nodes tell, for ever: so it is known, too, whether the log answers."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await loop.run_in_executor(self._hearing, self._beats.look)
                self._hear.beat()
            except Exception as error:
                self._hear.miss(error)

    def _on_renewed(self, task_id: str, renewing: asyncio.Future[Told]) -> None:
        self._renewed.discard(task_id)
        renewing.cancelled() or renewing.exception()  # who asks next is told what is wrong

    def _progress(self, done: int, total: int) -> None:
        if not self.ready:
            self.folding = (done, total)
            if self._stopped:
                raise NotReady("the server ends", "ask another one")

    def _opened(self) -> Installation:
        if self._site is None:
            self._site = connect(self.settings, create=False)
        self._site.refresh()
        return self._site

    def _close_site(self) -> None:
        if self._site is not None:
            self._site.close()


def _together(iterator: Iterator[R]) -> list[R]:
    found: list[R] = []
    for entry in islice(iterator, TOGETHER):
        found.append(entry)
        if entry is None:
            break
    return found
