"""Checks which children this worker can run, and makes the reason for giving back the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from streamsched.domain.events import ChildCreated, Why
from streamsched.domain.options import read_options
from streamsched.domain.places import pairs_of
from streamsched.domain.routing import PLAIN, Place, label_text, queue_text, requirement_of
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
    children fail if they cannot run here. ``place``: the queues that it serves, and its labels.
    """

    def __init__(
        self, *, modules: Sequence[str] | None, me: Identity, own: frozenset[str] = frozenset(), place: Place = PLAIN
    ) -> None:
        self.modules = None if modules is None else tuple(modules)
        self.place = place
        self.chooses = not place.serves("")
        """Whether even a child without terms may be of another queue."""
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

    def misplaced(self, work: ChildCreated) -> Why | None:
        """Return why a child is not for this worker: it serves another queue, or lacks a label; None: it is."""
        queue, needs = ("", ()) if work.terms is None else (work.terms.queue, pairs_of(work.terms.needs))
        if not self.place.serves(queue):
            serves = ", ".join(map(queue_text, self.place.queues)) or queue_text("")
            code, detail = "queue", f"this worker serves the queue {serves}, not {queue_text(queue)}"
        elif (label := self.place.lacking(needs)) is not None:
            code, detail = "label", f"this worker does not have the label {label_text(label)}"
        else:
            return None
        return None if work.task_id in self._own else Why(code, detail, self._me.node_id, 0, False)

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
