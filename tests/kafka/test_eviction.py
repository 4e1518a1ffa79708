"""What evicting needs beyond the client: another package, and security settings that it understands."""

from __future__ import annotations

import gc
import sys

import pytest

from streamsched.log.kafka import KafkaLog, eviction
from streamsched.log.kafka.eviction import evict, security
from streamsched.log.port import LogError, LogUnreachable


def test_security_settings_are_derived() -> None:
    table = {
        "security.protocol": "sasl_ssl",
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "secret",
        "ssl.ca.location": "ca.pem",
        "ssl.endpoint.identification.algorithm": "none",
        "session.timeout.ms": 6000,
    }
    assert security(table) == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "secret",
        "ssl_cafile": "ca.pem",
        "ssl_check_hostname": False,
    }


@pytest.mark.parametrize(
    "name",
    [
        "sasl.oauthbearer.config",
        "ssl.keystore.location",
        "enable.ssl.certificate.verification",
        "sasl.kerberos.kinit.cmd",
    ],
)
def test_what_cannot_be_derived_is_named_and_its_value_is_not(name: str) -> None:
    with pytest.raises(LogError, match=name) as caught:
        security({name: "hidden"})
    assert "hidden" not in str(caught.value)


def test_another_mechanism_is_refused() -> None:
    with pytest.raises(LogError, match=r"sasl\.mechanism"):
        security({"sasl.mechanism": "GSSAPI"})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kafka.admin", None)
    with pytest.raises(LogError, match="kafka-python"):
        evict("127.0.0.1:1", {}, "group", "member")


@pytest.mark.timeout(30)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the package forgets a socket
def test_a_broker_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "_LIMIT_MS", 1000)
    with pytest.raises(LogUnreachable, match=r"127\.0\.0\.1:1"):
        evict("127.0.0.1:1", {}, "group", "member")
    gc.collect()


def test_a_member_that_is_not_there_is_no_error(log: KafkaLog) -> None:
    log.evict("no-such-group", "no-such-member")


@pytest.mark.timeout(30)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # as above
def test_a_fence_gives_up_where_no_broker_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "_FENCE_LIMIT_MS", 500)
    with pytest.raises(LogError, match="writer"):
        eviction.fence("127.0.0.1:1", {}, "writer")
    gc.collect()
