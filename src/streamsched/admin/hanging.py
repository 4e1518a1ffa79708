"""Transactions that the log has forgotten, for the commands: schedulers end them by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamsched.installation.site import Installation
from streamsched.log.port import Hanging

_PAUSE_S: Final = 1.0
"""Seconds after which an open transaction of a healthy log has ended, and another holds readers back, if any."""


def find(site: Installation) -> Sequence[Hanging]:
    """Find those of the journal, the work log and both groups' positions."""
    places = [*site.topics.journal(), *site.topics.work_log()]
    groups = [site.topics.scheduler_group, site.topics.worker_group]
    before = site.log.held(places, groups)
    if not before:
        return ()
    site.pause(_PAUSE_S)
    now = site.log.held(places, groups)
    return site.log.hanging({place: at for place, at in now.items() if before.get(place) == at})


def end(site: Installation) -> list[str]:
    """End each as it was decided; tells what was done.

    Raises:
        LogError: nobody knows how it was decided, or the right to end it is missing.

    """
    return [f"{hanging}: ended now" for hanging in find(site) if site.log.end_hanging(hanging)]
