"""What the parent of a dead node runs: evict it. Imports little, for every tenth of a second counts."""

from __future__ import annotations

import logging
from contextlib import closing

from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log.port import LogError

log = logging.getLogger(__name__)


def evict(settings: Settings, dead: dict[str, str]) -> None:
    """Remove a dead node from its group, fence its writer, and take it off the list."""
    try:
        with closing(Installation(settings)) as site:
            if dead["member"]:
                site.log.evict(dead["group"], dead["member"])
            site.log.fence(dead["writer"])
            site.log.post(site.records.beat(None, dead["node"]))
    except LogError as error:
        log.warning("the dead node was not evicted, a scheduler or the end of its session will do it: %s", error)
