"""The HTTP server as its users have it: a real socket, over the embedded log of a folder."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from streamsched.client import Client
from streamsched.hosting.run import run
from streamsched.http.access import Access, Open
from streamsched.http.service import Service, bind
from streamsched.installation.settings import Settings
from tests.support.cli import template

LIMIT = 60.0
COUNT: dict[str, Any] = {
    "name": "count",
    "params": {"n": {"type": "integer", "default": 4}},
    "split": {"range": {"first": 1, "last": "${n}", "size": 1}},
    "child": {
        "handler": "streamsched.examples.numbers:print_numbers",
        "args": {"first": "${child.first}", "last": "${child.last}"},
    },
}
"""A template as a request has it."""
BODY = {"template": COUNT, "params": {"n": 3}}
PAYROLL = {**BODY, "template": {**COUNT, "name": "payroll"}}
"""Requests of tasks: of that template, and of another, which some users may not touch."""


class Reply(NamedTuple):
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    data: bytes

    @property
    def json(self) -> Any:
        """Return its document."""
        return json.loads(self.data)

    @property
    def lines(self) -> list[Any]:
        """Return its documents, one a line."""
        return [json.loads(line) for line in self.data.splitlines()]

    @property
    def problem(self) -> str:
        """Return the name of the error, of an answer that is a problem document as it should be."""
        told = self.json
        assert self.headers["Content-Type"] == "application/problem+json"
        assert told["status"] == self.status
        assert told["title"]
        assert told["detail"]
        return str(told["type"]).removeprefix("/v1/errors/")


class Http:
    """Sends requests to a server; each over a connection of its own."""

    def __init__(self, port: int, headers: Mapping[str, str] = {}) -> None:
        self.port = port
        self.headers = dict(headers)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request; ``body`` is bytes, or becomes JSON. Names of headers have _ for -."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None and "Content-Type" not in given:
            given["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            connection.request(method, path, data, {**self.headers, **given})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        """Look."""
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Reply:
        """Do."""
        return self("POST", path, body, **headers)

    @contextmanager
    def stream(self, path: str, **headers: str) -> Iterator[Iterator[dict[str, str]]]:
        """Open a stream of events, each with its fields."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers={**self.headers, **given})
        response = connection.getresponse()
        try:
            assert response.status == 200, response.read()
            assert response.headers["Content-Type"].startswith("text/event-stream")
            yield _messages(response)
        finally:
            response.close()
            connection.close()


def _messages(response: http.client.HTTPResponse) -> Iterator[dict[str, str]]:
    message: dict[str, str] = {}
    for line in response:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            message[name] = value
            continue
        if "data" in message:
            yield message
        message = {}


@contextmanager
def serving(
    where: Path | Settings,
    access: Access | Callable[[int], Access] | None = None,
    names: tuple[str, ...] = (),
    *,
    folded: bool = True,
) -> Iterator[Http]:
    """Serve on a free port, in a thread, for as long as the block lasts; ``where`` is the folder of an embedded log.

    ``access`` may be made for the port. ``folded``: wait until it has folded the journal; else until it listens.
    """
    listening, host = bind("127.0.0.1:0")
    port = int(listening.getsockname()[1])
    access = access(port) if callable(access) else access
    settings = Settings(data_dir=where) if isinstance(where, Path) else where
    service = Service(settings, listening, host, access or Open("tester"), names)
    listens, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=service.run, args=(listens.set, ready.set))
    thread.start()
    try:
        assert (ready if folded else listens).wait(LIMIT)
        yield Http(port)
    finally:
        service.stop()
        thread.join(LIMIT)
    assert not thread.is_alive()


def furnish(place: Path, log: Path, children: int) -> None:
    """Make a task that succeeds (``good``), one that fails (``bad``), one that waits (``idle``), and a schedule."""
    run(template(place, "count"), {"n": children}, task_id="good", labels={"team": "data"}, data_dir=log)
    failing = template(place, "fail")
    failing.write_text(f"{failing.read_text()}failure: {{on: run_all}}\n")
    run(failing, {"n": 3}, task_id="bad", data_dir=log)
    (place / "hourly.yaml").write_text("interval: 1h\ntemplate: count.yaml\n")
    with Client(data_dir=log) as client:
        client.submit(template(place, "count"), {"n": 5}, task_id="idle")
        client.create_schedule(place / "hourly.yaml")
