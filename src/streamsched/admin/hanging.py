"""Find and end hanging transactions, for the commands; schedulers do it by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamsched.installation.site import Installation
from streamsched.log.port import Hanging

_PAUSE_S: Final = 1.0
"""Time in which an open transaction of a healthy log ends."""


def find(site: Installation) -> Sequence[Hanging]:
    """Return those of the journal, the work log and both groups' positions."""
    places = [*site.topics.journal(), *site.topics.work_log()]
    groups = [site.topics.scheduler_group, site.topics.worker_group]
    before = site.log.held(places, groups)
    if not before:
        return ()
    site.pause(_PAUSE_S)
    now = site.log.held(places, groups)
    return site.log.hanging({place: at for place, at in now.items() if before.get(place) == at})


def end(site: Installation) -> list[str]:
    """End each as it was decided; returns what was done. Raise LogError if that is unknown or not allowed."""
    return [f"{hanging}: ended now" for hanging in find(site) if site.log.end_hanging(hanging)]
