from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from streamsched.examples import bench, checksum, numbers
from streamsched.testing import run_child

WITH_LIBCRYPTO = pytest.mark.skipif(
    checksum.libcrypto() is None, reason="OpenSSL's libcrypto saves the state of a SHA-256: install libssl3"
)


def test_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    args = {"first": 3, "last": 6}
    assert run_child(numbers.print_numbers, args).result == {"count": 4}
    assert run_child(numbers.print_numbers, args, resume={"resume": 2}).result == {"count": 4}
    assert capsys.readouterr().out.split() == ["3", "4", "5", "6", "5", "6"]


def test_bench() -> None:
    run_child(bench.noop, {"any": 1})
    assert run_child(bench.sleep, {"seconds": 1.0}, resume={"slept": 0.99}).result == {"slept": 1.0}
    with pytest.raises(RuntimeError, match="attempt 1"):
        run_child(bench.fail)
    assert run_child(bench.fail, attempt=2).result == {"attempt": 2}


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
    assert run_child(checksum.sha256_file, {"path": str(path)}).result == {
        "path": str(path),
        "bytes": size,
        "sha256": digest,
    }


@WITH_LIBCRYPTO
def test_the_checksum_goes_on_inside_the_file(tmp_path: Path, block: int) -> None:
    path = tmp_path / "file"
    digest = make(path, 10 * block + 5)
    state = None
    for stops in range(10):
        run = run_child(checksum.sha256_file, {"path": str(path)}, resume=state, stop_after=1)
        state = run.state
        assert run.stopped
        assert state["done"] == (stops + 1) * block
    assert run_child(checksum.sha256_file, {"path": str(path)}, resume=state).result["sha256"] == digest


@WITH_LIBCRYPTO
def test_a_file_that_changed_is_begun_anew(tmp_path: Path, block: int) -> None:
    path = tmp_path / "file"
    make(path, 3 * block)
    run = run_child(checksum.sha256_file, {"path": str(path)}, stop_after=1)
    digest = make(path, 3 * block + 1)
    assert run_child(checksum.sha256_file, {"path": str(path)}, resume=run.state).result["sha256"] == digest


@pytest.mark.usefixtures("block")
def test_without_libcrypto_it_is_still_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    digest = make(path, 5000)
    monkeypatch.setattr(checksum, "libcrypto", lambda: None)
    run = run_child(checksum.sha256_file, {"path": str(path)}, resume={"file": {}, "done": 1024, "words": "00"})
    assert run.result["sha256"] == digest
    assert not run.checkpoints


@WITH_LIBCRYPTO
def test_a_state_inside_a_block_is_refused() -> None:
    library = checksum.libcrypto()
    assert library is not None
    digest = checksum.ResumableSha256(library)
    digest.update(b"x")
    with pytest.raises(ValueError, match="64"):
        digest.words()
