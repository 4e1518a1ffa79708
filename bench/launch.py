"""Run one streamsched command as it is, and tell how much of its time it waited for the broker.

``python -m bench.launch FILE COMMAND…`` writes the seconds to the file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from streamsched.cli.main import main
from streamsched.log.kafka.log import KafkaLog
from streamsched.log.kafka.reader import KafkaReader


class Meter:
    """Counts the time inside the log's calls; a call inside another counts once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    def over(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a call."""

        @wraps(call)
        def metered(*args: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            self._depth += 1
            try:
                return call(*args, **named)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - begun

        return metered


def launch(file: Path, arguments: list[str]) -> None:
    """Run the command line with a meter in the log's classes."""
    meter = Meter()
    for cls in (KafkaLog, KafkaReader):
        for name, member in list(vars(cls).items()):
            if callable(member) and (not name.startswith("_") or name == "__init__"):
                setattr(cls, name, meter.over(member))
    sys.argv = ["streamsched", *arguments]
    try:
        main()
    finally:
        file.write_text(str(meter.seconds))


if __name__ == "__main__":
    launch(Path(sys.argv[1]), sys.argv[2:])
