from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from streamsched.examples import bench, checksum, numbers
from streamsched.worker.context import ChildContext, LocalTransport
from streamsched.worker.errors import StopChild


def context(state: str | None = None, attempt: int = 1) -> ChildContext:
    return ChildContext(LocalTransport(), state=state, attempt=attempt)


def state_of(ctx: ChildContext) -> str:
    told = ctx.unsaved()
    assert told is not None
    return told[0]


def test_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert numbers.print_numbers(context(), 3, 6) == {"count": 4}
    assert numbers.print_numbers(context('{"resume":2}'), 3, 6) == {"count": 4}
    assert capsys.readouterr().out.split() == ["3", "4", "5", "6", "5", "6"]


def test_bench() -> None:
    bench.noop(context(), any=1)
    assert bench.sleep(context('{"slept":0.99}'), seconds=1.0) == {"slept": 1.0}
    with pytest.raises(RuntimeError, match="attempt 1"):
        bench.fail(context())
    assert bench.fail(context(attempt=2)) == {"attempt": 2}


@pytest.fixture
def block(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(checksum, "BLOCK_BYTES", 1024)
    return 1024


def make(path: Path, size: int) -> str:
    data = bytes(i * 7 % 251 for i in range(size))
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 63, 64, 1023, 1024, 1025, 10_000])
@pytest.mark.usefixtures("block")
def test_the_checksum_is_the_true_one(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    digest = make(path, size)
    found = checksum.sha256_file(context(), str(path))
    assert found == {"path": str(path), "bytes": size, "sha256": digest}


@pytest.mark.skipif(checksum.libcrypto() is None, reason="no libcrypto whose SHA-256 can be saved")
def test_the_checksum_goes_on_inside_the_file(tmp_path: Path, block: int) -> None:
    path = tmp_path / "file"
    digest = make(path, 10 * block + 5)
    state: str | None = None
    for stops in range(10):
        ctx = context(state)
        ctx.request_stop()
        with pytest.raises(StopChild):
            checksum.sha256_file(ctx, str(path))
        state = state_of(ctx)
        assert f'"done":{(stops + 1) * block}' in state
    assert checksum.sha256_file(context(state), str(path))["sha256"] == digest


@pytest.mark.skipif(checksum.libcrypto() is None, reason="no libcrypto whose SHA-256 can be saved")
def test_a_file_that_changed_is_begun_anew(tmp_path: Path, block: int) -> None:
    path = tmp_path / "file"
    make(path, 3 * block)
    ctx = context()
    ctx.request_stop()
    with pytest.raises(StopChild):
        checksum.sha256_file(ctx, str(path))
    digest = make(path, 3 * block + 1)
    assert checksum.sha256_file(context(state_of(ctx)), str(path))["sha256"] == digest


@pytest.mark.usefixtures("block")
def test_without_libcrypto_it_is_still_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    digest = make(path, 5000)
    monkeypatch.setattr(checksum, "libcrypto", lambda: None)
    ctx = context('{"file":{},"done":1024,"words":"00"}')
    assert checksum.sha256_file(ctx, str(path))["sha256"] == digest
    assert ctx.unsaved() is None


@pytest.mark.skipif(checksum.libcrypto() is None, reason="no libcrypto whose SHA-256 can be saved")
def test_a_state_inside_a_block_is_refused() -> None:
    library = checksum.libcrypto()
    assert library is not None
    digest = checksum.ResumableSha256(library)
    digest.update(b"x")
    with pytest.raises(ValueError, match="64"):
        digest.words()
