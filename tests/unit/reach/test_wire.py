"""What a client says of a server that is none, is away, or means ill: one error, in bounded time and memory."""

from __future__ import annotations

import json
import resource
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from streamsched.client import Client
from streamsched.domain.errors import NoSuchTask, StreamschedError
from streamsched.log.port import LogUnreachable
from streamsched.reach import wire
from streamsched.reach.problems import ServerRefused, ServerUnreachable, WrongServer
from tests.support.bad_server import BadServer, answer, badly_serving

SECRET = "not-for-others"  # noqa: S105


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "SILENT_S", 0.5)
    monkeypatch.setattr(wire, "WHOLE_S", 1.0)
    monkeypatch.setattr(wire, "PATIENCE_S", 0.0)
    monkeypatch.setattr(wire, "AGAIN_S", 0.01)
    monkeypatch.setattr(wire, "DOCUMENT_BYTES", 1_000_000)
    monkeypatch.setenv("STREAMSCHED_TOKEN", SECRET)


def client_of(server: BadServer | int, scheme: str = "http", host: str = "127.0.0.1") -> Client:
    return Client(url=f"{scheme}://{host}:{server if isinstance(server, int) else server.port}")


def problem(name: str, status: str, detail: str = "no; do", hint: str = "do", **more: object) -> bytes:
    told = {"type": f"/v1/errors/{name}", "title": "t", "status": 1, "detail": detail, "hint": hint, **more}
    return answer(json.dumps(told).encode(), status=status, kind="application/problem+json")


@pytest.mark.parametrize(
    ("told", "kind", "text"),
    [
        (answer(b"<html>", kind="text/html"), WrongServer, "answers text/html, where JSON was expected"),
        (answer(b"{"), WrongServer, "no TaskStatus"),
        (answer(b"[]"), WrongServer, "no TaskStatus"),
        (answer(b"{}"), WrongServer, "no TaskStatus"),
        (answer(b"[" * 900_000), WrongServer, "no TaskStatus"),
        (answer(b"\xff\xfe"), WrongServer, "no TaskStatus"),
        (answer(b"", status="204 No Content"), WrongServer, "no TaskStatus"),
        (answer(b"x", status="418 I'm a Teapot", kind="text/plain"), WrongServer, "says 418"),
        (answer(b"x", status="502 Bad Gateway", kind="text/html"), ServerUnreachable, "says 502 .Bad Gateway."),
        (b"SSH-2.0-OpenSSH\r\n", ServerUnreachable, "broke the answer off .BadStatusLine."),
        (b"", ServerUnreachable, "broke the answer off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{", ServerUnreachable,
         "broke the answer off .IncompleteRead."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\nContent-Type: application/json\r\n\r\n{", WrongServer,
         "more than 1,000,000 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", ServerUnreachable, "broke the answer off"),
        (problem("no-such-task", "404 Not Found", "no task 'x'; look", "look"), NoSuchTask, "no task 'x'; look"),
        (problem("not-permitted", "403 Forbidden", "vera is viewer", exit_code=2), ServerRefused, "vera is viewer"),
        (problem("new-in-2031", "409 Conflict", "so\x1b[31m", exit_code=9), ServerRefused, r"so\\x1b"),
        (problem("not-authenticated", "401 Unauthorized", "a token is missing"), ServerRefused,
         "a token is missing: put a token into STREAMSCHED_TOKEN"),
        (problem("log-unreachable", "503 Service Unavailable", "no broker", exit_code=3), LogUnreachable, "no broker"),
        (answer(b'{"type": 3}', status="404 Not Found", kind="application/problem+json"), WrongServer, "says 404"),
    ],
)  # fmt: skip
def test_each_answer_that_is_none_is_one_error(told: bytes, kind: type[StreamschedError], text: str) -> None:
    with badly_serving(told) as server, client_of(server) as client, pytest.raises(kind, match=text) as caught:
        client.status("x")
    assert type(caught.value) is kind
    assert SECRET not in str(caught.value)
    assert caught.value.exit_code in (1, 2, 3, 4, 9)


def error_of(client: Client) -> StreamschedError:
    with pytest.raises(ServerRefused) as caught:
        client.status("x")
    return caught.value


def test_the_exit_code_is_what_the_server_says() -> None:
    with badly_serving(problem("new-in-2031", "409 Conflict", exit_code=9)) as server, client_of(server) as client:
        error = error_of(client)
    assert (error.exit_code, error.http_status, getattr(error, "remedy", "")) == (9, 409, "do")


def test_a_redirect_is_not_followed_and_the_token_goes_nowhere() -> None:
    with badly_serving(answer(b"{}")) as other:
        told = answer(status="307 Temporary Redirect", more=f"Location: http://127.0.0.1:{other.port}/v1/tasks/x\r\n")
        with badly_serving(told) as server, client_of(server) as client:
            for do in (lambda: client.status("x"), lambda: client.cancel("x"), lambda: client.schedules()):
                with pytest.raises(WrongServer, match=f"redirects to http://127.0.0.1:{other.port}/"):
                    do()
        assert other.heads == []
    assert all(f"Authorization: Bearer {SECRET}" in head for head in server.heads)


@pytest.mark.parametrize(
    ("head", "part", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", b"[" * 10_000, WrongServer),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
         b"2710\r\n" + b" " * 10_000 + b"\r\n", WrongServer),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", ServerUnreachable),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 10_000, ServerUnreachable),
    ],
)  # fmt: skip
def test_an_answer_without_end_is_broken_off(head: bytes, part: bytes, kind: type[StreamschedError]) -> None:
    def talk(connection: socket.socket, number: int) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(part)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with badly_serving(talk) as server, client_of(server) as client, pytest.raises(kind):
        client.status("x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("slow", ["silent", "dripping head", "dripping body"])
def test_a_server_that_does_not_answer_in_time(slow: str) -> None:
    left = threading.Event()

    def talk(connection: socket.socket, number: int) -> None:
        if slow == "dripping body":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n")
        while slow != "silent":
            connection.sendall(b"a")
            left.wait(0.05)
        left.wait(30)

    with badly_serving(talk) as server, client_of(server) as client:
        try:
            with pytest.raises(ServerUnreachable, match=r"does not answer in time; try again later$"):
                client.status("x")
            with pytest.raises(ServerUnreachable, match="whether it was done is unknown, so look before you repeat it"):
                client.cancel("x")
        finally:
            left.set()


def test_nobody_listens_and_no_such_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with client_of(port) as client, pytest.raises(ServerUnreachable, match="nothing listens at http://127"):
        client.status("x")
    with client_of(80, host="no-such-host.invalid") as client, pytest.raises(ServerUnreachable, match="is unknown"):
        client.status("x")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", folder / "key.pem", "-out", folder / "certificate.pem", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_a_certificate_that_is_not_trusted_sends_nothing(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
    with badly_serving(problem("no-such-task", "404 Not Found"), context) as server:
        for host in ("localhost", "127.0.0.1"):
            with client_of(server, "https", host) as client, pytest.raises(ServerUnreachable) as caught:
                client.status("x")
            assert "nothing was sent" in str(caught.value)
            assert "SSL_CERT_FILE" in str(caught.value)
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "certificate.pem"))  # the name is still wrong
        assert server.heads == []
        with client_of(server, "https", "localhost") as client, pytest.raises(NoSuchTask):
            client.status("x")
    no_tls = pytest.raises(ServerUnreachable, match=r"no TLS with https://.*write http://")
    with badly_serving(answer(b"{}")) as server, client_of(server, "https") as client, no_tls:
        client.status("x")


