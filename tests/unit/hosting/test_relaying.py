"""What handlers print is relayed as far as the log takes it; what stands in the way is said once, and stops nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from streamsched.hosting import relaying
from streamsched.hosting.relaying import OutputWriter, place_of_copy, relay_output
from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log.port import LogError, LogUnreachable, TopicMismatch
from streamsched.worker.relay import Relay
from tests.unit.worker.test_relay import line

Answer = LogError | None
MISSING = TopicMismatch("no such topic; create the topics: streamsched topics create")


class Refusing(OutputWriter):
    """Answers as it was told, and notes what was written."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        super().__init__(Settings())
        self._answers = iter(answers)
        self.written: list[str] = []
        self.tried = 0

    def write(self, records: Sequence[tuple[str, bytes]]) -> None:
        self.tried += 1
        if (answer := next(self._answers, None)) is not None:
            raise answer
        self.written += [each.decode().split("#1 ")[-1].strip() for _, each in records]


class Turns(Event):
    """Ends after so many turns; before each of them a line comes."""

    def __init__(self, path: Path, turns: int) -> None:
        super().__init__()
        self._left, self._path = turns, path

    def wait(self, timeout: float | None = None) -> bool:
        with self._path.open("ab") as file:
            file.write(line("a[0]", str(self._left)))
        self._left -= 1
        return self._left < 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "output.log"


def relayed(path: Path, answers: Sequence[Answer], turns: int = 5) -> Refusing:
    writing = Refusing(answers)
    with closing(Relay(path, 1 << 20)) as relay:
        relay_output(relay, writing, Turns(path, turns))
    return writing


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == relaying.__name__]


def test_each_turn_writes_what_came_and_the_end_what_is_left(path: Path) -> None:
    assert relayed(path, [], 3).written == ["3", "2", "1", "0"]


def test_a_missing_topic_is_said_once_with_its_remedy_and_not_asked_for_again_soon(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writing = relayed(path, [MISSING] * 10)
    assert (writing.tried, writing.written) == (1, [])
    assert warnings(caplog) == [f"what handlers print is not kept in the log for 'logs' now: {MISSING}"]


def test_once_the_topic_is_there_it_goes_on(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "MISSING_S", 0.0)
    writing = relayed(path, [MISSING, MISSING, None])
    assert writing.written == ["3", "2", "1", "0"]
    assert len(warnings(caplog)) == 1


def test_an_outage_is_said_once_and_what_comes_after_it_is_written(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = LogUnreachable("no answer")
    writing = relayed(path, [away, away, None, away], 6)
    assert writing.written == ["4", "2", "1", "0"]
    assert len(warnings(caplog)) == 2


def test_nothing_is_copied_where_nothing_is_relayed(tmp_path: Path) -> None:
    with closing(Installation(Settings(data_dir=tmp_path), write=True)) as site:
        assert place_of_copy(site) is None
        site.settings = Settings(brokers="x:1", data_dir=tmp_path, output_rate=0)
        assert place_of_copy(site) is None
        site.settings = Settings(brokers="x:1", data_dir=tmp_path)
        one, other = place_of_copy(site), place_of_copy(site)
        assert one is not None
        assert other is not None
        assert one.parent != other.parent
        assert one.parent.stat().st_mode & 0o777 == 0o700
