"""Files by URL: those of fsspec's own memory, and a store that speaks S3."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import fsspec
import pytest
from msgspec import convert

from streamsched.domain.options import InputFile
from streamsched.worker.sources import storage
from streamsched.worker.sources.errors import InputChanged, InputMissing
from streamsched.worker.sources.generators import GENERATORS
from streamsched.worker.sources.records import RangeRecords, check_inputs, filled

LINES = "".join(f"line {number}\n" for number in range(100))


def alive() -> None: ...


@pytest.fixture
def memory() -> Iterator[str]:
    root = f"memory://{uuid.uuid4().hex}"
    yield root
    fsspec.filesystem("memory").rm(root, recursive=True)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    storage._remote.cache_clear()
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
    yield "s3://bucket/in"
    storage._remote.cache_clear()
    server.stop()


def put(url: str, text: str) -> None:
    with fsspec.open(url, "w", skip_instance_cache=True) as file:
        file.write(text)


def entries(kind: str, globs: list[str], last: Any = None, **more: Any) -> list[Any]:
    own: dict[str, Any] = {
        "files": {"globs": globs, "count": 2, "bytes": 0},
        "bytes": {"globs": globs, "size": 100, "format": "text"},
        "lines": {"file": globs[0], "size": 30},
    }[kind]
    return list(GENERATORS[kind]({**own, "empty": False, "verify": True, **more}, last, alive))


def inputs(entry: Any) -> list[InputFile]:
    return convert(entry["inputs"], list[InputFile])


def paths(found: list[Any]) -> list[list[str]]:
    return [[of.path for of in inputs(entry)] for entry in found]


def check(root: str) -> None:
    for name in ("a.png", "b.txt", "sub/c.png", "sub/deep/d.png"):
        put(f"{root}/{name}", name)
    put(f"{root}/lines", LINES)
    found = entries("files", [f"{root}/**/*.png"])
    assert paths(found) == [[f"{root}/a.png", f"{root}/sub/c.png"], [f"{root}/sub/deep/d.png"]]
    assert found[0]["weight"] == len("a.png") + len("sub/c.png")
    assert paths(entries("files", [root], found[0], count=9)) == [[f"{root}/sub/deep/d.png"]]
    assert paths(entries("files", [f"{root}/*.txt", f"{root}/sub/c.png"])) == [[f"{root}/b.txt", f"{root}/sub/c.png"]]
    check_inputs(inputs(found[0]), alive)

    records: list[str] = []
    for entry in entries("bytes", [f"{root}/lines"]):
        with closing(RangeRecords(inputs(entry)[0], None, alive)) as mine:
            records += mine
    assert records == LINES.splitlines()
    args = [filled("\ue000items~\ue001", inputs(entry)) for entry in entries("lines", [f"{root}/lines"])]
    assert [text.count("line") for text in args] == [30, 30, 30, 10]

    put(f"{root}/a.png", "other")  # as long as before
    with pytest.raises(InputChanged, match=r"a\.png has been changed"):
        check_inputs(inputs(found[0]), alive)
    with pytest.raises(InputMissing, match="none: there is no such file"):
        entries("lines", [f"{root}/none"])
    with pytest.raises(InputMissing, match="none: there is no such file or folder"):
        entries("files", [f"{root}/none"])


def test_files_of_a_memory(memory: str) -> None:
    check(memory)


@pytest.mark.slow
def test_files_of_a_store_that_speaks_s3(s3: str) -> None:
    check(s3)


def test_an_address_that_nothing_reads_is_named() -> None:
    with pytest.raises(InputMissing, match="nothing:// cannot be read: Protocol not known"):
        entries("files", ["nothing://bucket/in"])


def test_without_fsspec_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    storage._remote.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(
        InputMissing, match=r'needs the package fsspec: install "streamsched\[files\]" where workers run'
    ):
        entries("files", ["s3://bucket/in"])
