"""``schema`` and ``init``: what they print and write, and that it works at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamsched.files.json_schema import KINDS, json_schema
from tests.support.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_printed(cli: Cli, kind: str) -> None:
    assert json.loads(cli.here("schema", kind).stdout) == json_schema(kind)


def test_there_are_two_schemas(cli: Cli) -> None:
    said = cli.here("schema", "tmplate", code=2).stderr
    assert said == "streamsched: schema: there is no schema of 'tmplate'; choose template or schedule\n"
