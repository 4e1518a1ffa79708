"""Dead letters: a record that cannot be handled is kept whole, with its origin and the reason."""

from __future__ import annotations

from streamsched.domain.events import DeadLetter
from streamsched.log.port import Append, Record
from streamsched.log.topics import PAYLOAD_LIMIT
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records


def dead_letter(records: Records, me: Identity, record: Record, reason: str) -> Append:
    """Make the dead letter of a record; a value beyond 256 KiB is cut there, the origin still has it whole."""
    letter = me.sign(
        DeadLetter,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=reason,
        key=record.key,
        value=None if record.value is None else record.value[:PAYLOAD_LIMIT],
    )
    return records.dead_letter(letter, record.key)
