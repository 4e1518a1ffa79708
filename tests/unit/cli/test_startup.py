"""A command imports what it needs and no more, on the embedded log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Cli
from tests.support.startup import HEAVY, TEMPLATES, imported

pytestmark = pytest.mark.slow


def test_status_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli("run", cli.template("count"), "--task-id", "counted")
    found = imported(cli, "status", "counted")
    assert "streamsched.view.view" in found
    assert found & (HEAVY - {"streamsched.log.core"} | TEMPLATES | {"confluent_kafka"}) == set()


def test_a_version_imports_no_command(tmp_path: Path) -> None:
    found = imported(Cli(tmp_path), "--version")
    assert "streamsched.cli.app" in found
    assert {name for name in found if name.endswith("_commands")} == set()
