"""What the log says of positions: how far its partitions go, how far both groups are, and which transactions hang."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from streamsched.installation.site import Installation
from streamsched.log.port import Committed, Hanging, LogError, NotAllowed, TopicPartition
from streamsched.runtime.held_back import HeldBack

PAUSE_S: Final = 1.0
"""Time in which an open transaction of a healthy log ends."""
FORGOTTEN_S: Final = 10.0
"""Age of the last look from which a transaction that is open now is looked at twice."""
GROUP_S: Final = 5.0
"""How long a group may take to tell its positions."""


class Survey(Struct, frozen=True):
    """What the log has said at one time (``at``, in milliseconds). What it did not say is missing."""

    at: int
    ends: Mapping[TopicPartition, int]
    held: Mapping[TopicPartition, int]
    """Where open transactions hold back readers: last stable offsets that are not the end."""
    stuck: Mapping[TopicPartition, float]
    """For how many seconds they have done so at the same offset, where it is not for a moment."""
    committed: Mapping[TopicPartition, Committed | None]
    hanging: Sequence[Hanging]
    unknown: Sequence[str]
    """What else it did not tell, and why: a right may be missing."""


class Surveyor:
    """Makes surveys of one log, again and again; to be used in one thread."""

    def __init__(self, site: Installation) -> None:
        self._site = site
        topics = site.topics
        self._places = [*topics.journal(), *topics.work_log()]
        self._held = HeldBack(site.log, site.clock, self._places)
        self._looked = -FORGOTTEN_S
        self._unknown: list[str] = []

    def look(self) -> Survey:
        """Ask the log. Raise LogError where it does not even say how far its partitions go."""
        site, self._unknown = self._site, []
        site.refresh()
        ends = site.log.end(self._places)  # first: behind it nothing is held back
        self._look_for_held()
        committed: dict[TopicPartition, Committed | None] = {}
        for group, places in site.topics.groups().items():
            with self._noted(f"positions of group {group}"):
                committed |= site.log.committed(group, places, stable=False, timeout=GROUP_S)
        held, stuck = self._held.places, self._held.stuck
        hanging: Sequence[Hanging] = ()
        with self._noted("hanging transactions"):
            hanging = site.log.hanging({place: held[place] for place in stuck})
        return Survey(site.clock.now(), ends, held, stuck, committed, hanging, tuple(self._unknown))

    def close(self) -> None:
        """Close the log."""
        self._site.close()

    def _look_for_held(self) -> None:
        """Look where readers are held back; twice, where the look before was too long ago to tell what stands still."""
        monotonic = self._site.clock.monotonic
        known, self._looked = monotonic() - self._looked < FORGOTTEN_S, monotonic()
        self._look()
        if self._held.places and not known:
            self._site.pause(PAUSE_S)
            self._look()

    def _look(self) -> None:
        try:
            self._held.look(tuple(self._site.topics.groups()))
        except NotAllowed as error:
            self._note("transactions that hold back the groups' positions", error)
            self._held.look()

    @contextmanager
    def _noted(self, what: str) -> Iterator[None]:
        """Do without what the log does not tell, and say so."""
        try:
            yield
        except LogError as error:
            self._note(what, error)

    def _note(self, what: str, error: LogError) -> None:
        if (said := f"{what}: {error}") not in self._unknown:
            self._unknown.append(said)
