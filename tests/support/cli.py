"""The command line as its users have it: a process, a folder, and template files."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from streamsched.cli.main import main

LIMIT = 60.0
TEMPLATES = {
    "count": ("streamsched.examples.numbers:print_numbers", '{first: "${child.first}", last: "${child.last}"}'),
    "sleep": ("streamsched.examples.bench:sleep", "{seconds: 0.4, checkpoint_every: 0.05}"),
    "long": ("streamsched.examples.bench:sleep", "{seconds: 60, checkpoint_every: 0.05}"),
    "fail": ("streamsched.examples.bench:fail", "{times: 99}"),
    "flaky": ("streamsched.examples.bench:fail", "{times: 1}"),
}


def template(folder: Path, kind: str) -> Path:
    """Write one of the templates into a folder."""
    handler, args = TEMPLATES[kind]
    path = folder / f"{kind}.yaml"
    path.write_text(
        f"name: {kind}\n"
        "params:\n"
        "  n: {type: integer, default: 4}\n"
        "  size: {type: integer, default: 1}\n"
        "split:\n"
        '  range: {first: 1, last: "${n}", size: "${size}"}\n'
        f"child:\n  handler: {handler}\n  args: {args}\n"
        "  retry: {max_attempts: 2, initial_interval: 10ms}\n"
    )
    return path


class Cli:
    """Runs commands in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("STREAMSCHED_")
        } | {"TERM": "dumb"}

    def start(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start a command."""
        command = [sys.executable, "-m", "streamsched", *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )  # fmt: skip

    def __call__(self, *arguments: str | Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which must have this exit code, and no traceback."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
        assert "Traceback" not in err, err
        assert code in (None, process.returncode), (process.returncode, out, err)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def here(self, *arguments: str | Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command in this process, which has imported everything already."""
        out, err = io.StringIO(), io.StringIO()
        words = ["streamsched", *map(str, arguments)]
        with (
            mock.patch.object(sys, "argv", words),
            mock.patch.dict(os.environ, self.environment, clear=True),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as end:
                found = end.code
        assert "Traceback" not in err.getvalue()
        assert isinstance(found, int)
        assert code in (None, found), (found, out.getvalue(), err.getvalue())
        return subprocess.CompletedProcess(words, found, out.getvalue(), err.getvalue())

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        """Run a command with ``--json`` here and read its one document."""
        return json.loads(self.here(*arguments, "--json", code=code).stdout)

    def lines(self, *arguments: str | Path) -> list[Any]:
        """Run a command with ``--json`` here and read its documents, one a line."""
        return [json.loads(line) for line in self.here(*arguments, "--json").stdout.splitlines()]

    def template(self, kind: str) -> Path:
        """Write a template into the folder."""
        return template(self.folder, kind)

    def until(self, task: str, condition: Callable[[Any], bool]) -> Any:
        """Look at a task until its status is as wanted."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            found = self.here("status", task, "--json", code=None)
            if found.returncode == 0 and condition(status := json.loads(found.stdout)):
                return status
            time.sleep(0.1)
        raise AssertionError(f"task {task} did not get there: {found.stdout}{found.stderr}")
