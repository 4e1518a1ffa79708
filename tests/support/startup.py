"""What the commands that people wait for must not import: a script may call them a thousand times."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from tests.support.cli import LIMIT, Cli

HEAVY: Final = {
    "fastavro", "kafka", "multiprocessing", "psutil", "pyarrow", "pydantic", "rich", "zoneinfo",
    "streamsched.admin", "streamsched.audit.verify", "streamsched.cli.audit_commands",
    "streamsched.cli.schedule_commands", "streamsched.commands.schedules", "streamsched.domain.calendar",
    "streamsched.hosting",
    "streamsched.log.core", "streamsched.log.kafka.eviction", "streamsched.log.kafka.hanging",
    "streamsched.log.kafka.member", "streamsched.log.kafka.topics", "streamsched.log.kafka.writer",
    "streamsched.scheduler", "streamsched.worker",
}  # fmt: skip
"""Nothing that only looks, or only writes a request, needs any of these on Kafka."""
READING: Final = {"rocksdict", "streamsched.log.event_reader", "streamsched.view"}
TEMPLATES: Final = {"yaml", "streamsched.files.template_file"}


def imported(cli: Cli, *arguments: str) -> set[str]:
    """Run a command, which must go well, and name what it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "streamsched", *arguments],
        cwd=cli.folder, env=cli.environment, capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
