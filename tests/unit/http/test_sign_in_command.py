"""``streamsched server --auth`` as a command: with an issuer, with a proxy, and with files that cannot be used."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.access import bearer, oidc_file, proxied, proxy_file
from tests.support.cli import LIMIT, Cli
from tests.support.http_server import Http
from tests.support.issuer import issuing

pytestmark = pytest.mark.slow


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@contextmanager
def started(cli: Cli, auth: str) -> Iterator[tuple[Http, str]]:
    """Have a server of the command line; gives what asks it, and what it said until it listened."""
    process = cli.start("server", "--http", "127.0.0.1:0", "--auth", auth, stdout=subprocess.DEVNULL)
    said = ""
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if port := re.search(r"listening on http://127.0.0.1:(\d+)", line):
                break
        else:
            raise AssertionError(said)
        yield Http(int(port[1])), said
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=LIMIT)
    assert "Traceback" not in rest
    assert process.returncode == 0


def test_an_issuer(cli: Cli, tmp_path: Path) -> None:
    with issuing() as issuer:
        oidc_file(tmp_path, issuer.url)
        with started(cli, "oidc:oidc.json") as (ask, said):
            assert "issuer" not in said
            assert ask.get("/v1/me").status == 401
            assert bearer(ask, issuer.token()).get("/v1/me").json["name"] == "ada"
        issuer.answers["/keys"] = 500, b""
        with started(cli, "oidc:oidc.json") as (ask, said):
            assert "nobody can sign in until it does" in said
            del issuer.answers["/keys"]
            assert bearer(ask, issuer.token()).get("/v1/me").json["name"] == "ada"
        oidc_file(tmp_path, f"{issuer.url}/")
        wrong = cli("server", "--http", "127.0.0.1:0", "--auth", "oidc:oidc.json", code=2).stderr
        assert f"oidc.json:1: issuer: it names itself '{issuer.url}'; write it as the issuer does" in wrong


def test_a_proxy(cli: Cli, tmp_path: Path) -> None:
    proxy_file(tmp_path)
    with started(cli, "proxy:proxy.json") as (ask, _):
        assert ask.get("/v1/me").status == 401
        assert proxied(ask, "vera").get("/v1/me").json["role"] == "viewer"


@pytest.mark.parametrize("kind", ["oidc", "proxy"])
def test_files_that_cannot_be_used(cli: Cli, tmp_path: Path, kind: str) -> None:
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "wrong.json").write_text("{")
    for name, told in {
        "none.yaml": "there is no such file", ".": "is a folder", "list.yaml": "must be an object",
        "empty.json": "is missing; write it; see docs/http.md", "wrong.json": "is not valid JSON",
    }.items():  # fmt: skip
        said = cli.here("server", "--http", "127.0.0.1:0", "--auth", f"{kind}:{name}", code=2).stderr
        assert name in said
        assert told in said
    said = cli.here("server", "--http", "127.0.0.1:0", "--auth", f"{kind}:", code=2).stderr
    assert "write none, tokens:FILE, oidc:FILE or proxy:FILE" in said


def test_the_extra_is_named_where_it_is_missing(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oidc_file(tmp_path, "https://id.example.com")
    monkeypatch.setattr(
        "streamsched.cli.server_commands.find_spec", lambda name: None if name == "joserfc" else find_spec(name)
    )
    said = cli.here("server", "--auth", "oidc:oidc.json", code=2).stderr
    assert "pip install 'streamsched[oidc]'" in json.dumps(said)
