"""The settings of every client: defaults, then the user's ``[kafka]`` table, then what safety needs."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from streamsched.log.port import CannotEvict, LogError
from streamsched.log.secrets import hide
from streamsched.log.topics import RECORD_LIMIT

_TRANSACTION_TIMEOUT_MS: Final = 15_000
"""After which the broker aborts an open transaction."""
_COMMIT_MARGIN_S: Final = 5.0
"""How much earlier the client gives a commit up: else an outage of just that length would end in a fenced writer."""
_SESSION_MS: Final = 150_000
"""How long a member stays in its group without a word: outages of two minutes, and some time to find back."""
_SHORT_SESSION_MS: Final = 10_000
"""The same where no scheduler can evict: only the end of its session frees what a dead node had."""
_MAX_POLL_MS: Final = 300_000
"""How long a loop may leave its group unserved, as it does while it waits to hear how a transaction ended."""
REQUEST_LIMIT_S: Final = 10.0
"""Seconds for any other request, its retries included."""

_LOGGER: Final = logging.getLogger("streamsched.kafka")
_LOGGER.addHandler(logging.NullHandler())  # else what the client says would go to standard error


def _tame(record: logging.LogRecord) -> bool:
    """Pass over settings that another kind of client uses; and what we handle is not critical."""
    if record.levelno > logging.ERROR:
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return not record.getMessage().startswith("CONFWARN")


_LOGGER.addFilter(_tame)

_GROUP_ONLY: Final = frozenset(
    (
        "group.protocol",
        "group.instance.id",
        "group.remote.assignor",
        "partition.assignment.strategy",
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
    )
)
"""What a consumer that joins no group has no use for, and may stumble over."""
_RECORDS: Final = {
    "message.max.bytes": RECORD_LIMIT,
    "linger.ms": 0,
    "retry.backoff.ms": 10,  # a back-to-back transaction meets CONCURRENT_TRANSACTIONS: the default waits 100
    "queue.buffering.max.messages": 500_000,
    "topic.metadata.propagation.max.ms": 5000,
}


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Makes the settings of each kind of client. ``trouble`` gathers what the clients say went wrong."""

    brokers: str
    kafka: Mapping[str, Any] = field(repr=False)
    trouble: Trouble = field(default_factory=lambda: Trouble())

    @property
    def transaction_limit(self) -> float:
        """Seconds after which the client gives a commit up: sooner than the broker, where that has ten or more."""
        timeout = float(self.kafka.get("transaction.timeout.ms", _TRANSACTION_TIMEOUT_MS)) / 1000
        return timeout - _COMMIT_MARGIN_S if timeout >= 2 * _COMMIT_MARGIN_S else timeout

    def admin(self) -> dict[str, Any]:
        """Return the settings of the administrative client."""
        return self._merge({}, {})

    def appender(self) -> dict[str, Any]:
        """Return the settings of the producer for records without a transaction.

        Not an idempotent one: that takes half a second to begin with. A request, a beat or a dead letter that a retry
        writes twice is void the second time.
        """
        safe = {"enable.idempotence": False, "acks": "all"}
        return self._merge({**_RECORDS, "message.timeout.ms": int(REQUEST_LIMIT_S * 1000)}, safe)

    def writer(self, transactional_id: str) -> dict[str, Any]:
        """Return the settings of a transactional producer."""
        defaults = {**_RECORDS, "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS}
        safe = {"transactional.id": transactional_id, "enable.idempotence": True, "acks": "all"}
        return self._merge(defaults, safe)

    def member(self, group: str) -> dict[str, Any]:
        """Return the settings of a consumer that is a member of a group and never fetches."""
        defaults: dict[str, Any] = {"max.poll.interval.ms": _MAX_POLL_MS, "fetch.message.max.bytes": 1024}
        safe: dict[str, Any] = {"group.id": group, "enable.auto.commit": False, "enable.auto.offset.store": False}
        if self.kafka.get("group.protocol", "classic") == "classic":  # the other has the broker decide these
            session = int(self.kafka.get("session.timeout.ms", _SESSION_MS if self._evictable() else _SHORT_SESSION_MS))
            poll = int(self.kafka.get("max.poll.interval.ms", max(_MAX_POLL_MS, session)))
            defaults |= {
                "session.timeout.ms": min(session, poll),  # the client takes no longer one
                "max.poll.interval.ms": poll,
                "heartbeat.interval.ms": 500,
            }
            safe |= {"partition.assignment.strategy": "cooperative-sticky"}
        return self._merge(defaults, {**safe, "auto.offset.reset": "latest"})  # it reads nothing: no error here

    def positions(self, group: str, *, stable: bool) -> dict[str, Any]:
        """Return the settings of a consumer that only asks for the group's positions, and never joins."""
        defaults = {"retry.backoff.ms": 10, "retry.backoff.max.ms": 50}  # a stable read asks until it is one
        level = "read_committed" if stable else "read_uncommitted"
        safe = {"group.id": group, "isolation.level": level, "enable.auto.commit": False}
        merged = self._merge(defaults, safe)
        return {name: value for name, value in merged.items() if name not in _GROUP_ONLY}

    def reader(self) -> dict[str, Any]:
        """Return the settings of a consumer that reads chosen partitions, outside any group."""
        defaults = {
            "queued.min.messages": 1000,
            "queued.max.messages.kbytes": 16 * 1024,
            "fetch.max.bytes": 8 * 1024 * 1024,
            # The end of a partition, past its last marker, and a newly assigned partition are seen only when
            # the fetch under way returns.
            "fetch.wait.max.ms": 50,
            "fetch.error.backoff.ms": 10,
            "fetch.queue.backoff.ms": 10,
        }
        safe = {
            "group.id": f"streamsched.reader.{uuid.uuid4()}",  # it must have one; nothing is kept under it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
        }
        merged = self._merge(defaults, safe)
        return {name: value for name, value in merged.items() if name not in _GROUP_ONLY}

    def _evictable(self) -> bool:
        from streamsched.log.kafka import eviction

        try:
            eviction.security(self.kafka)
        except CannotEvict:
            return False
        return True

    def _merge(self, defaults: Mapping[str, Any], safe: Mapping[str, Any]) -> dict[str, Any]:
        common = {"client.id": "streamsched", "reconnect.backoff.max.ms": 1000}
        fixed = {"bootstrap.servers": self.brokers, "logger": _LOGGER, "error_cb": self.trouble.note}
        return {**common, **defaults, **self.kafka, **safe, **fixed}


def make(kind: Callable[[dict[str, Any]], Any], settings: dict[str, Any]) -> Any:
    """Make a client; raises ``LogError`` where it refuses a setting."""
    try:
        return kind(settings)
    except (KafkaException, TypeError, ValueError) as failure:
        error = failure.args[0]
        reason = hide(error.str() if isinstance(error, KafkaError) else error, settings)
        raise LogError(f"Kafka's client refuses its settings (see the [kafka] table): {reason}") from None


class Trouble:
    """The latest thing that a client said about its connections: why a broker does not answer."""

    def __init__(self) -> None:
        self._reason = ""

    def note(self, error: KafkaError) -> None:
        """Take note of an error that belongs to no call."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # its public name; it gives no reason
            self._reason = error.str()

    def __str__(self) -> str:
        return f" ({self._reason})" if self._reason else ""
