"""How many CPUs this process may use: the machine's, its affinity, and the quotas of its control groups."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class Cpus(NamedTuple):
    """A number of CPUs, and what sets it."""

    number: int
    reason: str


def cpus(proc: Path = Path("/proc/self")) -> Cpus:
    """Return the CPUs that this process may use; a quota of 1.5 counts as 2."""
    machine = os.cpu_count() or 1
    found = Cpus(machine, "the number of CPUs")
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
        if usable < machine:
            found = Cpus(usable, f"it may use {usable} of the {machine} CPUs (affinity)")
    quota = min(_quotas(proc), default=math.inf)
    if quota < found.number:
        return Cpus(max(1, math.ceil(quota)), f"the CPU quota of its control group is {quota:g} of {machine} CPUs")
    return found


def _quotas(proc: Path) -> Iterator[float]:
    """Yield the quotas, in CPUs, of the control group and of those above it."""
    for folder, top in _folders(proc):
        for place in (folder, *folder.parents):
            with suppress(OSError, ValueError, ZeroDivisionError):
                yield _quota(place)
            if place == top:
                break


def _quota(folder: Path) -> float:
    """Read the quota of one group, of cgroup version 2 or 1."""
    if (folder / "cpu.max").exists():
        quota, period = (folder / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    limit = int((folder / "cpu.cfs_quota_us").read_text())
    return math.inf if limit <= 0 else limit / int((folder / "cpu.cfs_period_us").read_text())


def _folders(proc: Path) -> Iterator[tuple[Path, Path]]:
    """Yield our group's folder in each hierarchy that may limit CPUs, with its mount point."""
    try:
        groups = [line.split(":", 2) for line in (proc / "cgroup").read_text().splitlines()]
        mounts = [line.split() for line in (proc / "mountinfo").read_text().splitlines()]
    except OSError:
        return  # not Linux
    for mount in mounts:
        kind, options = mount[mount.index("-") + 1], mount[-1].split(",")
        if kind != "cgroup2" and not (kind == "cgroup" and "cpu" in options):
            continue
        root, top = PurePosixPath(mount[3]), Path(mount[4])
        for _, controllers, path in groups:
            if "cpu" in controllers.split(",") if kind == "cgroup" else not controllers:
                inside = PurePosixPath(path)  # in a container it may be the host's path
                yield (top / inside.relative_to(root) if inside.is_relative_to(root) else top), top
