"""The positions of both groups: what each commit says, and whether it can be true."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from streamsched.audit.report import Fault, Report
from streamsched.log.coordination import Coordination
from streamsched.log.port import LogError, TopicPartition
from streamsched.runtime.commit_metadata import CommitMetadata, NewerMetadata, decode_metadata, decode_ranges

COMMITTED_TIMEOUT_S: Final = 30.0
"""Wait for transactions that hold a position: longer than any of them lasts."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A group's commit of one partition.

    ``edges``: where unsettled ranges (even) and settled ones (odd) begin; beyond the last all is unsettled.
    """

    position: int
    metadata: CommitMetadata
    edges: Sequence[int]

    def leaves(self, offset: int) -> bool:
        """Return whether it leaves a record unsettled."""
        return bisect_right(self.edges, offset) % 2 == 1


def place_of(place: TopicPartition, offset: int) -> str:
    """Name a place in a partition."""
    return f"{place.topic}-{place.partition}-{offset}"


def read_commits(
    coordination: Coordination,
    group: str,
    places: Sequence[TopicPartition],
    findings: Report | None,
    *,
    stable: bool = True,
) -> dict[TopicPartition, Commit]:
    """Read what a group has committed; a commit that is missing or not ours is told to ``findings``, and left out."""
    found: dict[TopicPartition, Commit] = {}
    for place, committed in coordination.committed(group, places, stable=stable, timeout=COMMITTED_TIMEOUT_S).items():
        fault = Fault(8, None, f"a position of group {group}", "none: 'streamsched topics repair' gives it anew")
        position = 0
        if committed is not None:
            position = committed.position
            try:
                metadata = decode_metadata(committed.metadata)
                edges = list(accumulate(decode_ranges(metadata.settled_ranges), initial=position))
            except NewerMetadata as error:
                raise LogError(f"{error}: use the version that wrote it") from error
            except ValueError as error:
                fault = Fault(8, None, f"metadata beside the position of group {group}", str(error))
            else:
                found[place] = Commit(position, metadata, edges)
                continue
        if findings is not None:
            findings.add(fault, "", place_of(place, position))
    return found


def judge_commits(
    commits: Mapping[TopicPartition, Commit],
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    findings: Report,
) -> None:
    """Hold commits against their partitions: ``starts`` as they were before the commits were read, ``ends`` after."""
    for place, commit in commits.items():
        start, end, position, metadata = starts[place], ends[place], commit.position, commit.metadata
        fault = None
        if position > end:
            fault = Fault(8, None, f"a position at or below the end {end}", f"position {position}")
        elif position < start:
            fault = Fault(8, None, f"a position at or above the first record that is kept, {start}", f"{position}")
        elif commit.edges[-1] > end:
            fault = Fault(8, None, f"settled offsets below the end {end}", f"up to {commit.edges[-1]}")
        elif not 0 <= metadata.epoch <= metadata.counter:
            expected = "a counter that is at least the epoch, for each claim counts both"
            fault = Fault(8, None, expected, f"epoch {metadata.epoch}, counter {metadata.counter}")
        if fault:
            findings.add(fault, "", place_of(place, position))
