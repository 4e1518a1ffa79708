"""The topics that the handlers of a worker may write to, what is known of them, and whether to believe an executor.

An executor runs the code of users, and the worker's writer may write the journal: what an executor has checked is
checked again here, against the worker's own settings and the log's own answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from streamsched.domain.bounds import PAGE_COUNT_LIMIT, PAGE_LIMIT
from streamsched.log.port import Append, LogError, LogUnreachable, TopicFacts, TopicMismatch
from streamsched.worker.jobs import MOST_BYTES, MOST_RECORDS, PLAN, Emitted, TopicTold
from streamsched.worker.progress import Unsaved

KEPT_S: Final = 300.0
"""Seconds for which an answer holds."""
LEAST_BYTES: Final = 1_000_000
"""What a topic must take: as many records are sent to a partition at once, and are refused as one."""
TOPICS: Final = 1_000
"""Topics that the handlers of one worker may write to."""
Answer = Callable[[], TopicFacts | None]


class Outlet:
    """Answers what executors ask of a topic.

    ``patterns``: names of topics that may be written to, with ``*`` for any characters. ``look`` begins to look a topic
    up and returns what asks for the answer: None while there is none, ``LogError`` where there is no such topic.
    """

    def __init__(
        self, *, patterns: Sequence[str], prefix: str, look: Callable[[str], Answer], now: Callable[[], float]
    ) -> None:
        self.patterns = tuple(patterns)
        self._prefix = prefix
        self._look = look
        self._now = now
        self._known: dict[str, tuple[float, TopicFacts]] = {}
        self._asked: dict[str, Answer] = {}

    def refusal(self, topic: str) -> str:
        """Return why no handler may write to a topic here; empty where it may."""
        if topic not in self._known and len(self._known) >= TOPICS:
            return f"handlers of this worker write to {TOPICS:,} topics, and to no more"
        return refusal(topic, self.patterns, self._prefix)

    def ask(self, topic: str, *, anew: bool = False) -> TopicTold | None:
        """Return what is to be told of a topic; None where that is not known yet: ask again. ``anew``: look it up."""
        if problem := self.refusal(topic):
            return TopicTold(topic, 0, 0, problem)
        known = self._known.get(topic)
        if known is None or anew or self._now() >= known[0]:
            if topic not in self._asked:
                self._asked[topic] = self._look(topic)
            try:
                facts = self._asked[topic]()
            except LogError as error:
                del self._asked[topic]
                if isinstance(error, LogUnreachable):
                    return None
                missing = f"there is no topic {topic!r}: streamsched topic create {topic}"
                return TopicTold(topic, 0, 0, missing if isinstance(error, TopicMismatch) else str(error))
            if facts is None:
                return None
            del self._asked[topic]
            if facts.limit_bytes < LEAST_BYTES:
                return TopicTold(
                    topic, 0, 0, f"topic {topic!r} takes no {LEAST_BYTES:,} bytes at once: max.message.bytes"
                )
            known = self._known[topic] = (self._now() + KEPT_S, facts)
        return TopicTold(topic, known[1].partitions, known[1].limit_bytes, "")

    def fault(self, unsaved: Unsaved, records: Sequence[Emitted], *, splits: bool) -> str:
        """Return what of a job's records our own code would not have sent; empty: nothing. ``unsaved``: with them."""
        if len(records) > 1 and sum(len(record.value or b"") for record in records) > LEAST_BYTES:
            return "it emitted more at once than is sent together"
        # Twice: what an attempt before this one had covered, and its own.
        if len(unsaved.records) > 2 * MOST_RECORDS or unsaved.size > 2 * MOST_BYTES:
            return f"it emitted {len(unsaved.records):,} records of {unsaved.size:,} bytes without a wait"
        partitions = {PLAN: 1 << 31}
        for topic in {record.topic for record in records}:
            if topic == PLAN:
                if not splits:
                    return "it found children, and is no split child"
                continue
            known = self._known.get(topic)
            if known is None or self.refusal(topic):
                return f"it emitted to topic {topic!r}, which was refused, or not asked for"
            partitions[topic] = known[1].partitions
        for record in records:
            if record.partition >= partitions[record.topic]:
                return f"it emitted to partition {record.partition} of topic {record.topic!r}"
        if len(records) == 1 and (size := records[0].size) > LEAST_BYTES:  # others are sent together, and are small
            topic = records[0].topic
            if topic != PLAN and size > self._known[topic][1].limit_bytes:
                return f"it emitted {size:,} bytes to topic {topic!r}"
        return _fault_of_plan([record for record in unsaved.records if record.topic == PLAN]) if splits else ""


def refusal(topic: str, patterns: Sequence[str], prefix: str) -> str:
    """Return why no handler may write to a topic with these settings; empty where it may."""
    if topic.startswith(f"{prefix}."):
        return f"topic {topic!r} is of streamsched's own, with the prefix {prefix!r}"
    if not any(fnmatchcase(topic, pattern) for pattern in patterns):
        allowed = f"those are {', '.join(patterns)}" if patterns else "there are none"
        return (
            f"handlers here may not write to topic {topic!r}: name it in the worker's setting [emit] topics, or in "
            f"STREAMSCHED_EMIT_TOPICS ({allowed})"
        )
    return ""


def _fault_of_plan(entries: Sequence[Emitted]) -> str:
    """Return why entries cannot be pages of a plan."""
    if len(entries) > PAGE_COUNT_LIMIT or sum([len(entry.value or b"") + 1 for entry in entries]) > PAGE_LIMIT:
        return f"it found {len(entries):,} children without a wait"
    for number, entry in enumerate(entries, entries[0].partition if entries else 0):
        if entry.partition != number or entry.value is None or b"\n" in entry.value:
            return f"its entry {number:,} of the plan cannot be one"
    try:
        b"".join([entry.value or b"" for entry in entries]).decode()
    except UnicodeDecodeError:
        return "an entry of its plan is no text"
    return ""


def append_of(record: Emitted, traceparent: str | None) -> Append:
    """Return what is written of an emitted record. It is tracked: the log says which one it refuses."""
    headers = record.headers if traceparent is None else (*record.headers, ("traceparent", traceparent.encode()))
    return Append(record.topic, record.partition, record.key, record.value, headers, True)


def _unreachable(topic: str) -> Answer:
    raise LogError(f"no log is open to look up {topic}")


CLOSED: Final = Outlet(patterns=(), prefix="", look=_unreachable, now=lambda: 0.0)
"""Lets handlers write to no topic."""
