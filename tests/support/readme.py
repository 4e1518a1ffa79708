"""The README as its readers use it: its files, and its commands as they stand, in a shell."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
LIMIT = 240.0
END = "trap 'code=$?; kill $(jobs -p) 2> /dev/null || true; wait || true; exit $code' EXIT"


def blocks(section: str, language: str = "") -> list[str]:
    """Return the code of a section, by its heading and the language of the blocks."""
    text = README.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [code for named, code in fences if named == language]


def furnish(folder: Path) -> None:
    """Make the files that the README shows, and those that it finds in a checkout."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "compress.py").write_text(blocks("Your own work", "python")[0])
    (folder / "compress.yaml").write_text(blocks("Your own work", "yaml")[0])
    (folder / "nightly.yaml").write_text(blocks("Schedules", "yaml")[0])


def shell(folder: Path, script: str, **environment: str) -> str:
    """Run commands up to the first that fails, then end what they leave running; returns what they print.

    What stands for the installation, and what does not come back, is left out.
    """
    given = {name: value for name, value in os.environ.items() if not name.startswith("STREAMSCHED_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{given['PATH']}"
    lines = [
        line
        for line in script.splitlines()
        if not re.match(r"\. \.venv|make |export |streamsched worker --allow", line)
    ]
    process = subprocess.Popen(
        ["bash", "-c", "\n".join([END, "set -e", *lines])], cwd=folder, env={**given, "PATH": path, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=LIMIT)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # nothing is left where it did not come to its end
    assert "Traceback" not in said, said
    assert process.returncode == 0, said
    return said
