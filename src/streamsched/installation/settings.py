"""Settings: from the command line, then the environment (``STREAMSCHED_…``), then a TOML file, then defaults.

Plain data, checked by hand: every command reads them, and pydantic would cost each of them a tenth of a second.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from streamsched.domain import size
from streamsched.domain.errors import InputError
from streamsched.domain.routing import COMMAND, problem_of_pattern
from streamsched.log.secrets import KafkaSettings, is_secret

DEFAULT_DATA_DIR: Final = Path(".streamsched")
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_KAFKA: Final = "STREAMSCHED_KAFKA_"
_EMIT: Final = "STREAMSCHED_EMIT_TOPICS"
_SECRET_BYTES: Final = 64 * 1024
_TOPICS: Final = re.compile(r"[A-Za-z0-9._*-]{1,249}")
_KEYS: Final = ("brokers", "data_dir", "prefix", "child_partitions", "allow_command", "plan_limit")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the log is and how to reach it. Empty ``brokers`` mean the embedded log in ``data_dir``."""

    brokers: str = ""
    data_dir: Path = DEFAULT_DATA_DIR
    prefix: str = "streamsched"
    child_partitions: int = 64
    allow_command: tuple[str, ...] = ()
    """Patterns (``domain.routing``) of the programs that a worker may run, where its command line names none."""
    plan_limit: int = 256 * 1024 * 1024
    """Bytes that all entries of a split child may have: it runs on a worker with this setting."""
    kafka: Mapping[str, str] = field(default_factory=KafkaSettings)
    executors: Mapping[str, str] = field(default_factory=KafkaSettings)
    """What stands in place of settings of ``kafka`` where handlers run, which only read."""
    emit: tuple[str, ...] = ()
    """Topics that handlers may write to: names, with ``*`` for any characters."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kafka", KafkaSettings(self.kafka))
        object.__setattr__(self, "executors", KafkaSettings(self.executors))

    @property
    def where(self) -> str:
        """The log's name in a sentence."""
        return f"the cluster {self.brokers}" if self.brokers else f"the embedded log in {self.data_dir}"

    def fetching(self, seconds: float) -> Settings:
        """Return settings with which a fetch waits at the broker this long; the default asks twenty times a second."""
        return replace(self, kafka={"fetch.wait.max.ms": str(round(1000 * seconds)), **self.kafka})


def load_settings(config: Path | None = None, *, environ: Mapping[str, str] = os.environ, **given: Any) -> Settings:
    """Join all sources; ``given`` are the caller's, None for those without a value. Raise InputError."""
    if config is None and environ.get("STREAMSCHED_CONFIG"):
        config = Path(environ["STREAMSCHED_CONFIG"])
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if config is not None:
        values = _read(config)
        sources = dict.fromkeys(values, str(config))
    kafka = {**values.get("kafka", {}), **_of_environment(environ)}
    if kafka:
        values["kafka"] = _from_files(kafka)
    if "executors" in values:
        values["executors"] = _from_files(values["executors"])
    for key in _KEYS:
        name = f"STREAMSCHED_{key.upper()}"
        if environ.get(name):
            values[key], sources[key] = environ[name], name
        if given.get(key) is not None:
            values[key], sources[key] = given[key], f"--{key.replace('_', '-')}"
    if environ.get(_EMIT):
        values["emit"] = _topics(environ[_EMIT].split(","), _EMIT, "")
    for key, check in _CHECKS.items():
        if key in values:
            values[key] = check(values[key], sources[key])
    return Settings(**values)


def refuse_embedded(settings: Settings, command: str) -> None:
    """Raise InputError for a command that needs a broker, if none is given."""
    if not settings.brokers:
        raise InputError(
            f"'{command}' needs a Kafka broker, and none is given",
            "use 'streamsched run' or 'up' for the embedded log, or give --brokers HOST:PORT (or STREAMSCHED_BROKERS)",
        )


