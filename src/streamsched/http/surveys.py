"""What the log says of positions, asked in a thread of its own: many readers share a look, and none waits long."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from streamsched.installation.settings import Settings
from streamsched.installation.writing import connect
from streamsched.log.port import LogError
from streamsched.queries.survey import Survey, Surveyor

FRESH_S: Final = 2.0
"""For how long what the log has told is told again, and that it has told nothing."""
PATIENCE_S: Final = 3.0
"""How long a reader waits for a look; then it is answered with what is known from before."""
logger = logging.getLogger(__name__)


class Surveys:
    """The last survey, made anew when somebody asks and it is old."""

    def __init__(self, settings: Settings) -> None:
        self.thread: Final = ThreadPoolExecutor(1, "streamsched-surveys")
        self._settings = settings
        self._surveyor: Surveyor | None = None
        self._look: asyncio.Future[None] | None = None
        self._begun = self._ended = -FRESH_S
        """When the last look began and ended, by the monotonic clock."""
        self._latest: Survey | None = None
        self._trouble = ""

    async def latest(self, trouble: str) -> tuple[Survey | None, str]:
        """Return what the log has told last, and why it tells nothing now; empty where it does.

        ``trouble`` is why it is known not to answer: then it is not asked.
        """
        if trouble:
            return self._latest, trouble
        if self._look is None and time.monotonic() - self._ended >= FRESH_S:
            self._begun = time.monotonic()
            self._look = asyncio.get_running_loop().run_in_executor(self.thread, self._survey)
            self._look.add_done_callback(self._done)
        if self._look is not None:
            left = self._begun + PATIENCE_S - time.monotonic()
            await asyncio.wait([self._look], timeout=max(0.0, left))
        if self._look is not None:
            return self._latest, f"the log was asked {time.monotonic() - self._begun:.0f} s ago, and has not answered"
        return self._latest, self._trouble

    def close(self) -> None:
        """Disconnect; in the thread."""
        if self._surveyor is not None:
            self._surveyor.close()
            self._surveyor = None

    def _survey(self) -> None:
        try:
            if self._surveyor is None:
                self._surveyor = Surveyor(connect(self._settings, create=False))
            self._latest, self._trouble = self._surveyor.look(), ""
        except LogError as error:
            self._trouble = str(error)
        except Exception as error:
            logger.error("the log cannot be surveyed", exc_info=error)
            self._trouble = f"unexpected {type(error).__name__}"

    def _done(self, look: asyncio.Future[None]) -> None:
        self._ended, self._look = time.monotonic(), None
