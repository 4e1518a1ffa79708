"""Secrets from files of their own, which only their owner should read."""

from __future__ import annotations

import logging
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from streamsched.domain.errors import InputError
from streamsched.log.secrets import is_secret

LIMIT_BYTES: Final = 64 * 1024
logger = logging.getLogger(__name__)


def from_files(kafka: Mapping[str, str]) -> dict[str, str]:
    """Read ``sasl.password.file`` and the like: each secret from a file of its own. Raise InputError."""
    values = dict(kafka)
    for name in kafka:
        secret = name.removesuffix(".file")
        if secret == name or not is_secret(secret):
            continue
        if kafka.get(secret):
            raise InputError(f"{secret} is given too", "keep one of them", source=name)
        values[secret] = read_secret(Path(values.pop(name)), secret, name)
    return values


def read_secret(path: Path, what: str, source: str) -> str:
    """Read a secret, without the end of its last line; ``what`` it is, ``source`` is what names the file.

    Raise InputError where it cannot be read, is empty, is no text, or is larger than 64 KiB.
    """
    remedy = f"name the file with the {what}"
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
        secret = data.decode().removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        reason = f"cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})"
        raise InputError(reason, remedy, source=f"{source} {path}") from None
    if not secret or len(data) > LIMIT_BYTES:
        reason = "is empty" if not data.strip() else f"is larger than {LIMIT_BYTES // 1024} KiB"
        raise InputError(reason, remedy, source=f"{source} {path}")
    warn_of_readers(path, f"is {what}")
    return secret


def warn_of_readers(path: Path, what: str) -> None:
    """Warn of a file that holds, or ``is``, a secret and that every user can read."""
    with suppress(OSError):
        if path.stat().st_mode & stat.S_IROTH:
            logger.warning("%s %s, and every user can read it: chmod 600 it", path, what)
