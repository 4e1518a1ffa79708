"""`up` that is told to end while it still folds the journal."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from streamsched.cli.main import main
from streamsched.hosting import run
from streamsched.log.embedded.store import RocksStore

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_it_starts_ends_it_well(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}

    def fold(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)
        raise AssertionError("it went on")

    monkeypatch.setattr(run, "Run", fold)
    monkeypatch.setattr("sys.argv", ["streamsched", "--data-dir", str(tmp_path), "up"])
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert ended.value.code == 0


def test_a_store_whose_write_failed_closes_without_a_second_error() -> None:
    class Broken:
        def close(self) -> None:
            raise Exception("IO error: Writer has previous error.")  # what rocksdict raises

    store = object.__new__(RocksStore)
    store._db = Broken()
    store.close()
