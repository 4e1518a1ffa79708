"""The CPUs that a process may use, from what Linux tells of its control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamsched.cli.cpus import cpus
from streamsched.cli.options import slots_or_cpus


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def proc(tmp_path: Path, groups: str, mounts: str) -> Path:
    (tmp_path / "cgroup").write_text(groups)
    (tmp_path / "mountinfo").write_text(mounts.replace("TOP", str(tmp_path)))
    return tmp_path


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


V2 = "30 24 0:26 / TOP/cg rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "31 24 0:27 / TOP/cpu rw - cgroup cgroup rw,cpu,cpuacct\n32 24 0:28 / TOP/mem rw - cgroup cgroup rw,memory\n"


@pytest.mark.parametrize(
    ("quota", "number"), [("100000 100000", 1), ("50000 100000", 1), ("150000 100000", 2), ("max 100000", 8), ("x", 8)]
)
def test_a_quota_of_version_2(tmp_path: Path, quota: str, number: int) -> None:
    group(tmp_path / "cg/a/b", cpu__max=quota)
    assert cpus(proc(tmp_path, "0::/a/b\n", V2)).number == number


def test_the_smallest_quota_of_those_above_holds(tmp_path: Path) -> None:
    group(tmp_path / "cg/a/b", cpu__max="400000 100000")
    group(tmp_path / "cg/a", cpu__max="300000 100000")
    group(tmp_path / "cg", cpu__max="max 100000")
    found = cpus(proc(tmp_path, "0::/a/b\n", V2))
    assert found.number == 3
    assert found.reason == "the CPU quota of its control group is 3 of 8 CPUs"


@pytest.mark.parametrize(("quota", "number"), [("200000", 2), ("-1", 8), ("10000", 1)])
def test_a_quota_of_version_1(tmp_path: Path, quota: str, number: int) -> None:
    group(tmp_path / "cpu/job", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert cpus(proc(tmp_path, "5:cpu,cpuacct:/job\n3:memory:/other\n0::/x\n", V1)).number == number


def test_a_container_that_knows_its_group_by_the_hosts_name(tmp_path: Path) -> None:
    group(tmp_path / "cpu", cpu__cfs_quota_us="300000", cpu__cfs_period_us="100000")
    mounts = V1.replace("0:27 / ", "0:27 /docker/abc ")
    assert cpus(proc(tmp_path, "5:cpu:/docker/abc\n", mounts)).number == 3
    assert cpus(proc(tmp_path, "5:cpu:/elsewhere\n", mounts)).number == 3


def test_both_versions_at_once(tmp_path: Path) -> None:
    group(tmp_path / "cg/u", cpu__max="500000 100000")
    group(tmp_path / "cpu/job", cpu__cfs_quota_us="400000", cpu__cfs_period_us="100000")
    assert cpus(proc(tmp_path, "5:cpu:/job\n0::/u\n", V1 + V2)).number == 4


def test_an_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 5}, raising=False)
    assert cpus(tmp_path) == (2, "it may use 2 of the 8 CPUs (affinity)")


def test_without_limits_or_linux(tmp_path: Path) -> None:
    assert cpus(tmp_path / "nothing").number == 8


def test_what_limits_the_slots_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 5}, raising=False)
    assert slots_or_cpus(None) <= 2
    assert "slots: " in capsys.readouterr().err
    assert slots_or_cpus(7) == 7
    assert capsys.readouterr().err == ""
