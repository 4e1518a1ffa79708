"""What handlers start ends with their child and with their worker, however that ends; a worker may be process 1."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.needs import LINUX
from tests.support.nodes import ROOT, Nodes, until

pytestmark = [pytest.mark.kafka, LINUX]

TEMPLATE = """
name: leaves
params: {{folder: {{type: string}}}}
split: {{range: {{first: 0, last: {last}, size: 1}}}}
child:
  handler: tests.support.handlers:leaves
  args: {{folder: "${{folder}}", stay: {stay}}}
"""
WORKER = ("worker", "--slots", "1", "--allow", "tests.support.handlers", "--drain-timeout", "1")


def submit(nodes: Nodes, folder: Path, *, stay: float, last: int = 0) -> None:
    template = folder / "leaves.yaml"
    template.write_text(TEMPLATE.format(stay=stay, last=last))
    answer = nodes.run("submit", str(template), "-p", f"folder={folder}", "--task-id", "job")
    assert answer.returncode == 0, answer.stderr


def left(folder: Path) -> list[psutil.Process]:
    pids = [int(path.stem) for path in folder.glob("*.left") if path.read_text()]
    return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


def _cancel(nodes: Nodes, worker: subprocess.Popen[bytes]) -> None:
    assert nodes.run("cancel", "job").returncode == 0


def _drain(nodes: Nodes, worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()


def _kill_the_node(nodes: Nodes, worker: subprocess.Popen[bytes]) -> None:
    psutil.Process(worker.pid).children()[0].kill()


def _kill_the_parent(nodes: Nodes, worker: subprocess.Popen[bytes]) -> None:
    worker.kill()


def _kill_both(nodes: Nodes, worker: subprocess.Popen[bytes]) -> None:
    node = psutil.Process(worker.pid).children()[0]
    for process in (node, psutil.Process(worker.pid)):
        process.suspend()
    for process in (node, psutil.Process(worker.pid)):
        process.kill()


@pytest.mark.parametrize("end", [_cancel, _drain, _kill_the_node, _kill_the_parent, _kill_both])
def test_it_ends_with_the_child(
    nodes: Nodes, tmp_path: Path, end: Callable[[Nodes, subprocess.Popen[bytes]], None]
) -> None:
    nodes.start("scheduler")
    worker = nodes.start(*WORKER)
    submit(nodes, tmp_path, stay=120)
    until(lambda: bool(left(tmp_path)), 60, nodes.said)
    processes = left(tmp_path)
    end(nodes, worker)
    until(lambda: not any(process.is_running() for process in processes), 40, nodes.said)


def test_a_run_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    template = tmp_path / "leaves.yaml"
    template.write_text(TEMPLATE.format(stay=120, last=0))
    command = [sys.executable, "-m", "streamsched", "run", str(template), "-p", f"folder={tmp_path}"]
    with subprocess.Popen([*command, "--data-dir", str(tmp_path / "data")], cwd=ROOT) as run:
        until(lambda: bool(left(tmp_path)), 60, lambda: "")
        processes = [*left(tmp_path), *psutil.Process(run.pid).children(recursive=True)]
        run.kill()
    assert not psutil.wait_procs(processes, timeout=30)[1]


def _status(nodes: Nodes) -> str:
    return str(json.loads(nodes.run("status", "job", "--json").stdout or "{}").get("state"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root")
def test_a_worker_that_is_process_1_reaps_and_drains(nodes: Nodes, tmp_path: Path) -> None:
    nodes.start("scheduler")
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-m", "streamsched"]
    with (tmp_path / "pid1.log").open("wb") as log:
        outer = subprocess.Popen([*command, *WORKER], cwd=ROOT, env=nodes.env, stdout=log, stderr=log)
    try:
        submit(nodes, tmp_path, stay=0.3, last=3)
        until(lambda: _status(nodes) == "succeeded", 90, lambda: (tmp_path / "pid1.log").read_text())
        first = psutil.Process(outer.pid).children()[0]
        below = first.children(recursive=True)
        assert [process.pid for process in below if process.status() == psutil.STATUS_ZOMBIE] == []
        assert "sleep" not in [process.name() for process in below]
        first.send_signal(signal.SIGTERM)
        assert outer.wait(60) == 0
    finally:
        outer.kill()


def test_handlers_inherit_where_the_log_is_and_no_other_setting(nodes: Nodes, tmp_path: Path) -> None:
    nodes.start("scheduler")
    nodes.start(*WORKER, env={"STREAMSCHED_PASSWORD": "secret", "STREAMSCHED_LOG_LEVEL": "info"})
    template = tmp_path / "environment.yaml"
    template.write_text(
        "name: e\nsplit: {range: {first: 0, last: 0, size: 1}}\n"
        "child: {handler: 'tests.support.handlers:environment'}\n"
    )
    answer = nodes.run("submit", str(template), "--task-id", "job", "--wait")
    assert answer.returncode == 0, answer.stderr + nodes.said()
    seen = json.loads(nodes.run("results", "job", "--json").stdout.splitlines()[0])
    assert "secret" not in json.dumps(seen)
    assert "STREAMSCHED_BROKERS" in json.dumps(seen)
    assert "LOG_LEVEL" not in json.dumps(seen)
