"""Whether what a node serves beside its work can be served here. Imports little: a node's parent asks."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from streamsched.domain.errors import InputError

if TYPE_CHECKING:
    from streamsched.installation.settings import Settings

PACKAGE: Final = "prometheus_client"


def check_extra(settings: Settings) -> None:
    """Raise InputError where metrics are wanted and cannot be told here."""
    if settings.http_port is not None and find_spec(PACKAGE) is None:
        raise InputError(
            "metrics need the package prometheus-client, which is not installed",
            "pip install 'streamsched[metrics]', or leave --http-port out",
            source="--http-port",
        )
