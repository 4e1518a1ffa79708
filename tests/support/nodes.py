"""Real nodes as a user starts them, and ways to end them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Nodes:
    """Processes of one installation; all that are left are killed at the end."""

    def __init__(self, brokers: str, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STREAMSCHED_")},
            "STREAMSCHED_BROKERS": brokers,
            "STREAMSCHED_DATA_DIR": str(folder / "data"),
            "PYTHONUNBUFFERED": "1",
        }
        self._processes: dict[subprocess.Popen[bytes], Path] = {}

    def run(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "streamsched", *arguments],
            cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def start(
        self, *arguments: str, env: Mapping[str, str] | None = None, log: Path | None = None,
        python: str = sys.executable,
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        """Start a node; what it says goes to a file in the folder, or to ``log``. It dies with this process.

        ``python`` is that of the version to start.
        """
        log = log or self.folder / f"{len(self._processes)}-{arguments[0]}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [python, "-m", "streamsched", *arguments],
                cwd=ROOT, env={**self.env, **(env or {})}, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                preexec_fn=_die_with_parent,
                start_new_session=True,  # Ctrl-C is for this process, which ends its nodes
            )  # fmt: skip
        self._processes[process] = log
        return process

    def codes(self) -> list[int]:
        """Wait for the end of all nodes; returns their exit codes, in the order in which they were started."""
        return [process.wait(60) for process in self._processes]

    def said_by(self, process: subprocess.Popen[bytes]) -> str:
        """Return all that one node said."""
        return self._processes[process].read_text()

    def said_by_each(self) -> list[str]:
        """Return all that the nodes said, node by node."""
        return [log.read_text() for log in self._processes.values()]

    def said(self) -> str:
        """Join what all nodes said, for a failure's message."""
        return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in self._processes.values())

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


def tell(text: str) -> None:
    """Write what was measured, for ``pytest -s``: no test depends on it."""
    sys.stdout.write(f"{text}\n")


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
