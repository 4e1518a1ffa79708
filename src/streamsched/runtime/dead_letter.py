"""Dead letters: a record that cannot be handled is kept whole, with its origin and the reason."""

from __future__ import annotations

from typing import Final

from streamsched.domain.events import DeadLetter
from streamsched.log.port import Append, Record
from streamsched.log.topics import PAYLOAD_LIMIT
from streamsched.runtime import metrics
from streamsched.runtime.identity import Identity
from streamsched.runtime.records import Records

KEY_LIMIT: Final = 4 * 1024


def dead_letter(records: Records, me: Identity, record: Record, reason: str) -> Append:
    """Make the dead letter of a record.

    What would make it too large for its own topic is cut: a value beyond 256 KiB, a key beyond 4 KiB.
    """
    key = None if record.key is None else record.key[:KEY_LIMIT]
    letter = me.sign(
        DeadLetter,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=reason,
        key=key,
        value=None if record.value is None else record.value[:PAYLOAD_LIMIT],
    )
    metrics.DEAD_LETTERS.add(1, record.topic.rpartition(".")[2])
    return records.dead_letter(letter, key)
