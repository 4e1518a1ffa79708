"""``up`` as a service on one machine: killed, drained, started again, with clients beside it. No broker is needed."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from streamsched import Client
from streamsched.domain.events import Event
from tests.support.evidence import Job, check, read_notes
from tests.support.nodes import Nodes, until
from tests.support.site import TEMPLATE

UP = ("up", "--slots", "4", "--allow", "tests.support.handlers")


class Machine:
    """One folder, and a task in it whose children note each step."""

    def __init__(self, folder: Path) -> None:
        self.nodes = Nodes("", folder)
        self.notes = folder / "notes"
        self.notes.mkdir()
        self._template = folder / "task.yaml"
        self._job = Job("job", 0, 0)

    def up(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the service; it works when this returns."""
        process = self.nodes.start(*UP, *arguments)
        until(lambda: "up, process" in self.nodes.said_by(process), 60, self.nodes.said)
        return process

    def submit(self, children: int, steps: int, handler: str = "steps") -> None:
        """Submit the task."""
        self._job = Job("job", children, steps)
        self._template.write_text(TEMPLATE.format(handler=handler, seconds=0.1))
        given = {"children": children, "steps": steps, "folder": self.notes}
        options = [word for name, value in given.items() for word in ("-p", f"{name}={value}")]
        done = self.nodes.run("submit", str(self._template), *options, "--task-id", "job")
        assert done.returncode == 0, done.stderr

    def until_noted(self, enough: int) -> None:
        """Wait until so many steps are noted."""
        until(lambda: len(read_notes(self.notes)) >= enough, 90, self.nodes.said)

    def status(self) -> dict[str, object]:
        """Ask how the task stands."""
        found: dict[str, object] = json.loads(self.nodes.run("status", "job", "--json").stdout)
        return found

    def finish(self) -> None:
        """Wait for the end of the task, and judge it by what is left behind."""
        until(lambda: self.status()["state"] == "succeeded", 120, self.nodes.said)
        with Client(data_dir=self.nodes.env["STREAMSCHED_DATA_DIR"]) as client:
            journal = [event for _, event in client.history() if isinstance(event, Event)]
        check(journal, read_notes(self.notes), self._job)
        audit = self.nodes.run("audit", "verify")
        assert audit.returncode == 0, audit.stdout + audit.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    opened = Machine(tmp_path)
    yield opened
    opened.nodes.end()


def test_killed_again_and_again_it_goes_on_where_it_was(machine: Machine) -> None:
    machine.submit(children=40, steps=8)
    for enough in (20, 50, 80):
        service = machine.up()
        executors = psutil.Process(service.pid).children()
        machine.until_noted(enough)
        service.kill()
        service.wait(30)
        until(_gone(executors), 30, machine.nodes.said)
        assert machine.status()["state"] == "running"
    until(lambda: "start 'streamsched up'" in str(machine.status()["why"]), 60, machine.nodes.said)
    machine.up()
    machine.finish()
    assert machine.status()["why"] == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_stop_it_drains_and_exits_with_0(machine: Machine, number: signal.Signals) -> None:
    service = machine.up()
    machine.submit(children=8, steps=20)
    machine.until_noted(20)
    service.send_signal(number)
    assert service.wait(60) == 0, machine.nodes.said()
    children = [json.loads(line) for line in machine.nodes.run("children", "job", "--json").stdout.splitlines()]
    assert {child["state"] for child in children} <= {"waiting", "succeeded"}
    assert max(child["sequence"] for child in children) > 0
    machine.up()
    machine.finish()


def test_told_again_it_stops_what_does_not_listen(machine: Machine) -> None:
    service = machine.up("--drain-timeout", "600")
    machine.submit(children=4, steps=1, handler="deaf")
    machine.until_noted(4)
    executors = psutil.Process(service.pid).children()
    service.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        service.wait(1)
    done = machine.nodes.run("status", "job", "--json")  # while it drains it can be looked at, and asked
    assert json.loads(done.stdout)["state"] == "running"
    assert machine.nodes.run("submit", str(machine.notes.parent / "task.yaml"), "-p", "children=0", "-p", "steps=1",
                             "-p", "folder=x", "--task-id", "other").returncode == 0  # fmt: skip
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0, machine.nodes.said()
    until(_gone(executors), 30, machine.nodes.said)
    (machine.notes / "go").touch()
    machine.up()
    until(lambda: machine.status()["state"] == "succeeded", 120, machine.nodes.said)


def _gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    return lambda: not any(process.is_running() for process in processes)
