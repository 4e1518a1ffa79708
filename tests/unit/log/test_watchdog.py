"""A process that hangs in the client ends, with its own exit code and one line."""

from __future__ import annotations

import subprocess
import sys
import time

from streamsched.log.kafka.watchdog import EXIT_CODE, Watchdog

HANG = """
import time
from streamsched.log.kafka.watchdog import Watchdog
dog = Watchdog(0.2)
with dog.over("outer"):
    with dog.over("quick"):
        pass
    time.sleep(60)
"""


def test_a_hanging_call_ends_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", HANG], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == EXIT_CODE == 70
    assert done.stderr == "streamsched: outer did not return in 0.2 s: ending this process\n"


def test_calls_that_return_end_nothing() -> None:
    dog = Watchdog(0.1)
    with dog.over("first"):
        pass
    time.sleep(0.3)
    dog.close()
