"""Checks which children this worker can run, and makes the reason for giving back the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from streamsched.domain.events import ChildCreated, Why
from streamsched.domain.options import read_options
from streamsched.domain.routing import requirement_of
from streamsched.runtime.backoff import Backoff
from streamsched.runtime.identity import Identity
from streamsched.worker.handlers import refusal

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 300.0
"""Seconds that a child waits after it came back for want of an import: doubling, so that it cannot spin."""
KNOWN: Final = 10_000
"""Handlers that are known to be allowed; then it begins anew."""

logger = logging.getLogger(__name__)


class Fitness:
    """Gives back the children that this worker was sent but cannot run; that counts no attempt.

    ``modules`` are the patterns that it allows; None allows all. ``own``: tasks that no other worker runs; their
    children fail if they cannot run here.
    """

    def __init__(self, *, modules: Sequence[str] | None, me: Identity, own: frozenset[str] = frozenset()) -> None:
        self.modules = None if modules is None else tuple(modules)
        self._me = me
        self._own = own
        self.allowed: set[str] = set()
        """Handlers that were looked at already, and may run."""
        self._waits = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S)

    def lack(self, task_id: str, handler: str) -> Why | None:
        """Return why a child with this handler may not start here, or None."""
        requirement = requirement_of(handler)
        if self.modules is None or requirement.met_by(self.modules):
            if len(self.allowed) >= KNOWN:
                self.allowed.clear()
            self.allowed.add(handler)
            return None
        if task_id in self._own:
            return None  # its executor says it
        return Why("module", refusal(handler, requirement.module, self.modules), self._me.node_id, 0, False)

    def unknown(self, work: ChildCreated) -> Why | None:
        """Return why a child with options cannot run here: a newer version made them, or its setup; None: it can."""
        options = read_options(work.options or "")
        if options is not None:
            return None if options.setup is None else self.lack(work.task_id, options.setup)
        detail = f"this worker does not know the options {(work.options or '')[:200]}: upgrade it"
        return self.lacked(work.task_id, work.handler, "version", detail)

    def lacked(self, task_id: str, handler: str, code: str, detail: str) -> Why | None:
        """Return why a child is given back that could not begin in its executor; None where it is to fail instead."""
        if task_id in self._own:
            return None
        now = self._me.clock.monotonic()
        wait, end = self._waits.wait(requirement_of(handler), now)
        if end == now + wait:  # the first of many
            logger.warning("children are given back, and wait for %g s: %s", wait, detail)
        return Why(code, detail, self._me.node_id, round(wait * 1000), False)
