"""Questions for metadata end in the client before they are given up: closed with one under way, it may abort."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Timer
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamsched.log.kafka import admin as module
from streamsched.log.kafka.admin import Admin
from streamsched.log.kafka.config import ClientSettings
from streamsched.log.port import LogUnreachable, TopicPartition


class Silent:
    """A client whose broker never answers: a request ends at its time-out alone."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Future[Any]]] = []

    def poll(self, _: float) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def send(*_: object, request_timeout: float, **__: object) -> Any:
            answer: Future[Any] = Future()
            error = KafkaException(KafkaError(KafkaError._TIMED_OUT))  # public
            timer = Timer(request_timeout, answer.set_exception, [error])
            timer.daemon = True
            timer.start()
            self.asked.append((name, answer))
            return answer if name == "describe_cluster" else {"it": answer}

        return send


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Silent]:
    made: list[Silent] = []

    def make(*_: object) -> Silent:
        made.append(Silent())
        return made[-1]

    monkeypatch.setattr(module, "make", make)
    monkeypatch.setattr(module, "_SILENCE", 0.2)
    return made


@pytest.mark.parametrize(
    "ask",
    [
        lambda admin: admin.cluster_id(0.5),
        lambda admin: admin.ask("find", module.sending("describe_topics", "t"), 0.5, metadata=True),
    ],
)
def test_none_is_under_way_when_it_is_given_up(clients: list[Silent], ask: Callable[[Admin], object]) -> None:
    with pytest.raises(LogUnreachable, match=r"no answer in 0\.5 s"):
        ask(Admin(ClientSettings("here:1", {})))
    assert len(clients) > 1, "a silent client was not replaced"
    assert all(answer.done() for client in clients for _, answer in client.asked)


def test_which_questions_ask_for_metadata(monkeypatch: pytest.MonkeyPatch, clients: list[Silent]) -> None:
    """Those to a coordinator must not time out in the client."""
    told: list[bool] = []

    def ask(*_: object, metadata: bool = False) -> list[Any]:
        told.append(metadata)
        raise LogUnreachable("away")

    admin = Admin(ClientSettings("here:1", {}))
    monkeypatch.setattr(admin, "ask", ask)
    questions: list[Callable[[], object]] = [
        lambda: admin.topic("t"), admin.brokers, lambda: admin.cluster_id(1.0),
        lambda: admin.end([TopicPartition("t", 0)]),
    ]  # fmt: skip
    for question in questions:
        with pytest.raises(LogUnreachable):
            question()
    assert told == [True, True, True, False]
    assert len(clients) == 1
