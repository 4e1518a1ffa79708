"""Queues and labels of records, as ``domain.routing`` has them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from streamsched.domain.events import Label, NodeBeat
from streamsched.domain.routing import PLAIN, Pair, Place


def place_of(beat: NodeBeat) -> Place:
    """Return where a node stands by its beat."""
    return Place(beat.queues, pairs_of(beat.labels)) if beat.queues or beat.labels else PLAIN


def pairs_of(labels: Sequence[Label]) -> tuple[Pair, ...]:
    """Return the names and values of labels."""
    return tuple([(label.name, label.value) for label in labels])


def labels_of(pairs: Sequence[Pair]) -> tuple[Label, ...]:
    """Return the labels with these names and values."""
    return tuple([Label(name, value) for name, value in pairs])
