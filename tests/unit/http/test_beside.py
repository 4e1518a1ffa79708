"""The pages beside a ``run`` or ``up``: they end with it, whatever has become of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from streamsched.cli import exits
from streamsched.cli.server_commands import address_beside, pages_beside
from streamsched.http.access import Open
from streamsched.http.service import Service, bind
from streamsched.installation.settings import Settings


def test_a_server_that_has_ended_ends_again(tmp_path: Path) -> None:
    listening, host = bind("127.0.0.1:0")
    service = Service(Settings(data_dir=tmp_path / "log"), listening, host, Open("tester"))
    assert service.run(service.stop)
    service.stop()


@pytest.mark.parametrize("ended", [True, False])
def test_a_thread_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    left: list[int] = []
    monkeypatch.setattr(exits, "_hangs", False)
    monkeypatch.setattr(os, "_exit", left.append)
    serve = Service.run

    def run(service: Service, *told: Callable[[], None]) -> bool:
        return serve(service, *told) and ended

    monkeypatch.setattr(Service, "run", run)
    with pages_beside(Settings(data_dir=tmp_path / "log"), address_beside("127.0.0.1:0", ui=False)):
        pass
    with pytest.raises(SystemExit):
        exits.leave(7)
    assert left == ([] if ended else [7])
