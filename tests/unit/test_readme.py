"""What the README shows must work, on one machine; ``tests/fault/test_readme.py`` does it on a cluster."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from streamsched.files.schedule_file import want_schedule
from streamsched.files.template_file import load_template, prepare
from tests.support.readme import README, blocks, furnish, shell

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    furnish(tmp_path)
    return tmp_path


def test_the_files_in_the_readme_can_be_used(folder: Path) -> None:
    path = folder / "compress.yaml"
    prepared = prepare(load_template(path), {"files": [f"{number}.log" for number in range(250)]}, path)
    assert prepared.plan.children == 3
    wanted = want_schedule(folder / "nightly.yaml", now=1_764_000_000_000)
    assert (wanted.schedule_id, wanted.spec.home, wanted.prepared.plan.children) == ("nightly", "Europe/Berlin", 1)


def test_the_python_in_the_readme_compiles() -> None:
    for code in (*blocks("Your own work", "python"), *blocks("In Python", "python")):
        compile(code, str(README), "exec")


def test_one_machine(folder: Path) -> None:
    once, service = blocks("One machine")
    said = shell(folder, once.replace("1000000", "20000"))
    assert "state     succeeded" in said
    assert "TaskSucceeded" in said
    said = shell(folder, service.replace("1000000", "20000"))
    assert "succeeded: 20 of 20 succeeded" in said


def test_steering(folder: Path) -> None:
    (commands,) = blocks("Steer it")
    said = shell(folder, commands)
    assert "task big is paused, the store is down" in said
    assert "parallelism 50, rate 500/s" in said
    assert "big   print-numbers  running" in said
    assert "task big: its children will be killed" in said


def test_your_own_work_and_its_schedule(folder: Path) -> None:
    (own,) = blocks("Your own work")
    said = shell(folder, own)
    assert "state     succeeded" in said
    assert gzip.decompress((folder / "in" / "b.log.gz").read_bytes()) == (folder / "in" / "b.log").read_bytes()
    client = blocks("In Python", "python")[-1].replace('brokers="127.0.0.1:9092"', 'data_dir=".streamsched"')
    (commands,) = blocks("Schedules")
    said = shell(folder, f"streamsched up --slots 2 &\npython3 - <<'END'\n{client}END\n{commands}")
    assert "0 {'files': 2}" in said
    assert "backfill 1 of schedule nightly done: 3 fired, 3 succeeded" in said
    assert "nightly@2026-11-24T01:30:00Z succeeded: 1 of 1 succeeded" in said
    assert (folder / "in" / "2026-11-25.log.gz").is_file()
