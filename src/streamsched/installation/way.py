"""The way to the log: itself, or through the HTTP API of a server, with a token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from streamsched.domain.errors import InputError
from streamsched.installation.secret_files import read_secret

_URL: Final = re.compile(
    r"https?://(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]{0,500})?"
)
_TOKEN: Final = re.compile(r"[!-~]([ -~]{0,16384}[!-~])?")
_VARIABLE: Final = "STREAMSCHED_TOKEN"
_FILE_VARIABLE: Final = f"{_VARIABLE}_FILE"
_COMMAND_LINE: Final = 3


class NeedsLog(InputError):
    """It needs the log itself, and a server is set. Nothing was done."""


def needs_log(what: str, where: str) -> NeedsLog:
    """Return the error of what cannot be done through the server at ``where``."""
    return NeedsLog(
        f"{what} needs the log itself, and not {where}",
        "give --brokers HOST:PORT or --data-dir DIR, or unset STREAMSCHED_SERVER",
    )


def choose_way(values: dict[str, Any], sources: Mapping[str, str]) -> None:
    """Have a server, or a log: what is given nearer wins. Raise InputError for both on the command line."""
    if not values.get("server"):
        return
    near = {"log": 0, "server": _nearness(sources["server"])}
    for key in ("brokers", "data_dir"):
        if values.get(key):
            near["log"] = max(near["log"], _nearness(sources[key]))
    if near["log"] == near["server"] == _COMMAND_LINE:
        raise InputError("is given beside a log", "keep --server, or --brokers and --data-dir", source="--server")
    if near["log"] > near["server"]:
        del values["server"]


def _nearness(source: str) -> int:
    return _COMMAND_LINE if source.startswith("--") else 2 if source.startswith("STREAMSCHED_") else 1


def token_of(given: str, path: str, sources: Mapping[str, str], values: Mapping[str, Any]) -> str:
    """Return the token for a server, of the environment or of a file. Raise InputError."""
    if not values.get("server"):
        return ""
    name = _VARIABLE
    if given and path and sources["token_file"] == _FILE_VARIABLE:
        raise InputError(f"{_FILE_VARIABLE} is given too", "keep one of them", source=name)
    if path and not given:
        name, given = f"{sources['token_file']} {path}", read_secret(Path(path), "token", sources["token_file"])
    if given and not _TOKEN.fullmatch(given):
        raise InputError("it has characters that no token has", "give the token alone", source=name)
    return given


def check_server(value: object, source: str) -> str:
    """Check the address of a server. Raise InputError."""
    if value == "":
        return ""
    if isinstance(value, str) and "@" in value:
        remedy = "write https://HOST:PORT, and put a token into STREAMSCHED_TOKEN"
        raise InputError("an address of a server has no user in it", remedy, source=source)
    if not isinstance(value, str) or not _URL.fullmatch(value):
        raise InputError(f"invalid address {value!r}", "write https://HOST, or http://HOST:PORT", source=source)
    return value.rstrip("/")


def check_token_file(value: object, source: str) -> str:
    """Check the path of the file of a token. Raise InputError."""
    if not isinstance(value, str):
        raise InputError(f"invalid file {value!r}", "give the path of the file with the token", source=source)
    return value
