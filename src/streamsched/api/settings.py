"""Settings: from the command line, then the environment (``STREAMSCHED_…``), then a TOML file, then defaults."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from streamsched.api.errors import InputError

DEFAULT_DATA_DIR = Path(".streamsched")


class Settings(BaseSettings):
    """Where the log is and how to reach it. ``brokers`` empty means the embedded log in ``data_dir``."""

    model_config = SettingsConfigDict(env_prefix="STREAMSCHED_", extra="forbid", frozen=True)

    brokers: str = ""
    data_dir: Path = DEFAULT_DATA_DIR
    prefix: str = Field(default="streamsched", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    child_partitions: int = Field(default=64, ge=1, le=10_000)
    kafka: dict[str, str] = Field(default_factory=dict)


def load_settings(config: Path | None = None, **given: Any) -> Settings:
    """Join all sources; ``given`` are the caller's, None where it has none.

    Raises:
        InputError: a file that cannot be read, or a value that cannot be.

    """
    values: dict[str, Any] = {}
    if config is not None:
        try:
            values = tomllib.loads(config.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(str(error), "give a TOML file with a [kafka] table", source=str(config)) from error
        values["kafka"] = {key: _text(value) for key, value in values.get("kafka", {}).items()}
    try:
        from_environment = Settings().model_dump(exclude_unset=True)
        return Settings(**{**values, **from_environment, **{k: v for k, v in given.items() if v is not None}})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        remedy = "see 'streamsched --help' for the settings"
        raise InputError(f"{first['msg']} (got {first.get('input')!r})", remedy, field=field) from error


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
