"""The settings of a command: its options and the global ones, with environment, file and defaults."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from streamsched.installation.settings import Settings


def settings_of(context: typer.Context, **own: Any) -> Settings:
    """Join the settings of a command that needs the log itself. Raise NeedsLog where a server is set."""
    settings = all_settings_of(context, **own)
    settings.need_log(f"'{context.command_path}'")
    return settings


def all_settings_of(context: typer.Context, **own: Any) -> Settings:
    """Join all sources of settings; ``own`` are options of this command."""
    from streamsched.installation.settings import load_settings

    given = context.ensure_object(dict)
    config = given.get("config")
    return load_settings(
        Path(config) if config else None,
        brokers=given.get("brokers"),
        data_dir=given.get("data_dir"),
        prefix=given.get("prefix"),
        server=given.get("server"),
        **own,
    )
