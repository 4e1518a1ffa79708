"""Addresses that people guess lead a browser to the page, and to no other server; API clients get a problem."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.http_server import Http, serving

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    with serving(tmp_path_factory.mktemp("guesses") / "log") as found:
        yield found


@pytest.mark.parametrize(
    ("guess", "page"),
    [
        ("/tasks/big", "/#/tasks/big"),
        ("/task/big", "/#/tasks/big"),
        ("/tasks", "/#/tasks"),
        ("/tasks/?state=failed&label=a%3Db", "/#/tasks?state=failed&label=a%3Db"),
        ("/tasks/nightly@2026-11-24T01:30:00Z", "/#/tasks/nightly%402026-11-24T01%3A30%3A00Z"),
        ("/tasks/a/children/7", "/#/tasks/a/children/7"),
        ("/schedules", "/#/schedules"),
        ("/schedule/nightly", "/#/schedules/nightly"),
        ("/nodes", "/#/nodes"),
        ("/dead-letters/0", "/#/dead-letters/0"),
        ("/new", "/#/new"),
        ("/index.html", "/#/"),
        ("/tasks/%22%3E%3Cscript%3E", "/#/tasks/%22%3E%3Cscript%3E"),
        ("/tasks/%0d%0aSet-Cookie:%20a=b", "/#/tasks/%0D%0ASet-Cookie%3A%20a%3Db"),
        ("/tasks/%2F%2Fevil.example", "/#/tasks/%2F%2Fevil.example"),
        ("/tasks/%ff%c3%a9", "/#/tasks/%FF%C3%A9"),
        (
            "/tasks/https:%5C%5Cevil.example?to=//evil.example",
            "/#/tasks/https%3A%5C%5Cevil.example?to=%2F%2Fevil.example",
        ),
    ],
)
def test_a_browser_is_led_to_the_page(ask: Http, guess: str, page: str) -> None:
    found = ask("GET", guess, Accept=HTML)
    assert (found.status, found.headers["Location"], found.data) == (303, page, b"")
    assert "Accept" in found.headers["Vary"]
    assert found.headers["Cache-Control"] == "no-store"
    told = ask("GET", guess, Accept="application/json")
    assert (told.status, told.problem) == (404, "no-such-page")


@pytest.mark.parametrize(
    "address",
    [
        "/nothing", "//evil.example", "//evil.example/tasks", "/tasks/a/b/c/d", f"/tasks/{'a' * 2_100}", "/v1/nothing",
        "/TASKS", "/%74asks%2Fa", "/\\evil.example", "/assets/nothing.js", "/.", "/%ff",
    ],
)  # fmt: skip
def test_what_is_no_guess_stays_a_problem(ask: Http, address: str) -> None:
    found = ask("GET", address, Accept=HTML)
    assert (found.status, found.problem) == (404, "no-such-page")
    assert "Location" not in found.headers


def test_only_reading_is_led_elsewhere(ask: Http) -> None:
    assert ask("POST", "/tasks/a", b"{}", Accept=HTML).status == 404
    assert ask("HEAD", "/tasks/a", Accept=HTML).status == 303
