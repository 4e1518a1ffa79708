"""Dead letters: a record that cannot be handled is kept whole, with its origin and the reason."""

from __future__ import annotations

from streamsched.domain.events import DeadLetter
from streamsched.log.codec import Codec, append_of
from streamsched.log.port import Append, Record
from streamsched.log.topics import PAYLOAD_LIMIT, Topics
from streamsched.runtime.identity import Identity


def dead_letter(codec: Codec, topics: Topics, me: Identity, record: Record, reason: str) -> Append:
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
    key = (record.key or b"").decode(errors="replace")
    return append_of(codec, letter, topic=topics.dead_letters, partition=0, key=key)
