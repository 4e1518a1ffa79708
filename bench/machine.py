"""Where and with what a run was made: without it figures cannot be compared."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from streamsched.version import __version__
from tools.broker import KAFKA, ROOT


def describe() -> dict[str, Any]:
    """Return the machine, the versions, the commit, and how busy the machine is before the run."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(
            _git("status", "--porcelain", "--untracked-files=no", "--", "src", "bench", "schemas", "tools")
        ),
        "machine": {
            "cores": os.cpu_count(),
            "processor": _processor(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "system": platform.platform(),
        },
        "versions": {
            "streamsched": __version__,
            "python": platform.python_version(),
            "kafka": KAFKA,
            **{name: version(name) for name in ("confluent-kafka", "fastavro", "msgspec", "rocksdict")},
        },
        "busy": busy(),
    }


def busy() -> dict[str, float]:
    """Return the mean load of the last minute, and the share of all cores that is taken now, in percent."""
    return {"load_1m": round(os.getloadavg()[0], 2), "cpu_pct": psutil.cpu_percent(interval=1.0)}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
