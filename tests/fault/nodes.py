"""Real nodes as a user starts them, and ways to end them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Nodes:
    """Processes of one installation; all that are left are killed at the end."""

    def __init__(self, brokers: str, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **os.environ,
            "STREAMSCHED_BROKERS": brokers,
            "STREAMSCHED_DATA_DIR": str(folder / "data"),
            "PYTHONUNBUFFERED": "1",
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "streamsched", *arguments],
            cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a node; what it says goes to a file in the folder."""
        number = len(self._processes)
        with (self.folder / f"{number}-{arguments[0]}.log").open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "streamsched", *arguments], cwd=ROOT, env=self.env, stdout=out, stderr=out
            )
        self._processes.append(process)
        return process

    def said_by(self, process: subprocess.Popen[bytes]) -> str:
        """Return all that one node said."""
        number = self._processes.index(process)
        (path,) = self.folder.glob(f"{number}-*.log")
        return path.read_text()

    def said(self) -> str:
        """Join what all nodes said, for a failure's message."""
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait(10)


def until(condition: Callable[[], bool], seconds: float, said: Callable[[], str]) -> None:
    """Wait for a condition, not longer than so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain:\n{said()}"
        time.sleep(0.1)