def _read(config: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(config.read_bytes().decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(reason, "give a readable TOML file (docs/settings.md)", source=str(config)) from error
    for key in values:
        if key not in (*_KEYS, "kafka", "emit"):
            remedy = f"there are {', '.join(_KEYS)} and the tables [kafka] and [emit]"
            raise InputError("is an unknown setting", remedy, source=str(config), field=key)
    table = values.get("kafka", {})
    executors = table.pop("executors", {}) if isinstance(table, dict) else {}
    return {
        **values,
        "kafka": _kafka(table, config, "kafka"),
        "executors": _kafka(executors, config, "kafka.executors"),
        "emit": _emit(values.get("emit", {}), config),
    }


def _emit(table: object, config: Path) -> tuple[str, ...]:
    """Check the table of what handlers may write to."""
    if not isinstance(table, dict) or table.keys() - {"topics"}:
        raise InputError("must be a table with topics", 'write topics = ["NAME"]', source=str(config), field="emit")
    return _topics(table.get("topics", []), str(config), "emit.topics")


def _topics(names: object, source: str, field: str) -> tuple[str, ...]:
    """Check names of topics, or patterns of names."""
    if not isinstance(names, list) or not all(isinstance(name, str) and _TOPICS.fullmatch(name) for name in names):
        remedy = "list names of topics: letters, digits, '.', '_', '-', and '*' for any characters"
        raise InputError(f"invalid topics {str(names)[:200]}", remedy, source=source, field=field)
    return tuple(names)


def _kafka(table: object, config: Path, name: str) -> dict[str, str]:
    """Check a table of settings of the Kafka client."""
    if not isinstance(table, dict) or any(isinstance(value, dict | list) for value in table.values()):
        remedy = f"write name = value lines under [{name}], with the names of librdkafka in quotes"
        raise InputError("must be a table of plain values", remedy, source=str(config), field=name)
    if secrets := sorted(name for name, value in table.items() if is_secret(name) and value):
        _warn_of_readers(config, f"holds {', '.join(secrets)}")
    return {key: _text(value) for key, value in table.items()}


def _of_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Read ``STREAMSCHED_KAFKA_SASL_PASSWORD`` as ``sasl.password``; a name of a single word is for other uses."""
    names = (name for name in environ if name.startswith(_KAFKA) and "_" in name[len(_KAFKA) :])
    return {name[len(_KAFKA) :].lower().replace("_", "."): environ[name] for name in names if environ[name]}


def _from_files(kafka: Mapping[str, str]) -> dict[str, str]:
    """Read ``sasl.password.file`` and the like: each secret from a file of its own. Raise InputError."""
    values = dict(kafka)
    for name in kafka:
        secret = name.removesuffix(".file")
        if secret == name or not is_secret(secret):
            continue
        if kafka.get(secret):
            raise InputError(f"{secret} is given too", "keep one of them", source=name)
        path = Path(values.pop(name))
        try:
            with path.open("rb") as file:
                data = file.read(_SECRET_BYTES + 1)
            values[secret] = data.decode().removesuffix("\n").removesuffix("\r")
        except (OSError, ValueError) as error:
            reason = f"cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})"
            raise InputError(reason, f"name the file with the {secret}", source=f"{name} {path}") from None
        if not values[secret] or len(data) > _SECRET_BYTES:
            reason = "is empty" if not data.strip() else f"is larger than {_SECRET_BYTES // 1024} KiB"
            raise InputError(reason, f"name the file with the {secret}", source=f"{name} {path}")
        _warn_of_readers(path, f"is {secret}")
    return values


def _warn_of_readers(path: Path, what: str) -> None:
    with suppress(OSError):
        if path.stat().st_mode & stat.S_IROTH:
            logger.warning("%s %s, and every user can read it: chmod 600 it", path, what)


def _brokers(value: object, source: str) -> str:
    if value == "":
        return ""
    if not isinstance(value, str) or not all(part.strip() for part in value.split(",")):
        raise InputError(f"invalid address {value!r}", "write host:port,host:port", source=source)
    for part in value.split(","):
        port = part.rpartition(":")[2]
        if not (
            port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536 and len(part) > len(port) + 1
        ):
            raise InputError(f"invalid address {part.strip()!r}", "write host:port, like localhost:9092", source=source)
    return value


def _data_dir(value: object, source: str) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise InputError(f"invalid folder {value!r}", "give a path", source=source)
    return Path(value)


def _prefix(value: object, source: str) -> str:
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        raise InputError(f"invalid prefix {value!r}", "use letters, digits, '.', '_' and '-'", source=source)
    return value


def _child_partitions(value: object, source: str) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 10_000):
        raise InputError(f"invalid number of partitions {value!r}", "give 1 to 10000", source=source)
    return int(text)


def programs(value: object, source: str) -> tuple[str, ...]:
    """Read the programs that a worker may run as patterns of ``domain.routing``: a list, or words of a shell."""
    from shlex import split  # late: few commands need it

    remedy = "name programs ('./convert.sh'), or all of a folder ('./tools/*')"
    try:
        found = split(value) if isinstance(value, str) else value
    except ValueError:  # an open quote
        found = None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise InputError(f"invalid programs {value!r}", remedy, source=source)
    for name in found:
        problem = problem_of_pattern(COMMAND + name)
        if problem is not None:
            raise InputError(f"program {name[:200]!r} {problem}", remedy, source=source)
    return tuple(COMMAND + name for name in found)


def _plan_limit(value: object, source: str) -> int:
    found = size.read(int(value) if isinstance(value, str) and value.isdigit() and len(value) < 19 else value)
    if found is None or not 1 <= found < 1 << 62:
        raise InputError(f"invalid size {value!r}", "write 256MiB or 1GB", source=source)
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_CHECKS: Final = {
    "brokers": _brokers, "data_dir": _data_dir, "prefix": _prefix, "child_partitions": _child_partitions,
    "allow_command": programs,
    "plan_limit": _plan_limit,
}  # fmt: skip
