"""``docs/settings.md`` is held against the code: each setting, variable and option is named, and its files are read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer

from streamsched.installation import settings
from streamsched.installation.settings import load_settings
from tools.options import DOCUMENT, commands, text, written

TEXT = DOCUMENT.read_text()
SOURCE = Path(settings.__file__).parents[1]
BETWEEN_PROCESSES = {"STREAMSCHED_NODE", "STREAMSCHED_EVICT"}
"""What a node's parent says to it."""
EXAMPLES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def test_the_options_are_those_of_the_commands() -> None:
    assert written(TEXT) == TEXT, "run: make options"
    assert len(list(commands())) > 30
    assert "`--drain-timeout SECONDS` | How long a drain may take before running children are killed." in text()


def test_every_key_of_the_file_is_named_with_its_variable() -> None:
    for key in settings._KEYS:
        assert f"| `{key}` | `STREAMSCHED_{key.upper()}` |" in TEXT
    default = settings.Settings()
    assert f"| `{default.data_dir}` |" in TEXT
    assert f"| `{default.prefix}` |" in TEXT
    assert f"| `{default.child_partitions}` |" in TEXT


def test_every_variable_of_the_environment_is_named() -> None:
    used = {name for path in SOURCE.rglob("*.py") for name in re.findall(r"STREAMSCHED_[A-Z_]*[A-Z]", path.read_text())}
    assert {name for name in used - BETWEEN_PROCESSES if not re.search(rf"\b{name}\b|`{name}", TEXT)} == set()
    assert "STREAMSCHED_BROKERS" in used


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_file_that_it_shows_is_read_and_its_client_settings_are_some(number: int, tmp_path: Path) -> None:
    path = tmp_path / "streamsched.toml"
    path.write_text(EXAMPLES[number])
    loaded = load_settings(path, environ={})
    shown = tomllib.loads(EXAMPLES[number]).get("kafka", {})
    assert set(loaded.executors) == set(shown.pop("executors", {}))
    assert set(loaded.kafka) == set(shown)
    try:
        Producer({**loaded.kafka, **loaded.executors, "bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    except KafkaException as error:
        assert "No such configuration property" not in str(error)  # noqa: PT017 - the certificates are not there
        assert "Invalid value" not in str(error)  # noqa: PT017
