"""``make demo``: print the numbers 1..1,000,000 in 1,000 children on the embedded log."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STREAMSCHED = [sys.executable, "-m", "streamsched"]


def unfinished() -> str | None:
    """Find the demo that was interrupted, if there is one."""
    listed = subprocess.run([*STREAMSCHED, "list", "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    tasks = [json.loads(line) for line in listed.stdout.splitlines()]
    done = {"succeeded", "failed", "cancelled", "refused"}
    return next((t["task_id"] for t in tasks if t["task_id"].startswith("demo-") and t["state"] not in done), None)


def main() -> int:
    """Run the demo, or go on with the one that was interrupted."""
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if missing:
        print(f"{' and '.join(missing)} not found: no real Kafka here; the demo needs none, it uses the embedded log.")
    task_id = unfinished()
    if task_id:
        print(f"Going on with {task_id}, which was interrupted.")
    else:
        task_id = f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    command = [*STREAMSCHED, "run", "examples/print-numbers.yaml", "-p", "n=1000000", "--task-id", task_id]
    command += ["--http", "127.0.0.1:0"]
    print(f"$ streamsched {' '.join(command[3:])}", flush=True)
    code = finished(subprocess.Popen(command, cwd=ROOT))
    if not code:
        print("All of it, with its page, is still there: .venv/bin/streamsched up --ui", flush=True)
    return code


def finished(run: subprocess.Popen[bytes]) -> int:
    """Wait for a run; Ctrl-C, which it gets too, is its own to deal with."""
    while True:
        try:
            return run.wait()
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    sys.exit(main())
