"""``scaling``, ``logs``, ``--http-port`` and ``--log-format`` as people give them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from streamsched.hosting import extra
from tests.support.cli import LIMIT, Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + LIMIT
    while not condition():
        assert monotonic() < deadline
        sleep(0.05)


def test_scaling_of_what_waits(cli: Cli) -> None:
    cli.here("submit", cli.template("count"), "-p", "n=600", "--task-id", "t")
    assert cli.json("scaling") == {"desired_slots": 1, "runnable": 1, "work_s": 1.0, "target_s": 300.0}
    assert cli.json("scaling", "--queue", "gpu")["desired_slots"] == 0
    assert cli.json("scaling", "--queue", "default", "--target", "1h30m")["target_s"] == 5_400
    assert cli.here("scaling").stdout == "1 slot: 1 child can run, 1.0 s of work, to end in 5 min 00 s\n"


@pytest.mark.parametrize("words", [("--target", "x"), ("--target", "0s"), ("--queue", "a b")])
def test_scaling_refuses(cli: Cli, words: tuple[str, str]) -> None:
    cli.here("submit", cli.template("count"))
    said = cli.here("scaling", *words, code=2)
    assert words[0] in said.stderr
    assert said.stdout == ""


def test_logs_of_a_task_that_is_unknown_or_prints_nothing(cli: Cli) -> None:
    cli.here("submit", cli.template("count"), "--task-id", "t")
    said = cli.here("logs", "t")
    assert (said.stdout, said.stderr) == ("", "nothing was printed by t, or it is no longer kept\n")
    cli.here("logs", "nobody", code=4)
    assert "is no child" in cli.here("logs", "t", "first", code=2).stderr


@pytest.mark.slow
def test_logs_are_followed_to_the_end_of_the_task(cli: Cli) -> None:
    cli.here("submit", cli.template("count"), "-p", "n=3", "--task-id", "t")
    following = cli.start("logs", "t", "--follow")
    try:
        cli("run", cli.template("count"), "-p", "n=2", "--task-id", "other")  # works on both
        cli("run", cli.template("count"), "-p", "n=3", "--task-id", "t")
        out, err = following.communicate(timeout=LIMIT)
    finally:
        following.kill()
    assert following.returncode == 0, err
    assert sorted(re.sub(r"^\S+ ", "", line) for line in out.splitlines()) == [
        "t[0]#1 1", "t[1]#1 2", "t[2]#1 3",
    ]  # fmt: skip
    assert re.sub(r"^\S+ ", "", cli.here("logs", "t", "1").stdout) == "t[1]#1 2\n"


def test_metrics_without_their_package(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda name: None)
    for words in (["--brokers", "127.0.0.1:1", "scheduler"], ["--brokers", "127.0.0.1:1", "worker"], ["up"]):
        said = cli.here(*words, "--http-port", "0", code=2)
        assert "prometheus-client" in said.stderr
        assert "streamsched[metrics]" in said.stderr


@pytest.mark.parametrize(
    ("words", "named"), [(["--http-port", "65536"], "--http-port"), (["--http-host", "a b"], "a b")]
)
def test_a_port_or_an_address_that_is_none(cli: Cli, words: list[str], named: str) -> None:
    assert named in cli.here("up", *words, code=2).stderr


@pytest.mark.slow
def test_up_is_watched(cli: Cli) -> None:
    errors = cli.folder / "errors"
    with errors.open("w") as file:
        up = cli.start("up", "--slots", "1", "--http-port", "0", stderr=file, stdout=subprocess.DEVNULL)
    try:
        until(lambda: "health and metrics at" in errors.read_text())
        found = re.search(r"http://[\d.:]+", errors.read_text())
        assert found is not None

        def answer(path: str) -> str:
            try:
                with urlopen(f"{found[0]}/{path}", timeout=20) as answered:  # noqa: S310 - our own
                    text: str = answered.read().decode()
                    return text
            except HTTPError as error:
                return str(error.code)

        until(lambda: answer("readyz") == "ready\n")
        assert answer("livez") == "live\n"
        cli("submit", cli.template("count"), "-p", "n=5", "--wait")
        assert 'streamsched_children_ended_total{outcome="completed"} 5.0' in answer("metrics")
        until(lambda: "streamsched_journal_lag_records 0.0" in answer("metrics"))
        taken = cli("up", "--http-port", found[0].rpartition(":")[2], code=2)
        assert "cannot listen on" in taken.stderr
    finally:
        up.terminate()
        assert up.wait(LIMIT) == 0


def test_logs_as_json(cli: Cli) -> None:
    config = cli.folder / "all.toml"
    config.write_text('[kafka]\n"sasl.password" = "x"\n')
    config.chmod(0o644)
    cli.here("submit", cli.template("count"))
    said = cli("--log-format", "json", "--config", config, "list").stderr
    (line,) = [json.loads(each) for each in said.splitlines() if each.startswith("{")]
    assert line["level"] == "warning"
    assert "sasl.password" in line["message"]
    assert "choose one of text, json" in cli("--log-format", "xml", "list", code=2).stderr