def test_a_kept_connection_that_was_closed_is_opened_again_for_what_may_be_repeated() -> None:
    told = problem("no-such-task", "404 Not Found")

    def talk(connection: socket.socket, number: int) -> bool:
        connection.sendall(told)
        return False  # closes it, and does not say so

    with badly_serving(talk) as server, client_of(server) as client:
        for _ in range(3):
            with pytest.raises(NoSuchTask):
                client.status("x")
            with pytest.raises(NoSuchTask):
                client.cancel("x")
    assert len(server.heads) == 6


def test_what_was_written_is_waited_for_by_what_is_read() -> None:
    written = answer(b'{"task_id": "x", "first": true}', more="Streamsched-Position: 3:17\r\n")
    later = answer(b'{"task_id": "x", "first": false}', more="Streamsched-Position: 3:12,5:2\r\n")
    missing = problem("no-such-task", "404 Not Found")

    def talk(connection: socket.socket, number: int) -> bool:
        connection.sendall({1: missing, 2: written, 3: later}.get(number, missing))
        return True

    body = {
        "name": "c",
        "split": {"range": {"first": 1, "last": 2, "size": 1}},
        "child": {"handler": "a:b", "args": {}},
    }
    with badly_serving(talk) as server, client_of(server) as client:
        with pytest.raises(NoSuchTask):
            client.status("x")
        assert [client.submit(body, task_id="x").first for _ in range(2)] == [True, False]
        with pytest.raises(NoSuchTask):
            client.why("x")
    asked = [head.split(" ")[:2] for head in server.heads]
    assert asked == [
        ["GET", "/v1/tasks/x"], ["PUT", "/v1/tasks/x"], ["PUT", "/v1/tasks/x"],
        ["GET", "/v1/tasks/x/why?at_least=3%3A17%2C5%3A2"],
    ]  # fmt: skip


def test_a_server_that_is_not_ready_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PATIENCE_S", 30.0)
    not_ready = problem("not-ready", "503 Service Unavailable", exit_code=3)
    missing = problem("no-such-task", "404 Not Found")

    def talk(connection: socket.socket, number: int) -> bool:
        connection.sendall(missing if number == 3 else not_ready)
        return True

    with badly_serving(talk) as server, client_of(server) as client:
        with pytest.raises(NoSuchTask):
            client.status("x")
        with pytest.raises(ServerUnreachable):  # it could be done twice
            client.cancel("x")
    assert len(server.heads) == 4


def test_an_outage_is_waited_out_by_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamsched.reach.remote.ROUND_S", 0.01)
    status = {
        "task_id": "x", "template": "c", "template_version": "1", "state": "running", "reason": "", "redrive": 0,
        "priority": 0, "origin": "http", "submitted_by": "me", "submitted_at": "2026-11-23T12:00:00.000Z",
        "started_at": None, "finished_at": None, "params": {}, "void": 0, "new_in_2031": [1],
        "children": dict.fromkeys(("total", "waiting", "queued", "running", "succeeded", "failed", "cancelled"), 0),
    }  # fmt: skip
    ended = {**status, "state": "succeeded"}
    told = {1: answer(json.dumps(status).encode()), 4: answer(json.dumps(ended).encode())}

    def talk(connection: socket.socket, number: int) -> None:
        connection.sendall(told.get(number, b""))

    with badly_serving(talk) as server, client_of(server) as client:
        assert client.wait("x").state == "succeeded"
    assert "Prefer: wait=20" in server.heads[3]


def test_the_token_is_warned_of_where_others_can_read_it(caplog: pytest.LogCaptureFixture) -> None:
    for url in ("http://jobs.example.com", "https://jobs.example.com", "http://localhost:8080"):
        Client(url=url).close()
    (record,) = caplog.records
    assert "without encryption" in record.getMessage()
    assert SECRET not in record.getMessage()
