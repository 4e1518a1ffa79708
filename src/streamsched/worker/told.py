"""What a worker's log says of its children: each line with whose it is, for those who search logs by fields."""

from __future__ import annotations

import logging
from typing import Any

from streamsched.domain.events import ChildFailed
from streamsched.domain.options import index_of
from streamsched.worker.pending import Child

logger = logging.getLogger(__name__)


def whose(child: Child, worker: str) -> dict[str, Any]:
    """Return the fields of a line about a child, to be given to ``logging`` as ``extra``."""
    work = child.work
    trace = (work.traceparent or "").split("-")
    return {
        "task": work.task_id,
        "child": index_of(work.child, work.options),
        "ordinal": work.ordinal,
        "attempt": child.attempt,
        "worker": worker,
        "trace": trace[1] if len(trace) > 1 else None,
    }


def failed(child: Child, event: ChildFailed) -> None:
    """Say that an attempt has failed; the journal has all of it, so this is for those who follow the log."""
    if logger.isEnabledFor(logging.INFO):
        fields = whose(child, event.by)
        what = f"{event.error_type or event.reason}: {event.message}"
        logger.info("%s[%d]#%d failed: %s", event.task_id, fields["child"], event.attempt, what[:300], extra=fields)
