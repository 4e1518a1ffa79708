"""Transactions: the records, the group's positions, and the end, in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

from confluent_kafka import KafkaException, Producer
from confluent_kafka import TopicPartition as Place

from streamsched.log.kafka import errors
from streamsched.log.kafka.call_with_timeout import SLICE_S, CallWithTimeout
from streamsched.log.kafka.config import ClientSettings, make
from streamsched.log.kafka.member import GroupMember
from streamsched.log.kafka.produce import Refused, check_sizes, produce
from streamsched.log.port import (
    Append,
    AppendRefused,
    Committed,
    LogError,
    Member,
    OutcomeUnknown,
    TopicPartition,
    TransactionAborted,
    WriterFenced,
)

_GRACE_S: Final = 1.0
"""Seconds that a call has to keep its own time-out."""
_MARKERS_S: Final = 0.003
"""Seconds after a commit in which the broker may still write its markers.

A transaction that begins earlier may be refused (CONCURRENT_TRANSACTIONS), and the client retries after 20 ms.
Measured with Kafka 4.3 and librdkafka 2.16: 32 of 47 that began within 1 ms were refused, none of 2,500 after 3 ms.
"""


class _NotJoined(Exception):
    """The member is not in its group: the broker would take its offsets all the same, into a live group."""


class KafkaWriter:
    """A transactional producer. After a fence, or an unknown outcome, it is spent.

    It does not outlive an outage either. Broker after broker gone, the one that comes back may have forgotten to end
    our last transaction in some partition (see ``hanging``): an abort of ours would abort it there, too, though it was
    committed. So nothing more is sent under its id.
    """

    def __init__(self, settings: ClientSettings, transactional_id: str) -> None:
        self.transactional_id = transactional_id
        self._trouble = settings.trouble
        self._with_timeout = CallWithTimeout()
        self._limit = settings.transaction_limit
        self._spent = ""
        self._cut = False
        self._free_at = 0.0
        self._producer = make(Producer, {**settings.writer(transactional_id), "error_cb": self._on_error})
        deadline = time.monotonic() + self._limit
        try:
            _insist(lambda: self._producer.init_transactions(_left(deadline)), deadline)
        except KafkaException as failure:
            self.close()
            doing = f"take transactional id {transactional_id}"
            error = errors.cause(failure)
            raise errors.translate(error, doing, settings.brokers, settings.trouble) from None

    def commit(
        self, appends: Sequence[Append], positions: Mapping[TopicPartition, Committed], member: Member
    ) -> Mapping[int, int]:
        """Write all appends and the member's group positions in one transaction; raises as ``Writer.commit``."""
        if self._spent:
            raise WriterFenced(f"writer {self.transactional_id} is spent: {self._spent}")
        check_sizes(appends)
        places = [Place(*place, at.position, metadata=at.metadata) for place, at in positions.items()]
        offsets: dict[int, int] = {}
        refused: list[Refused] = []
        deadline = time.monotonic() + self._limit
        self._producer.poll(0)
        self._check_cut()
        time.sleep(max(0.0, self._free_at - time.monotonic()))
        try:
            self._producer.begin_transaction()
            produce(self._producer, appends, offsets, refused)
            if places:  # while the records are on their way
                self._send_positions(places, _group_of(member), deadline)
            while self._producer.flush(SLICE_S):
                self._check_cut()
                if time.monotonic() > deadline:
                    self._give_up("its records were not answered in time")
        except _NotJoined:
            why = "not a member of the group (any more, or yet): poll until it is joined"
            raise TransactionAborted(self._aborted(why, deadline)) from None
        except (BufferError, SystemError) as failure:
            # SystemError: a log line of the client, forwarded while it raises "fenced", trips over that exception.
            self._give_up(str(failure))
        except KafkaException as failure:
            error = self._first_error(errors.cause(failure))
            self._check_refused(appends, refused, error)
            self._abort(error, deadline)
        self._check_refused(appends, refused)
        try:
            _insist(lambda: self._producer.commit_transaction(_left(deadline)), deadline)
        except KafkaException as failure:
            error = errors.cause(failure)
            if not error.fatal() and error.txn_requires_abort():
                self._check_refused(appends, refused, error)
                self._abort(error, deadline)
            # Even "fenced": the end may have been written, its answer lost, and the id taken over since.
            self._give_up(error.str(), offsets)
        except SystemError as failure:
            self._give_up(str(failure), offsets)
        self._free_at = time.monotonic() + _MARKERS_S
        return offsets

    def close(self) -> None:
        """Drop the producer at once; an open transaction is left to be fenced."""
        self._drop(self._spent or "it was closed")

    def _send_positions(self, places: list[Place], group: Any, deadline: float) -> None:
        producer = self._producer

        def send() -> None:
            _insist(lambda: producer.send_offsets_to_transaction(places, group, _left(deadline)), deadline)

        try:
            self._with_timeout.call(send, _left(deadline) + _GRACE_S, self._check_cut)
        except TimeoutError:
            self._give_up("its positions were not answered in time")

    def _on_error(self, error: Any) -> None:
        self._trouble.note(error)
        self._cut = self._cut or errors.all_gone(error)

    def _check_cut(self) -> None:
        if self._cut:
            self._give_up(f"there was no broker for a while{self._trouble}")

    def _first_error(self, error: Any) -> Any:
        """Return what made the transaction fail: positions under way then fail with the wrong state alone."""
        if errors.of_state(error) and error.txn_requires_abort():
            try:
                self._producer.begin_transaction()  # refused with the first error
            except KafkaException as failure:
                return errors.cause(failure)
        return error

    def _check_refused(self, appends: Sequence[Append], refused: Sequence[Refused], error: Any = None) -> None:
        """Raise ``AppendRefused`` where a tracked append is why nothing can be written.

        A broker refuses a whole batch, and for a topic or a right that is missing the whole transaction: then it does
        not say which append is to blame.
        """
        found = [each for each in refused if errors.refuses(each[1])]
        if not found and error is not None and errors.missing(error) and any(append.track for append in appends):
            found = [(-1, error)]
        if found:
            index, why = found[0] if len(found) == 1 else (-1, found[0][1])
            self._drop(why.str())
            topic = "a topic" if index < 0 else f"topic {appends[index].topic}"
            raise AppendRefused(f"{topic} refuses a record: {why.str()}", index, missing=errors.missing(why))

    def _abort(self, error: Any, deadline: float) -> NoReturn:
        """Abort what cannot be committed and raise what the caller must know; nothing was written."""
        if error.fatal():
            self._fenced(error)
        if not (error.txn_requires_abort() or errors.too_large(error) or errors.no_such_topic(error)):
            if errors.unanswered(error):
                self._give_up(error.str())
            self._fenced(error)
        said = self._aborted(error.str(), deadline)
        if errors.not_allowed(error):
            self._drop(error.str())
            raise LogError(f"{said}; the broker's rights (ACLs) do not allow it")
        if errors.too_large(error) or errors.no_such_topic(error):
            raise errors.translate(error, f"commit a transaction of {self.transactional_id}", "")
        raise TransactionAborted(said)

    def _aborted(self, why: str, deadline: float) -> str:
        """Abort the transaction and return the error's message. Raises OutcomeUnknown or WriterFenced if that fails."""
        try:
            _insist(lambda: self._producer.abort_transaction(_left(deadline)), deadline)
        except KafkaException as failure:
            if errors.unanswered(errors.cause(failure)):
                self._give_up(why)
            self._fenced(errors.cause(failure))
        return f"the transaction of {self.transactional_id} was aborted: {why}"

    def _fenced(self, error: Any) -> NoReturn:
        self._drop(error.str())
        raise WriterFenced(f"writer {self.transactional_id} can write no more: {error.str()}")

    def _drop(self, reason: str) -> None:
        self._spent = reason
        # None of its requests may come late, after a fence. Its close() would abort first, and hang while the
        # broker does not answer.
        if self._producer is not None:
            _unburden(self._producer)
        self._producer = None
        self._with_timeout.close()

    def _give_up(self, reason: str, offsets: Mapping[int, int] | None = None) -> NoReturn:
        self._drop(reason)
        said = f"the outcome of a transaction of {self.transactional_id} is unknown: {reason}"
        raise OutcomeUnknown(said, offsets)


def _group_of(member: Member) -> Any:
    if not isinstance(member, GroupMember):
        raise TypeError(f"a Kafka transaction needs a member of a Kafka group, not {type(member).__name__}")
    if not member.joined:
        raise _NotJoined
    return member.group_metadata()


def _unburden(producer: Any) -> None:
    """Drop all outstanding delivery reports: one that arrives while the producer closes may corrupt the heap.

    librdkafka 2.16 frees what it noted of the last error first, and again at such an answer (``rd_kafka_txns_term``).
    """
    producer.purge()  # returns before it is done, whatever ``blocking`` says
    deadline = time.monotonic() + _GRACE_S
    left = 1
    while left and time.monotonic() < deadline:
        with suppress(KafkaException, SystemError):  # the error that it ends for
            left = producer.flush(SLICE_S)


def _left(deadline: float) -> float:
    return max(1.0, deadline - time.monotonic())


def _insist(call: Callable[[], object], deadline: float) -> None:
    """Call again while the error asks for exactly that; a time-out is for the caller to judge."""
    while True:
        try:
            call()
        except KafkaException as failure:
            error = errors.cause(failure)
            final = error.fatal() or error.txn_requires_abort() or not error.retriable()
            if final or errors.timed_out(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
