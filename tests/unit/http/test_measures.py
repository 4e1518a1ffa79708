"""The metrics of a server: what it has folded, its requests by their addresses, and nothing of what was sent."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamsched.client import Client
from streamsched.hosting.run import run
from streamsched.http import measures
from streamsched.http.access import Tokens
from streamsched.http.desk import Desk
from streamsched.http.measures import Measures
from streamsched.http.streams import Streams
from streamsched.installation.settings import Settings
from streamsched.runtime import metrics
from streamsched.version import __version__
from tests.support.access import as_user, token_file
from tests.support.cli import template
from tests.support.http_server import BODY, COUNT, LIMIT, Http, furnish, serving

REQUESTS = "streamsched_server_request_seconds_count"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("measures")
    furnish(place, place / "log", 4)
    return place / "log"


@pytest.fixture(scope="module")
def ask(folder: Path) -> Iterator[Http]:
    with serving(folder) as found:
        yield found


def values(ask: Http) -> dict[tuple[str, ...], float]:
    """Read all metrics, by name and the values of their labels in the order of the labels' names."""
    found = ask.get("/metrics")
    assert (found.status, found.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(found.data.decode())
        for sample in family.samples
    }


def test_what_was_folded_is_told(ask: Http) -> None:
    found = values(ask)
    assert found["streamsched_server_tasks", "requested"] == 1, "idle, the only one that has not ended"
    children = {key[1:]: value for key, value in found.items() if key[0] == "streamsched_server_children"}
    assert {template for _, template in children} == {"count"}
    assert found["streamsched_server_desired_slots",] == ask.get("/v1/scaling").json["desired_slots"] == 1
    assert found["streamsched_server_remaining_work_seconds",] == ask.get("/v1/scaling").json["work_s"]
    assert found["streamsched_server_journal_lag_records",] == 0
    assert found["streamsched_server_journal_age_seconds",] < 60
    assert found["streamsched_build_info", __version__] == 1
    assert found["process_resident_memory_bytes",] > 0


def test_children_are_told_by_state_and_template(tmp_path: Path) -> None:
    run(template(tmp_path, "count"), {"n": 5}, task_id="done", data_dir=tmp_path / "log")
    with Client(data_dir=tmp_path / "log") as client:
        client.redrive("done", everything=True)
    with serving(tmp_path / "log") as ask:
        found = values(ask)
        children = {key[1:]: value for key, value in found.items() if key[0] == "streamsched_server_children" and value}
        assert children == {("waiting", "count"): 5}


def test_a_write_shows_in_what_is_told(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as ask:
        assert not [key for key in values(ask) if key[0] == "streamsched_server_tasks"]
        position = ask("PUT", "/v1/tasks/mine", BODY).headers["Streamsched-Position"]
        assert ask.get(f"/v1/tasks/mine?at_least={position}").status == 200
        assert values(ask)["streamsched_server_tasks", "requested"] == 1


def test_requests_are_counted_by_their_address_in_the_table_and_how_they_were_answered(ask: Http) -> None:
    before = values(ask)
    hostile = "nobody-7f3a"
    for path in ("/v1/tasks/good", "/v1/tasks/bad", f"/v1/tasks/{hostile}", f"/v1/tasks/good?colour={hostile}",
                 f"/{hostile}", f"/v1/{hostile}/x", "/", "/openapi.json"):  # fmt: skip
        ask.get(path)
    ask("PUT", "/v1/tasks/good", b"{")
    ask("DELETE", "/v1/tasks/good")
    ask("BREW", "/v1/tasks")
    ask.get("/v1/tasks", Host=f"{hostile}.example.com")
    ask("HEAD", "/v1/tasks/good")
    after = values(ask)
    grown = {
        key[1:]: value - before.get(key, 0) for key, value in after.items()
        if key[0] == REQUESTS and value != before.get(key, 0)
    }  # fmt: skip
    assert grown == {
        ("GET", "/v1/tasks/{id}", "2xx"): 2, ("GET", "/v1/tasks/{id}", "4xx"): 2, ("HEAD", "/v1/tasks/{id}", "2xx"): 1,
        ("PUT", "/v1/tasks/{id}", "4xx"): 1, ("GET", "pages", "2xx"): 2, ("GET", "pages", "4xx"): 3,
        ("DELETE", "pages", "4xx"): 1, ("other", "pages", "4xx"): 1, ("GET", "/metrics", "2xx"): 1,
    }  # fmt: skip
    assert hostile not in ask.get("/metrics").data.decode()
    assert after["streamsched_server_request_seconds_sum", "GET", "/v1/tasks/{id}", "2xx"] > 0


def test_streams_are_counted_while_they_are_open(ask: Http) -> None:
    assert values(ask)["streamsched_server_streams",] == 0
    with ask.stream("/v1/tasks/idle/events") as messages:
        next(messages)
        assert values(ask)["streamsched_server_streams",] == 1


def test_templates_beyond_the_first_hundred_are_one(ask: Http, folder: Path) -> None:
    for number in range(103):
        wanted = {"template": {**COUNT, "name": f"t{number:03}"}}
        position = ask("PUT", f"/v1/tasks/many-{number}", wanted).headers["Streamsched-Position"]
        assert ask.get(f"/v1/tasks/many-{number}?at_least={position}").status == 200
    told = {key[2] for key in values(ask) if key[0] == "streamsched_server_children"}
    assert len(told) == 101
    assert {"other", "count"} < told


def test_names_are_those_of_servers_alone(ask: Http) -> None:
    """A sum over all processes must not count what schedulers count, too."""
    own = {re.sub(r"_(bucket|count|sum)$", "", key[0]) for key in values(ask) if key[0].startswith("streamsched_")}
    assert own - {"streamsched_build_info"} <= {each.name for each in metrics.OF_SERVER}
    assert not {each.name for each in metrics.OF_SERVER} & {each.name for each in metrics.OF_NODES}


def test_with_tokens_a_viewer_may_ask_who_is_not_bounded_to_some_templates(tmp_path: Path) -> None:
    path = token_file(tmp_path)
    path.write_text(f"{path.read_text()}vic:viewer:{sha256(b'token of vic').hexdigest()}:count\n")
    with serving(tmp_path / "log", Tokens(path)) as ask:
        assert ask.get("/metrics").problem == "not-authenticated"
        assert as_user(ask, "vera").get("/metrics").status == 200
        assert as_user(ask, "otto").get("/metrics").status == 200
        for bounded in ("vic", "bea", "abe"):
            assert as_user(ask, bounded).get("/metrics").problem == "not-permitted"


def test_while_the_log_is_away_the_rest_is_told(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Desk, "trouble", "the broker is away")
    found = values(ask)
    assert ("streamsched_server_journal_lag_records",) not in found
    assert found["streamsched_server_tasks", "requested"] >= 1


def test_a_log_that_hangs_holds_up_no_scrape(ask: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(measures, "LOOK_S", 0.05)
    monkeypatch.setattr(measures, "_ends", lambda _: answers.wait(LIMIT))
    found = values(ask)
    answers.set()
    assert ("streamsched_server_journal_lag_records",) not in found
    assert found["streamsched_server_tasks", "requested"] >= 1


def test_while_the_journal_is_folded_it_is_told_how_far(tmp_path: Path) -> None:
    desk = Desk(Settings(data_dir=tmp_path / "log"), lambda change, session: None)
    desk.folding = (30, 100)
    text = asyncio.run(Measures(desk, Streams()).text()).decode()
    assert "streamsched_server_journal_lag_records 70.0\n" in text
    assert "streamsched_server_tasks{" not in text
