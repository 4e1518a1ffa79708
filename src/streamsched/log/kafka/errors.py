"""Kafka's errors, classed by what the caller must do."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from streamsched.log.port import LogError, LogUnreachable, NotAllowed, RecordTooLarge, TopicMismatch

# The names with an underscore are the client's own errors and public.
_UNANSWERED: Final = frozenset(
    getattr(KafkaError, name)
    for name in (
        "_TIMED_OUT",
        "_TIMED_OUT_QUEUE",
        "_MSG_TIMED_OUT",
        "_TRANSPORT",
        "_ALL_BROKERS_DOWN",
        "_RESOLVE",
        "_AUTHENTICATION",
        "_SSL",
        "_WAIT_COORD",
        "_RETRY",
        "_NOENT",  # no leader is known: the broker has just started
        "REQUEST_TIMED_OUT",
        "COORDINATOR_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "NOT_COORDINATOR",
        "NOT_CONTROLLER",
        "LEADER_NOT_AVAILABLE",
        "NOT_LEADER_FOR_PARTITION",
        "FENCED_LEADER_EPOCH",
        "UNKNOWN_LEADER_EPOCH",
        "OFFSET_NOT_AVAILABLE",
        "BROKER_NOT_AVAILABLE",
        "NETWORK_EXCEPTION",
        "NOT_ENOUGH_REPLICAS",
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        "CONCURRENT_TRANSACTIONS",
    )
)
_LED_ANEW: Final = frozenset(
    (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH)
)
_NO_TOPIC: Final = frozenset(
    (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)  # noqa: SLF001
)
_TOO_LARGE: Final = frozenset((KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE))
_NOT_ALLOWED: Final = frozenset(
    (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    )
)
_REFUSALS: Final = (
    _TOO_LARGE
    | _NO_TOPIC
    | {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.POLICY_VIOLATION,
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
    }
)
_PASSING: Final = frozenset((KafkaError._MAX_POLL_EXCEEDED, KafkaError._PARTITION_EOF))  # noqa: SLF001


def cause(failure: KafkaException) -> Any:
    """Return the ``KafkaError`` inside the exception."""
    return failure.args[0]


def timed_out(error: Any) -> bool:
    """Return whether the client itself gave up waiting: the request may still be on its way."""
    return bool(error.code() == KafkaError._TIMED_OUT)  # noqa: SLF001


def unreached(error: Any) -> bool:
    """Return whether no broker has answered."""
    return error.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT)  # noqa: SLF001


def unanswered(error: Any) -> bool:
    """Return whether asking again later may help: there was no answer, or the broker is not ready."""
    return error.code() in _UNANSWERED or bool(error.retriable())


def refuses(error: Any) -> bool:
    """Return whether a record will never be written as things are, for what it is or where it goes."""
    return error.code() in _REFUSALS


def missing(error: Any) -> bool:
    """Return whether a topic or a right is missing, which may be there again later."""
    return no_such_topic(error) or not_allowed(error)


def of_state(error: Any) -> bool:
    """Return whether the client refused the call for the state that it is in."""
    return bool(error.code() == KafkaError._STATE)  # noqa: SLF001


def all_gone(error: Any) -> bool:
    """Return whether no broker at all is connected any more."""
    return bool(error.code() == KafkaError._ALL_BROKERS_DOWN)  # noqa: SLF001


def led_by_another(error: Any) -> bool:
    """Return whether the partition has another leader, or the same one anew, than the client knows."""
    return error.code() in _LED_ANEW


def too_large(error: Any) -> bool:
    """Return whether the broker refused a record for its size."""
    return error.code() in _TOO_LARGE


def no_such_topic(error: Any) -> bool:
    """Return whether the topic or the partition does not exist."""
    return error.code() in _NO_TOPIC


def not_allowed(error: Any) -> bool:
    """Return whether a right is missing: that never heals, even where the client calls it abortable."""
    return error.code() in _NOT_ALLOWED


def passing(error: Any) -> bool:
    """Return whether a consumer gets over this by itself."""
    return not error.fatal() and (unanswered(error) or error.code() in _PASSING)


def translate(error: Any, doing: str, brokers: str, reason: object = "") -> LogError:
    """Return what to raise when ``doing`` failed for good."""
    if no_such_topic(error):
        return TopicMismatch(f"cannot {doing}: {error.str()}; create the topics: streamsched topics create")
    if too_large(error):
        return RecordTooLarge(
            f"cannot {doing}: {error.str()}; see the topic's max.message.bytes: streamsched topics check"
        )
    if not_allowed(error):
        return NotAllowed(f"cannot {doing}: {error.str()}; the broker's rights (ACLs) do not allow it")
    if unanswered(error):
        return LogUnreachable(
            f"cannot {doing}: Kafka at {brokers} does not answer: {error.str()}{reason}; "
            "check the address (--brokers) and that the broker runs"
        )
    return LogError(f"cannot {doing}: {error.str()} ({error.name()})")
