"""Count the calls that code makes, of Python functions and of those in C: a measure of work that no machine changes."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Final

ROOT: Final = Path(__file__).parents[2]
STAND_INS: Final = tuple(
    str(ROOT / place) for place in ("tests", "src/streamsched/log/core", "src/streamsched/log/memory")
)
"""What stands for clock, executors and Kafka: the calls of it are counted, those that it makes are not."""


class Calls:
    """Counts calls by who makes them, in each block that it is the context of."""

    def __init__(self) -> None:
        self._made: Counter[CodeType] = Counter()

    def __enter__(self) -> None:
        sys.setprofile(self._note)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        sys.setprofile(None)

    def made(self) -> Counter[str]:
        """Return how many calls each function has made."""
        made: Counter[str] = Counter()
        for code, calls in self._made.items():
            if not code.co_filename.startswith(STAND_INS):
                made[f"{Path(code.co_filename).stem}.{code.co_qualname}"] += calls
        return made

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "c_call":
            self._made[frame.f_code] += 1
        elif event == "call" and frame.f_back is not None:
            self._made[frame.f_back.f_code] += 1
