"""Who a node is, and how it signs the events that it makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from streamsched.domain.events import Event
from streamsched.domain.ids import EventIds
from streamsched.runtime.clock import Clock

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Identity:
    """A running node: ``node_id`` is new for each process, ``name`` is what people call it."""

    node_id: str
    name: str
    clock: Clock
    ids: EventIds = field(default_factory=EventIds)

    def sign(self, cls: type[E], **fields: Any) -> E:
        """Make an event of this node, now."""
        return cls(event_id=self.ids(), at=self.clock.now(), by=self.name, **fields)
