"""What some tests need of the machine. Where it is missing they are skipped, and told why and what to do about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

UI: Final = Path(__file__).parents[2] / "ui"
LINUX: Final = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has what this tests: run it there")
PROMTOOL: Final = os.environ.get("PROMTOOL") or shutil.which("promtool") or ""
"""Checks files of Prometheus."""
WITH_PROMTOOL: Final = pytest.mark.skipif(
    not PROMTOOL, reason="promtool checks this: install Debian's package prometheus, or name one in PROMTOOL"
)
_RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def compiler() -> str:
    """Return where a C compiler is; skip the test where there is none."""
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        pytest.skip("a C compiler makes the program that runs here: install gcc")
    return found


def node(script: str, *args: Path, given: str = "") -> str:
    """Run a script of ``ui`` with Node, and return what it prints; skip the test where it cannot run."""
    found = shutil.which("node")
    if found is None or not (UI / "node_modules" / "esbuild").is_dir():
        pytest.skip("Node and the packages of the pages are needed: install Node, then make ui")
    command = [found, script, *map(str, args)]
    done = subprocess.run(command, cwd=UI, input=given, capture_output=True, text=True, check=True, timeout=100)
    return done.stdout


def unreadable(page: Any) -> list[str]:
    """Return what of a page some people cannot read or use, as axe finds it; skip the test where there is no axe."""
    axe = UI / "node_modules" / "axe-core" / "axe.min.js"
    if not axe.is_file():
        pytest.skip("axe says whether everybody can read a page: install Node, then make ui")
    page.evaluate(axe.read_text())
    found = page.evaluate("(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}})", _RULES)
    first = [(each["id"], each["nodes"][0]) for each in found["violations"]]
    return [f"{rule}: {node['html'][:200]}: {node['failureSummary'][:300]}" for rule, node in first]
