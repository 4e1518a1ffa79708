"""Questions and orders to the cluster: its topics, and their offsets."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

import confluent_kafka.admin
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection
from confluent_kafka import TopicPartition as Place

from streamsched.log.kafka import errors
from streamsched.log.kafka.config import REQUEST_LIMIT_S, ClientSettings, make
from streamsched.log.port import TopicPartition

# The client ends the process (an assertion) when the group's coordinator is found after the request for it timed
# out. So its requests never do: what waits here gives up, and a late answer is dropped.
_NEVER_S: Final = 3600.0

_NO_NAME: Final = "?"
"""No topic has this name, and none is made: a broker refuses it, and tells of the cluster."""

_DELETE_LIMIT_S: Final = 2.0
"""Seconds for what can as well be done the next time."""

_kafka: Any = confluent_kafka.admin  # its stubs hide half of what it offers

# librdkafka#5511: the client forgets a broker that a starting cluster does not name, and continues asking the forgotten
# one for its group, for ever. So one that was waited for in vain for so many seconds is replaced.
_SILENCE_S: Final = 3.0

Request = Callable[..., Mapping[Any, "Future[Any]"]]
"""Sends one request; takes the client, and ``request_timeout`` in seconds. It may be sent again."""


class Admin:
    """The administrative client. Every call ends within its limit, retries included."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._client = make(_kafka.AdminClient, settings.admin())
        self._silence = 0.0

    def ask(self, doing: str, request: Request, limit: float = REQUEST_LIMIT_S) -> list[Any]:
        """Send the request, again while it cannot be answered yet, and return the results.

        Raises ``LogUnreachable`` after ``limit`` seconds, ``TopicMismatch`` for an unknown topic, else ``LogError``.
        """
        deadline = time.monotonic() + limit
        while True:
            sent = time.monotonic()
            try:
                answers = request(self._client, request_timeout=_NEVER_S).values()
                patience = min(deadline, sent + _SILENCE_S)
                found = [answer.result(max(0.0, patience - time.monotonic())) for answer in answers]
                self._silence = 0.0
                return found
            except TimeoutError:
                error = KafkaError(KafkaError._TIMED_OUT, f"no answer in {limit:g} s")  # noqa: SLF001  # public
                self._client.poll(0)  # hear what the connections say
                self._silence += time.monotonic() - sent
                if self._silence >= _SILENCE_S:
                    self._client, self._silence = make(_kafka.AdminClient, self._settings.admin()), 0.0
            except KafkaException as failure:
                error = errors.cause(failure)
            if not errors.unanswered(error) or time.monotonic() + 0.05 > deadline:
                self._client.poll(0)
                raise errors.translate(error, doing, self._settings.brokers, self._settings.trouble)
            if errors.led_by_another(error):
                self._learn_leaders()
            time.sleep(0.05)

    def _learn_leaders(self) -> None:
        """Refresh the partition leaders: by itself the client asks the old leader for minutes."""
        with suppress(KafkaException):
            self._client.list_topics(timeout=1.0)

    def cluster_id(self, limit: float) -> str:
        """Return the cluster's name; as the first call, it also checks that the cluster answers."""
        return str(self._cluster("connect", limit).cluster_id)

    def brokers(self) -> int:
        """Count the brokers that the cluster has now."""
        return len(self._cluster("look up the brokers", REQUEST_LIMIT_S).brokers)

    def topic(self, topic: str) -> Any:
        """Describe a topic."""
        # list_topics() could make the topic, where the broker makes topics by itself.
        request = sending("describe_topics", TopicCollection([topic]))
        return self.ask(f"find topic {topic}", request)[0]

    def start(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the first offset that is still kept."""
        return self._offsets(partitions, _kafka.OffsetSpec.earliest())

    def end(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the high watermark."""
        return self._offsets(partitions, _kafka.OffsetSpec.latest())

    def stable_end(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the last stable offset: every transaction below it has ended."""
        return self._offsets(partitions, _kafka.OffsetSpec.latest(), isolation_level=IsolationLevel.READ_COMMITTED)

    def position_at(self, partitions: Collection[TopicPartition], time: int) -> dict[TopicPartition, int]:
        """Return the position of the first record not older than ``time``, else the end."""
        ends = self.end(partitions)  # first: a record written between the two must not be jumped over
        spec = _kafka.OffsetSpec.for_timestamp(time)
        found = self._offsets(partitions, spec)
        return {partition: ends[partition] if at < 0 else at for partition, at in found.items()}

    def delete_before(self, positions: Mapping[TopicPartition, int]) -> None:
        """Delete the records below these positions."""
        places = [Place(*partition, position) for partition, position in positions.items()]
        if places:
            self.ask("delete records", sending("delete_records", places), _DELETE_LIMIT_S)

    def _cluster(self, doing: str, limit: float) -> Any:
        """Return what a broker tells of the cluster.

        describe_cluster() is not used: librdkafka 2.16 aborts the process if the answer lists no brokers. The only
        broker of a cluster answers so for a moment after it was frozen or cut off: the controller has fenced it.
        """
        deadline = time.monotonic() + limit

        def request(client: Any, **_: object) -> Mapping[str, Future[Any]]:
            left = max(0.0, deadline - time.monotonic())
            answer: Future[Any] = Future()
            try:
                answer.set_result(client.list_topics(_NO_NAME, timeout=min(left, _SILENCE_S)))
            except KafkaException as failure:
                if errors.unreached(errors.cause(failure)):
                    raise TimeoutError from None
                raise
            return {"cluster": answer}

        return self.ask(doing, request, limit)[0]

    def _offsets(
        self, partitions: Collection[TopicPartition], spec: object, **options: object
    ) -> dict[TopicPartition, int]:
        wanted = {Place(*partition): spec for partition in partitions}
        if not wanted:
            return {}
        found = self.ask("look up offsets", sending("list_offsets", wanted, **options))
        return {partition: each.offset for partition, each in zip(partitions, found, strict=True)}


def sending(name: str, *arguments: object, **options: object) -> Request:
    """Make a request that calls this method of the client."""

    def request(client: Any, **more: object) -> Mapping[Any, Future[Any]]:
        answers: Mapping[Any, Future[Any]] = getattr(client, name)(*arguments, **options, **more)
        return answers

    return request
