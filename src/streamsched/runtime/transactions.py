"""A node's transactions and what fences them: its own ids, those of predecessors, and what they committed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from streamsched.log.coordination import Coordination
from streamsched.log.port import (
    Append,
    Committed,
    Log,
    LogError,
    LogUnreachable,
    Member,
    PositionLost,
    TopicPartition,
    TransactionAborted,
    Writer,
)
from streamsched.runtime.commit_metadata import CommitMetadata, NewerMetadata, decode_metadata

REMEDY: Final = "run 'streamsched topics repair'"


class Forgotten(PositionLost):
    """The group has no position: none was committed, or the broker or an administrator has deleted it."""


class Transactions:
    """The transactions of one node in one group; an id is never used again once it may be fenced or is in doubt."""

    def __init__(self, log: Log, coordination: Coordination, group: str, node_id: str) -> None:
        self._log = log
        self._coordination = coordination
        self.group = group
        self._ids = f"{group}.{node_id}."
        self._writers = 0
        self.abandoned: list[str] = []
        """Own ids whose last transaction may still be open, until they are fenced."""
        self.id = self._next_id()
        """The id that a successor fences."""
        self._writer: Writer | None = log.writer(self.id)

    def is_own(self, transactional_id: str) -> bool:
        """Return whether this node has, or had, this id."""
        return transactional_id.startswith(self._ids)

    def commit(
        self, appends: Sequence[Append], positions: Mapping[TopicPartition, Committed], member: Member
    ) -> Mapping[int, int]:
        """Write all in one transaction, as ``Writer.commit``; aborted too where no writer can be made now."""
        if self._writer is None:
            try:
                self._writer = self._log.writer(self.id)
            except LogUnreachable as error:
                raise TransactionAborted(f"nothing was written: {error}") from error
        return self._writer.commit(appends, positions, member)

    def renew(self) -> None:
        """Take a new id; its writer is made when it is needed, for the broker may not answer now."""
        self.close()
        self._writer = None
        self.id = self._next_id()

    def abandon(self) -> None:
        """Take a new id; what the old one may have open is aborted before anything else is written."""
        self.abandoned.append(self.id)
        self.renew()

    def fence_abandoned(self) -> None:
        """Abort what the abandoned ids may have open."""
        while self.abandoned:
            self.fence(self.abandoned[-1])
            self.abandoned.pop()

    def fence(self, transactional_id: str) -> None:
        """Abort what this id has open; its later calls fail."""
        self._coordination.fence(transactional_id)

    def close(self) -> None:
        """Release the writer; an open transaction is left to be fenced."""
        if self._writer is not None:
            self._writer.close()

    def read_commits(
        self,
        places: Collection[TopicPartition],
        *,
        stable: bool,
        timeout: float = 10.0,
        on_lost: Callable[[TopicPartition, PositionLost], object] | None = None,
    ) -> dict[TopicPartition, tuple[int, CommitMetadata]]:
        """Read committed positions and metadata; one that is lost is raised, or told to ``on_lost`` and left out."""
        found: dict[TopicPartition, tuple[int, CommitMetadata]] = {}
        commits = self._coordination.committed(self.group, places, stable=stable, timeout=timeout)
        for place, committed in commits.items():
            where = f"group {self.group} for {place.topic}-{place.partition}"
            lost: PositionLost = Forgotten(f"there is no committed position of {where}: {REMEDY}")
            try:
                if committed is not None:
                    found[place] = (committed.position, decode_metadata(committed.metadata))
                    continue
            except NewerMetadata as error:
                raise LogError(f"the committed position of {where} is {error}: upgrade this node") from error
            except ValueError as error:
                # An admin has set it: what was settled above it is not known any more.
                lost = PositionLost(f"the committed position of {where} is {error}: {REMEDY}")
            if on_lost is None:
                raise lost
            on_lost(place, lost)
        return found

    def _next_id(self) -> str:
        self._writers += 1
        return f"{self._ids}{self._writers}"
