"""Ends a dead node with the kafka-python package.

librdkafka removes no member from a group. It fences a writer, but where a transaction is open it asks only every half
second whether that has ended.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping
from contextlib import closing
from importlib import import_module
from typing import Any, Final

from streamsched.log.port import CannotEvict, LogError, LogUnreachable

_SAME: Final = {
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
    "ssl.crl.location": "ssl_crlfile",
}
_MECHANISMS: Final = frozenset(("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"))
_LIMIT_MS: Final = 5000
_FENCE_LIMIT_MS: Final = 2000
_FENCE_AGAIN_MS: Final = 20
"""Milliseconds until it is asked again whether the open transaction has ended."""


def security(kafka: Mapping[str, Any]) -> dict[str, Any]:
    """Return kafka-python's security settings for this ``[kafka]`` table; raises ``CannotEvict`` where it has none."""
    derived: dict[str, Any] = {}
    for name, value in kafka.items():
        if name == "security.protocol":
            derived["security_protocol"] = str(value).upper()
        elif name in ("sasl.mechanism", "sasl.mechanisms") and str(value).upper() in _MECHANISMS:
            derived["sasl_mechanism"] = str(value).upper()
        elif name == "ssl.endpoint.identification.algorithm":
            derived["ssl_check_hostname"] = str(value).lower() == "https"
        elif name in _SAME:
            derived[_SAME[name]] = value
        elif name.startswith(("sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "https.")):
            raise CannotEvict(f"dead members cannot be evicted: kafka-python has no counterpart of this {name}")
    return derived


def connect(brokers: str, kafka: Mapping[str, Any]) -> Any:
    """Connect the package's administrative client; raises ``CannotEvict`` where that is impossible."""
    admin, _ = _package()
    return admin.KafkaAdminClient(
        bootstrap_servers=brokers.split(","),
        request_timeout_ms=_LIMIT_MS,
        bootstrap_timeout_ms=_LIMIT_MS,
        **security(kafka),
    )


def check(kafka: Mapping[str, Any]) -> None:
    """Load the package and derive its settings; raises ``CannotEvict`` where either fails."""
    _package()
    security(kafka)


def evict(brokers: str, kafka: Mapping[str, Any], group: str, member_id: str) -> None:
    """Remove the member from its group, if it is still there; raises ``LogError`` where the group refuses."""
    admin, failures = _package()
    deadline = time.monotonic() + _LIMIT_MS / 1000
    while True:
        try:
            with closing(connect(brokers, kafka)) as client:
                answers = client.remove_group_members(group, [admin.MemberToRemove(member_id=member_id)])
            break
        except failures.KafkaError as failure:
            if not failure.retriable:
                raise LogError(f"cannot evict member {member_id} from group {group}: {failure}") from None
            if time.monotonic() > deadline:
                raise LogUnreachable(
                    f"cannot evict from group {group}: Kafka at {brokers} does not answer: {failure}"
                ) from None
            time.sleep(0.1)
    for answer in answers.values():
        if answer.__name__ not in ("NoError", "UnknownMemberIdError"):
            raise LogError(f"cannot evict member {member_id} from group {group}: {answer.__name__}")


def fence(brokers: str, kafka: Mapping[str, Any], transactional_id: str) -> None:
    """Abort what the writer of this id has open and make its later calls fail; raises ``LogError`` where that fails."""
    _, failures = _package()
    try:
        producer = import_module("kafka").KafkaProducer(
            bootstrap_servers=brokers.split(","),
            transactional_id=transactional_id,
            transaction_timeout_ms=_LIMIT_MS,
            retry_backoff_ms=_FENCE_AGAIN_MS,
            max_block_ms=_FENCE_LIMIT_MS,
            bootstrap_timeout_ms=_FENCE_LIMIT_MS,
            **security(kafka),
        )
        try:
            producer.init_transactions()
        finally:
            producer.close(timeout=0)
    except failures.KafkaError as failure:
        raise LogError(f"cannot fence {transactional_id}: {failure}") from None


def _package() -> tuple[Any, Any]:
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # its errors are raised here
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of its own code
            return import_module("kafka.admin"), import_module("kafka.errors")
    except ImportError:
        raise CannotEvict("dead members cannot be evicted: install the package kafka-python") from None
