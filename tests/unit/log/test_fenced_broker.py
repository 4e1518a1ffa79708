"""A broker that is alone and was taken for dead names no broker for a moment: clients live through that."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread

import pytest

_API_VERSIONS, _METADATA = 18, 3
_SUPPORTED = ((_METADATA, 0, 7), (_API_VERSIONS, 0, 0))
_UNSUPPORTED_VERSION, _INVALID_TOPIC = 35, 17
CLIENT = """
import sys
from streamsched.log.kafka import KafkaLog
log = KafkaLog(sys.argv[1])
print(log.cluster_id, log.brokers(), flush=True)
sys.stdin.readline()
print(log.brokers(), KafkaLog(sys.argv[1]).cluster_id)
"""


class Broker:
    """Speaks as much of Kafka's protocol as it takes to be asked for the cluster."""

    def __init__(self) -> None:
        self.is_fenced = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                Thread(target=self._serve, args=self._listening.accept()[:1], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as requests:
            while length := requests.read(4):
                request = requests.read(*struct.unpack(">i", length))
                key, version, correlation, client = struct.unpack(">hhih", request[:10])
                answer = self._versions(version) if key == _API_VERSIONS else self._cluster(request[10 + client :])
                connection.sendall(struct.pack(">ii", len(answer) + 4, correlation) + answer)

    def _versions(self, asked: int) -> bytes:
        supported = b"".join(struct.pack(">hhh", *each) for each in _SUPPORTED)
        return struct.pack(">hi", _UNSUPPORTED_VERSION if asked else 0, len(_SUPPORTED)) + supported

    def _cluster(self, asked: bytes) -> bytes:
        (count,) = struct.unpack(">i", asked[:4])  # -1: of all topics
        brokers = (
            [] if self.is_fenced else [struct.pack(">i", 1) + _text("127.0.0.1") + struct.pack(">ih", self.port, -1)]
        )
        topics = b"\0\0\0\0"
        if count > 0:  # this client asks for one
            topics = struct.pack(">ih", 1, _INVALID_TOPIC) + asked[4 : 6 + asked[5]] + b"\0" + struct.pack(">i", 0)
        controller = struct.pack(">i", -1 if self.is_fenced else 1)
        return b"\0\0\0\0" + struct.pack(">i", len(brokers)) + b"".join(brokers) + _text("mine") + controller + topics


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


@pytest.fixture
def broker() -> Iterator[Broker]:
    own = Broker()
    yield own
    own.close()


def test_a_broker_that_names_no_broker_ends_no_process(broker: Broker) -> None:
    command = [sys.executable, "-c", CLIENT, f"127.0.0.1:{broker.port}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stdout.readline() == "mine 1\n"
        broker.is_fenced = True
        assert client.communicate("\n", 60)[0] == "0 mine\n"
    assert client.returncode == 0
