"""A record at which a partition stands still, set aside over HTTP: by an admin who sees all, who is named for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamsched.http.access import Tokens
from streamsched.installation.settings import Settings
from streamsched.installation.writing import open_to_work
from streamsched.log.port import Append
from tests.support.access import as_user, token_file
from tests.support.http_server import BODY, Http, serving
from tests.unit.http.test_reading import fits

NEWER = b"\xc3\x01" + b"\xff" * 8 + b"from the future"
PATH = "/v1/dead-letters/set-aside"
THERE: dict[str, Any] = {"partition": 3, "offset": 0, "reason": "a test wrote it"}


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Http]:
    site = open_to_work(Settings(data_dir=tmp_path / "log"))
    site.log.append([Append(site.topics.events, 3, b"k", NEWER)])
    site.log.append([Append(site.topics.events, 4, b"k", b"rubbish")])
    site.close()
    with serving(tmp_path / "log", Tokens(token_file(tmp_path))) as found:
        yield found


def task_in(ada: Http, partition: int) -> str:
    """Request tasks until one is of a partition; return its address and what must be read to see it."""
    for number in range(1_000):
        reply = ada("PUT", f"/v1/tasks/t-{number}", BODY)
        if reply.headers["Streamsched-Position"].startswith(f"{partition}:"):
            return f"/v1/tasks/t-{number}?at_least={reply.headers['Streamsched-Position']}"
    raise AssertionError(f"no task is of partition {partition}")


def test_its_partition_goes_on(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = as_user(ask, "ada")
    address = task_in(ada, 3)
    with monkeypatch.context() as patch:
        patch.setattr("streamsched.http.desk.PATIENCE_S", 0.01)
        assert ada.get(address).problem == "behind"
    made = ada.post(PATH, THERE)
    told = fits(made, PATH, "post")
    assert (made.status, told["by"], told["partition"], told["offset"], told["before"]) == (201, "ada", 3, 0, False)
    again = ada.post(PATH, {**THERE, "topic": told["topic"], "reason": "another"})
    assert (again.status, again.json["before"], again.json["reason"]) == (200, True, "a test wrote it")
    assert ada.get(address).status == 200


def test_who_may_not_and_what_cannot_be(ask: Http) -> None:
    for name in ("vera", "otto", "bea", "abe"):
        refused = as_user(ask, name).post(PATH, THERE)
        assert (refused.status, refused.problem) == (403, "not-permitted")
    ada = as_user(ask, "ada")
    for wrong in ({"reason": ""}, {"reason": " "}, {"partition": 99}, {"offset": 5}, {"partition": 4},
                  {"topic": "workers"}, {"topic": "none"}, {"topic": "work-log"}):  # fmt: skip
        assert ada.post(PATH, {**THERE, **wrong}).status == 422, wrong
    assert "is not an event" in ada.post(PATH, {**THERE, "partition": 4}).json["detail"]
    assert ada.post(PATH, THERE).status == 201  # none of these has done it
