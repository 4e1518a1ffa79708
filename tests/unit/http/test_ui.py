"""The pages as files: they are what the sources give, small, and served so that nothing else can run in them."""

from __future__ import annotations

import gzip
import re
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.http_server import Http, serving
from tests.support.needs import UI, node

ROOT = Path(__file__).parents[3]
BUILT = ROOT / "src" / "streamsched" / "ui"
LONGEST = {".js": 60_000, ".css": 12_000}


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    with serving(tmp_path_factory.mktemp("ui") / "log") as found:
        yield found


def built() -> dict[str, bytes]:
    return {path.relative_to(BUILT).as_posix(): path.read_bytes() for path in BUILT.rglob("*") if path.is_file()}


def test_what_is_built_is_of_these_sources() -> None:
    own = ["build.mjs", "licenses.txt", "package.json", "tsconfig.json"]
    names = [path.relative_to(UI).as_posix() for path in (UI / "src").rglob("*") if path.is_file()]
    digest = sha256()
    for name in sorted(own + names):
        digest.update(f"{name}\n{sha256((UI / name).read_bytes()).hexdigest()}\n".encode())
    told = (BUILT / "sources.sha256").read_text().strip()
    assert told == digest.hexdigest(), "the sources of the pages have changed: make ui"


@pytest.mark.slow
def test_a_build_gives_the_same_bytes(tmp_path: Path) -> None:
    node("build.mjs", tmp_path)
    again = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert again == built()


def test_it_is_small() -> None:
    for kind, most in LONGEST.items():
        files = [data for name, data in built().items() if name.endswith(kind)]
        assert files
        assert sum(len(gzip.compress(data, 9)) for data in files) <= most


def test_versions_are_pinned_and_no_address_is_kept() -> None:
    package = (UI / "package.json").read_text()
    found = re.findall(r'"[@a-z/-]+": "([^"]+)"', package.partition('"dependencies"')[2])
    assert found
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", each) for each in found)
    listed = subprocess.run(["git", "ls-files", "ui"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert "lock" not in listed
    assert "node_modules" not in listed


def test_nothing_is_asked_of_another_place() -> None:
    for name, data in built().items():
        if name.endswith((".html", ".css", ".js")):
            text = data.decode()
            found = set(re.findall(r"https?://[a-z0-9./-]+|@import", text))
            assert found <= {
                "http://www.w3.org/2000/svg", "http://www.w3.org/1998/math/", "http://www.w3.org/1999/xhtml",
                "http://www.w3.org/1998/", "http://www.w3.org/1999/xlink",
            }, name  # fmt: skip
            assert not re.search(r"\beval\(|\bFunction\(|\bdocument\.write|insertAdjacentHTML|outerHTML", text), name
            assert not re.search(r'innerHTML=(?!=|""|\w+\.__html)', text), name  # Preact has these; no page uses them
    for path in (UI / "src").rglob("*.ts*"):
        assert not re.search(r"[iI]nnerHTML|\beval\b|\bFunction\(", path.read_text()), path.name


def test_files_are_served_under_a_policy(ask: Http) -> None:
    for name in built():
        path = "/" if name == "index.html" else f"/{name}"
        if name == "sources.sha256":
            assert ask.get(path).status == 404
            continue
        found = ask.get(path)
        assert (found.status, found.data) == (200, (BUILT / name).read_bytes())
        policy = found.headers["Content-Security-Policy"]
        assert (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:"
            in policy
        )
        assert "require-trusted-types-for 'script'" in policy
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        again = ask.get(path, If_None_Match=found.headers["ETag"])
        assert (again.status, again.data) == (304, b"")
    kinds = {name: ask.get(f"/assets/{name}").headers["Content-Type"] for name in ("app.js", "app.css", "icon.svg")}
    assert kinds == {
        "app.js": "text/javascript; charset=utf-8", "app.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml",
    }  # fmt: skip


def test_files_are_packed_for_who_takes_that(ask: Http) -> None:
    found = ask.get("/assets/app.js", Accept_Encoding="gzip, br")
    assert found.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(found.data) == (BUILT / "assets" / "app.js").read_bytes()
    assert "Content-Encoding" not in ask.get("/assets/app.js", Accept_Encoding="gzip;q=0").headers


def test_no_markup_holds_a_script_or_a_style(ask: Http) -> None:
    page = ask.get("/").data.decode()
    assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="/assets/app.js">']
    assert not re.search(r"<style|style=|\son\w+=|javascript:", page)
