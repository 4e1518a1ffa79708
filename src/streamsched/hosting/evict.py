"""Evict a dead node, for its parent. Imports little: every tenth of a second counts."""

from __future__ import annotations

import logging
from contextlib import closing

from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log.port import LogError
from streamsched.runtime import eviction

logger = logging.getLogger(__name__)


def evict(settings: Settings, dead: dict[str, str]) -> None:
    """Remove a dead node from its group, fence its writer, and delete its beat."""
    try:
        with closing(Installation(settings)) as site:
            eviction.evict(site.log, site.log, site.records, **dead)
    except LogError as error:
        logger.warning("the dead node was not evicted; a scheduler or the end of its session will do it: %s", error)
