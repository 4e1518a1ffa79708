"""The process of one trial: ``python -m tests.mutants.trial FOLDER FIRST HISTORIES``, with the code of FOLDER."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import streamsched
from tests.simulation.runner import run


def main(folder: str, first: int, histories: int) -> None:
    """Run histories up to the first that fails, and print what became of them."""
    if not Path(str(streamsched.__file__)).resolve().is_relative_to(folder):
        raise SystemExit(f"this would try out {streamsched.__file__}, not what is in {folder}")
    report = run(range(first, first + histories))
    failure = report.failure
    print(  # noqa: T201
        json.dumps(
            {
                "passed": report.histories - (failure is not None),
                "seed": failure.seed if failure else None,
                "fault": _said(failure.faults) if failure else "",
            }
        )
    )


def _said(faults: Sequence[str]) -> str:
    """Choose the line that tells most: the first, or of a traceback the last."""
    lines = [line for line in faults if line and not line.startswith((" ", "Traceback"))]
    return lines[0] if lines else faults[-1]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
