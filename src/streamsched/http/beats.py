"""What nodes tell, read in a thread of its own: a broker that does not answer holds up no read."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

from streamsched.domain.events import NodeBeat
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.installation.writing import connect
from streamsched.log.port import Record
from streamsched.queries.nodes import FORGOTTEN_MS
from streamsched.queries.presence import Presence

LOOK_S: Final = 1.0
"""Between two looks for beats."""


class HeardBeats(Presence):
    """The beats as they were heard last. One thread calls ``look``, another asks."""

    def __init__(self, site: Installation) -> None:
        self._lock = Lock()
        super().__init__(site, FORGOTTEN_MS / 1000)
        self._watches = 0
        self.beats_heard = 0
        """Beats, so far."""

    def look(self) -> None:
        """Read new beats. Raise LogError."""
        self._read()

    def beats(self) -> list[NodeBeat]:
        """Return the last beat of each node that was heard lately."""
        return self._present()

    def heard(self) -> list[tuple[NodeBeat, int]]:
        """Return the last beat of each node that has not left, with when it was heard."""
        with self._lock:
            return super().heard()

    def skewed(self) -> str:
        """Return that the schedulers decide nothing, as ``Presence`` does."""
        with self._lock:
            return super().skewed()

    def _present(self) -> list[NodeBeat]:
        with self._lock:
            return super()._present()

    def _on_beat(self, record: Record) -> None:
        with self._lock:
            self.beats_heard += 1
            super()._on_beat(record)


class Beats:
    """The connection of the thread that hears beats."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._site: Installation | None = None
        self._heard: HeardBeats | None = None

    def open(self) -> HeardBeats:
        """Connect, and hear what there is. Raise LogError."""
        self._site = connect(self._settings, create=False)
        self._heard = HeardBeats(self._site)
        self._heard.look()
        return self._heard

    def look(self) -> None:
        """Hear what is new. Raise LogError."""
        if self._heard is not None:
            self._heard.look()

    def close(self) -> None:
        """Disconnect; again is the same as once."""
        closing: list[Callable[[], None]] = [each.close for each in (self._heard, self._site) if each is not None]
        self._heard = self._site = None
        for close in closing:
            close()
