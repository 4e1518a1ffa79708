"""Users whom a proxy names: only what it sends itself counts, and each mistake in its file is told."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamsched.domain.errors import InputError
from streamsched.http.proxied import Proxied
from tests.support.access import PROXY_SECRET, proxied, proxy_file, two_tasks
from tests.support.http_server import BODY, Http, serving


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    folder = tmp_path_factory.mktemp("proxy")
    with serving(folder / "log", Proxied(proxy_file(folder))) as found:
        yield found


def status(ask: Http, *headers: tuple[str, str | bytes]) -> int:
    """Return the status of GET /v1/me with exactly these headers, beside the host."""
    connection = http.client.HTTPConnection("127.0.0.1", ask.port, timeout=60)
    try:
        connection.putrequest("GET", "/v1/me")
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


OWN = (("X-Proxy-Secret", PROXY_SECRET), ("X-Remote-User", "vera"))


def test_the_proxy_names_the_user_and_the_groups(ask: Http) -> None:
    assert proxied(ask, "ada", "staff, admins").get("/v1/me").json == {"name": "ada", "role": "admin", "within": ""}
    assert proxied(ask, "vera").get("/v1/me").json["role"] == "viewer"
    assert proxied(ask, "Zoë", "counters").get("/v1/me", X_Remote_User="Zoë".encode().decode("latin-1")).json == {
        "name": "Zoë", "role": "operator", "within": "count",
    }  # fmt: skip
    refused = proxied(ask, "eve", "admin,Admins,counter").get("/v1/me")
    assert (refused.status, refused.problem) == (403, "not-permitted")
    assert ask.get("/livez").status == ask.get("/").status == 200
    assert ask.get("/v1/session").json == {"kind": "proxy", "sign_in": None, "title": None}
    assert ask.get("/v1/session/begin").problem == "no-such-page"


def test_the_first_line_that_fits_decides(tmp_path: Path) -> None:
    roles = [{"group": "b", "role": "viewer"}, {"group": "a", "role": "admin"}, {"role": "viewer", "within": "count"}]
    with serving(tmp_path / "log", Proxied(proxy_file(tmp_path, roles=roles))) as ask:
        assert proxied(ask, "ada", "a,b").get("/v1/me").json["role"] == "viewer"
        assert proxied(ask, "ada", "a").get("/v1/me").json["role"] == "admin"
        assert proxied(ask, "ada").get("/v1/me").json == {"name": "ada", "role": "viewer", "within": "count"}


def test_what_a_user_of_some_templates_may_is_bounded_and_signed(ask: Http) -> None:
    ada, bea = proxied(ask, "ada", "admins"), proxied(ask, "bea", "counters")
    assert {each["template"] for each in bea.get(f"/v1/tasks?at_least={two_tasks(ada)}").json["items"]} == {"count"}
    assert bea.get("/v1/tasks/other").problem == bea.post("/v1/tasks/other/cancel").problem == "no-such-task"
    assert bea("PUT", "/v1/tasks/new", BODY).problem == "not-permitted"
    assert bea.post("/v1/tasks/mine/pause").status == 200
    assert [each["by"] for each in ada.get("/v1/tasks/mine/history").lines] == ["ada", "bea"]


def test_without_the_secret_of_the_proxy_nothing_is_told(ask: Http) -> None:
    assert status(ask, *OWN) == 200
    for wrong in ("", "wrong", PROXY_SECRET[:-1], f"{PROXY_SECRET}x", PROXY_SECRET.upper()):
        assert status(ask, ("X-Proxy-Secret", wrong), OWN[1]) == 401
    assert status(ask, OWN[1]) == status(ask) == status(ask, OWN[0]) == 401
    assert status(ask, ("Authorization", f"Bearer {PROXY_SECRET}"), OWN[1]) == 401
    assert Http(ask.port, dict([OWN[1]])).get("/v1/events").problem == "not-authenticated"


@pytest.mark.parametrize("more", [
    ("X-Remote-User", "ada"), ("X-Remote-User", ""), ("x-remote-user", "vera"), ("X_Remote_User", "ada"),
    ("X-Remote_User", "ada"), ("X_REMOTE_GROUPS", "admins"), ("X_Proxy_Secret", PROXY_SECRET),
    ("X-Proxy-Secret", PROXY_SECRET), ("Connection", "close, X-Remote-User"), ("Connection", "x-remote-groups"),
])  # fmt: skip
def test_a_header_that_stands_twice_or_in_disguise_is_refused(ask: Http, more: tuple[str, str]) -> None:
    assert status(ask, *OWN, more) == status(ask, more, *OWN) == 401


def test_groups_that_stand_twice_are_refused(ask: Http) -> None:
    assert status(ask, *OWN, ("X-Remote-Groups", "a"), ("X-Remote-Groups", "admins")) == 401


@pytest.mark.parametrize("name", [
    "", " ", "ada, eve", "ada,", "a\tb", "ada\x01", "ada\x7f", b"\xff\xfe", "ada\u202e".encode(), "\u2800".encode(),
    "a" * 101, b"ada\xc2\xa0" + "\u200b".encode(),
])  # fmt: skip
def test_what_is_no_name_of_one_user_is_refused(ask: Http, name: str | bytes) -> None:
    assert status(ask, OWN[0], ("X-Remote-User", name), ("X-Remote-Groups", "admins")) in (400, 401)


@pytest.mark.parametrize("groups", ["admins\x01", b"\xff", "a,\u202eb".encode(), ",".join(map(str, range(1_001)))])
def test_what_are_no_groups_is_refused(ask: Http, groups: str | bytes) -> None:
    assert status(ask, *OWN, ("X-Remote-Groups", groups)) in (400, 401)


@pytest.mark.parametrize("networks", [["10.0.0.0/8"], ["127.0.0.2/32", "::1/128"]])
def test_another_network_is_refused(tmp_path: Path, networks: list[str]) -> None:
    with serving(tmp_path / "log", Proxied(proxy_file(tmp_path, networks=networks))) as ask:
        found = proxied(ask, "ada", "admins", X_Forwarded_For="10.0.0.1", Forwarded="for=127.0.0.2").get("/v1/me")
        assert (found.status, found.problem) == (401, "not-authenticated")
        assert "network" in found.json["detail"]


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"networks": []}, "networks: there is no network"),
    ({"networks": ["10.0.0.1/8"]}, r"networks\[0\]: is no network"),
    ({"networks": ["::1", "0.0.0.0/0"]}, r"networks\[1\]: is every address"), ({"networks": "127.0.0.1"}, "networks: "),
    ({"user_header": "X_Remote_User"}, "user_header: .* is no name"),
    ({"user_header": "Host"}, "user_header: Host means"),
    ({"groups_header": "x-remote-user"}, "same name"), ({"secret_header": None}, "secret_header: does not fit"),
    ({"secret_file": "none.txt"}, "secret_file .*cannot be read"), ({"secret_file": "short.txt"}, "16 characters"),
    ({"roles": []}, "roles: there is no role"), ({"roles": [{"group": "a"}]}, r"roles\[0\].role: is missing"),
    ({"roles": [{"group": "a", "role": "king"}]}, r"roles\[0\].role: does not fit: invalid enum value 'king'"),
    ({"roles": [{"grop": "a", "role": "admin"}]}, r"roles\[0\].grop: is not a field here; did you mean group\?"),
    ({"roles": [{"group": "a", "user": "b", "role": "admin"}]}, r"roles\[0\]: is for a group and for a user"),
    ({"roles": [{"group": " ", "role": "admin"}]}, r"roles\[0\].group: is not a name"),
    ({"roles": [{"role": "viewer"}, {"group": "a", "role": "admin"}]}, r"roles\[1\]: is behind a line for everybody"),
    ({"groups_header": None}, r"roles\[0\].group: no groups are known without groups_header"),
    ({"user_haeder": "a"}, "user_haeder: is not a field here; did you mean user_header"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "told"), MISTAKES)
def test_a_mistake_in_the_file_is_told(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    (tmp_path / "short.txt").write_text("hunter2\n")
    with pytest.raises(InputError, match=f"proxy.json.*{told}"):
        Proxied(proxy_file(tmp_path, **changed))


def test_yaml_is_read_too_with_the_line_of_a_mistake(tmp_path: Path) -> None:
    proxy_file(tmp_path)
    path = tmp_path / "proxy.yaml"
    text = (
        "networks: [127.0.0.1/32]\nsecret_header: X-Proxy-Secret\nsecret_file: secret.txt\n"
        "user_header: X-Remote-User\nroles:\n  - {user: vera, role: viewer}\n"
    )
    path.write_text(text)
    Proxied(path)
    path.write_text(text + "  - {user: ada, role: king}\n")
    with pytest.raises(InputError, match=r"proxy.yaml:7: roles\[1\].role"):
        Proxied(path)
    for wrong in ("[1]\n", "a: [\n"):
        path.write_text(wrong)
        with pytest.raises(InputError, match=r"proxy\.yaml"):
            Proxied(path)
