"""Certificates of tasks. An audit reads a whole partition of the journal: one is made at a time, in its own thread."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final

from streamsched.domain.task import Task
from streamsched.http.desk import CLOSE_S
from streamsched.http.problems import CertificateNotReady, NotReady
from streamsched.installation.settings import Settings
from streamsched.installation.writing import connect
from streamsched.queries.certificate import Certificate, certify_past

KEPT: Final = 8
"""Certificates that are kept, until an event of their task is written."""
PATIENCE_S: Final = 2.0
"""How long a request waits for one; then it is told how far that is."""


class _Making:
    """A certificate of a task as of ``position``, which is made, or was."""

    def __init__(self, task: Task, position: int) -> None:
        self.task = task
        self.position = position
        self.done = self.total = 0
        """Records that were read, and that there are to read."""
        self.result: asyncio.Future[Certificate]


class Certificates:
    """The certificates that were asked for last. All methods are of the thread of the loop."""

    def __init__(self) -> None:
        self._made: OrderedDict[str, _Making] = OrderedDict()
        """By task; the one that is being made stands last."""
        self._thread = ThreadPoolExecutor(1, "streamsched-audit")
        self._stopped = False

    async def read(self, settings: Settings, task: Task, changed: int, position: int) -> Certificate:
        """Return the certificate of a task whose latest event lies before ``changed``; make it as of ``position``.

        Raise CertificateNotReady while it, or another one, is made; the errors of ``certify_past``.
        """
        making = self._made.get(task.task_id)
        while making is None or not making.result.done() or making.position < changed:
            if making is None or making.result.done():
                making = self._begin(settings, task, position)
            await asyncio.wait({making.result}, timeout=PATIENCE_S)
            if not making.result.done():
                progress = f"{making.done:,} of {making.total:,} records were read"
                raise CertificateNotReady(progress, "ask again in a moment")
        if making.result.exception() is not None and self._made.get(task.task_id) is making:
            del self._made[task.task_id]  # the next who asks begins anew, unless one who waited too has done so
        return making.result.result()

    def stop(self) -> None:
        """End the one that is being made, soon."""
        self._stopped = True

    async def close(self) -> bool:
        """Wait for the end of the one that was being made; return whether it came in time."""
        self.stop()
        self._thread.shutdown(wait=False)
        running = self._running
        late = (await asyncio.wait(running, timeout=CLOSE_S))[1] if running else ()
        return not late

    @property
    def _running(self) -> list[asyncio.Future[Certificate]]:
        return [each.result for each in self._made.values() if not each.result.done()]

    def _begin(self, settings: Settings, task: Task, position: int) -> _Making:
        if self._running:
            raise CertificateNotReady("the certificate of another task is being made", "ask again in a moment")
        making = _Making(task, position)
        making.result = asyncio.get_running_loop().run_in_executor(self._thread, self._make, settings, making)
        making.result.add_done_callback(lambda result: result.cancelled() or result.exception())  # nobody may ask
        self._made.pop(task.task_id, None)
        self._made[task.task_id] = making
        while len(self._made) > KEPT:
            self._made.popitem(last=False)
        return making

    def _make(self, settings: Settings, making: _Making) -> Certificate:
        """Make one, with a connection of its own."""

        def note(done: int, total: int) -> None:
            making.done, making.total = done, total
            if self._stopped:
                raise NotReady("the server ends", "ask another one")

        with closing(connect(settings, create=False)) as site:
            return certify_past(site, making.task, making.position, note)
