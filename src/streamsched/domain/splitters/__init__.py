"""Splitters cut a task's input into children that are pairwise disjoint and together cover it.

A new splitter is a module of this package and its name in the table below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streamsched.domain.splitters.by import BySplit
from streamsched.domain.splitters.bytes import BytesSplit
from streamsched.domain.splitters.dates import DatesSplit
from streamsched.domain.splitters.files import FilesSplit
from streamsched.domain.splitters.grid import GridSplit
from streamsched.domain.splitters.lines import LinesSplit
from streamsched.domain.splitters.lists import ListSplit
from streamsched.domain.splitters.port import Splitter
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.splitters.topic import TopicSplit

SPLITTERS: Final[Mapping[str, type[Splitter]]] = {
    splitter.kind: splitter
    for splitter in (
        RangeSplit,
        ListSplit,
        GridSplit,
        DatesSplit,
        LinesSplit,
        FilesSplit,
        BytesSplit,
        TopicSplit,
        BySplit,
    )
}
"""By the key under ``split`` in a template and in a plan."""
