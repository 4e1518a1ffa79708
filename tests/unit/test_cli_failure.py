"""What becomes of failures, as users have it: which are borne and redriven, and which are not tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli_case import Cli

pytestmark = pytest.mark.unit

HANDLERS = '''
from pathlib import Path


def half(ctx, child):
    """Fail in odd children, after a checkpoint, until they are mended; then go on from it."""
    before = ctx.last_checkpoint
    if child % 2 and not Path("mended").exists():
        ctx.checkpoint({"child": child}, wait=True)
        raise ValueError(f"child {child}")
    return before
'''


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    (tmp_path / "fh.py").write_text(HANDLERS)
    return Cli(tmp_path)


def write(cli: Cli, failure: str, retry: str = "{max_attempts: 1}", handler: str = "half") -> str:
    (cli.folder / "job.yaml").write_text(
        "name: job\nsplit: {range: {first: 0, last: 5, size: 1}}\n"
        f'child: {{handler: "fh:{handler}", args: {{child: "${{child.first}}"}}, retry: {retry}}}\nfailure: {failure}\n'
    )
    return "job.yaml"


def test_failures_that_were_borne_are_redriven_from_their_checkpoints(cli: Cli) -> None:
    job = write(cli, "{tolerate: 50%}")
    cli("run", job, "--task-id", "t")
    assert cli.json("status", "t")["children"]["failed"] == 3
    (cli.folder / "mended").touch()
    cli("redrive", "t")
    cli("run", job, "--task-id", "t")
    status = cli.json("status", "t")
    assert (status["state"], status["redrive"], status["children"]["succeeded"]) == ("succeeded", 1, 6)
    results = [line["result"] for line in cli.lines("results", "t")]
    assert results == [None, {"child": 1}, None, {"child": 3}, None, {"child": 5}]
    assert [child["dispatches"] for child in cli.lines("children", "t")] == [1, 2, 1, 2, 1, 2]
    assert "nothing is left to do; do it all again with --all" in cli("redrive", "t", code=2).stderr
    cli("audit", "verify")
