"""A redrive of some of a million children: what the scheduler and the client take for it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import Any, Final

import psutil
import pytest

from tests.fault.test_large_tasks import PEAK
from tests.support import life
from tests.support.nodes import ROOT, tell, until
from tests.support.site import Site

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(1200)]
CHILDREN: Final = 1_000_000
ENDED: Final = 200_000
"""Children that run before the task is cancelled: one in fifty fails."""
TEMPLATE: Final = """
name: large
params: {folder: {type: string}}
split: {range: {first: 1, last: 1000000, size: 1}}
child: {handler: "tests.support.life:odd", args: {folder: "${folder}"}}
failure: {tolerate: 100%}
"""
WATCHED: Final = """
import os, time
from pathlib import Path
from streamsched.log.journal import JournalReader
from streamsched.scheduler.node import Scheduler
whole, poll, waited = Scheduler.step, JournalReader.poll, [0.0]
def polled(self, most, timeout):
    wall, cpu = time.monotonic(), time.thread_time()
    try:
        return poll(self, most, timeout)
    finally:
        waited[0] += time.monotonic() - wall - (time.thread_time() - cpu)
def step(self, timeout):
    wall, cpu, waited[0] = time.monotonic(), time.thread_time(), 0.0
    try:
        return whole(self, timeout)
    finally:
        wall, cpu = time.monotonic() - wall - waited[0], time.thread_time() - cpu
        if wall > 0.005:
            with Path(os.environ["TURNS"]).open("a") as file:
                file.write(f"{wall:.3f} {cpu:.3f}\\n")
JournalReader.poll, Scheduler.step = polled, step
"""
"""What a scheduler imports when it starts: it notes turns of its loop that took long, but for the wait for news, in
seconds and in those of a processor.
"""
LIMIT: Final = 300 * 1024 * 1024
"""Bytes that the scheduler or a client may have resident."""


class Largest:
    """The most that a process and those below it had resident, each for itself, until it is asked."""

    def __init__(self, pid: int) -> None:
        self._node = psutil.Process(pid)
        self._asked = threading.Event()
        self._bytes = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        self._asked.set()
        self._thread.join()
        return self._bytes

    def _watch(self) -> None:
        while not self._asked.wait(0.1):
            sizes = [process.memory_info().rss for process in (self._node, *self._node.children(recursive=True))]
            self._bytes = max(self._bytes, *sizes)


def test_some_of_a_million(site: Site) -> None:
    (site.folder / "watched").mkdir()
    (site.folder / "watched" / "sitecustomize.py").write_text(WATCHED)
    turns = site.folder / "turns"
    env = {"PYTHONPATH": str(site.folder / "watched"), "TURNS": str(turns)}
    scheduler = site.nodes.start("scheduler", "--name", "s1", env=env)
    site.start("worker", "--slots", "1", "--allow", "tests.support.life", name="w1")
    (site.folder / "large.yaml").write_text(TEMPLATE)
    command(site, "submit", str(site.folder / "large.yaml"), "-p", f"folder={site.notes}", "--task-id", "large")
    until(lambda: counts(site)["succeeded"] > ENDED, 600, site.nodes.said)
    command(site, "cancel", "large")
    until(lambda: state(site) == "cancelled", 60, site.nodes.said)
    before = counts(site)
    (site.notes / life.MENDED).touch()
    for where in ("error=NonRetryable", "state=cancelled and index=700000..700999"):
        turns.write_text("")
        watched = Largest(scheduler.pid)
        begun = time.monotonic()
        peak = command(site, "redrive", "large", "--where", where)
        until(lambda: state(site) in ("succeeded", "failed"), 300, site.nodes.said)
        seconds, resident = time.monotonic() - begun, watched.stop()
        walls, cpus = zip(*(map(float, line.split()) for line in turns.read_text().splitlines()), strict=True)
        tell(f"{where}: {seconds:.1f} s, MB: scheduler {resident / 1e6:.0f}, client {peak / 1e6:.0f}")
        tell(f"  longest turns: {sorted(walls)[-3:]} s, of processor {sorted(cpus)[-3:]} s")
        assert max(resident, peak) < LIMIT
    after = counts(site)
    ran = before["succeeded"] + before["failed"]
    again = set(life.runs(site.notes))
    assert again - {*range(700_000, 701_000, 50)} <= {*range(0, ran + 20_000, 50)}
    assert len(again) == before["failed"] + 20
    assert after["succeeded"] == ran + 1_000
    assert site.nodes.run("audit", "verify", timeout=300).returncode == 0


def command(site: Site, *arguments: str) -> int:
    """Run a command to its end; returns the most that it had resident."""
    words = [sys.executable, "-c", PEAK, *arguments]
    done = subprocess.run(words, cwd=ROOT, env=site.nodes.env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1])


def status(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(site.nodes.run("status", "large", "--json").stdout)
    return found


def counts(site: Site) -> dict[str, int]:
    return dict(status(site)["children"])


def state(site: Site) -> str:
    return str(status(site)["state"])
