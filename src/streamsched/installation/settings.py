"""Settings: from the command line, then the environment (``STREAMSCHED_…``), then a TOML file, then defaults.

Plain data, checked by hand: every command reads them, and pydantic would cost each of them a tenth of a second.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from streamsched.domain import size
from streamsched.domain.errors import InputError
from streamsched.domain.routing import COMMAND, problem_of_pattern
from streamsched.installation.secret_files import from_files, warn_of_readers
from streamsched.installation.way import check_server, check_token_file, choose_way, needs_log, token_of
from streamsched.log.secrets import KafkaSettings, is_secret

DEFAULT_DATA_DIR: Final = Path(".streamsched")
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_KAFKA: Final = "STREAMSCHED_KAFKA_"
_EMIT: Final = "STREAMSCHED_EMIT_TOPICS"
_HOST: Final = re.compile(r"[A-Za-z0-9.:%_-]{1,253}")
_TOPICS: Final = re.compile(r"[A-Za-z0-9._*-]{1,249}")
OUTPUT_RATES: Final = (1024, 16 * 1024 * 1024)
_KEYS: Final = (
    "brokers", "data_dir", "prefix", "child_partitions", "allow_command", "plan_limit", "output_rate", "http_port",
    "http_host", "server", "token_file",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the log is and how to reach it. Empty ``brokers`` mean the embedded log in ``data_dir``.

    With a ``server`` it is reached through the HTTP API at this address, in place of both.
    """

    brokers: str = ""
    data_dir: Path = DEFAULT_DATA_DIR
    prefix: str = "streamsched"
    child_partitions: int = 64
    allow_command: tuple[str, ...] = ()
    """Patterns (``domain.routing``) of the programs that a worker may run, where its command line names none."""
    plan_limit: int = 256 * 1024 * 1024
    """Bytes that all entries of a split child may have: it runs on a worker with this setting."""
    output_rate: int = 256 * 1024
    """Bytes a second of what handlers print that a worker on Kafka writes into the log; 0: nothing."""
    kafka: Mapping[str, str] = field(default_factory=KafkaSettings)
    executors: Mapping[str, str] = field(default_factory=KafkaSettings)
    """What stands in place of settings of ``kafka`` where handlers run, which only read."""
    emit: tuple[str, ...] = ()
    """Topics that handlers may write to: names, with ``*`` for any characters."""
    http_port: int | None = None
    """Where a node tells of its health and its metrics; 0 is any port that is free, None is nowhere."""
    http_host: str = "127.0.0.1"
    server: str = ""
    token: str = field(default="", repr=False)
    """What the server knows its user by."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kafka", KafkaSettings(self.kafka))
        object.__setattr__(self, "executors", KafkaSettings(self.executors))

    @property
    def where(self) -> str:
        """The log's name in a sentence."""
        if self.server:
            return f"the server {self.server}"
        return f"the cluster {self.brokers}" if self.brokers else f"the embedded log in {self.data_dir}"

    def need_log(self, what: str) -> None:
        """Raise NeedsLog where a server is set."""
        if self.server:
            raise needs_log(what, self.where)

    @property
    def embedded(self) -> bool:
        """Whether the log is a folder of this machine, which is used without a server."""
        return not (self.brokers or self.server)

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
        values["kafka"] = from_files(kafka)
    if "executors" in values:
        values["executors"] = from_files(values["executors"])
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
    choose_way(values, sources)
    values["token"] = token_of(environ.get("STREAMSCHED_TOKEN", ""), values.pop("token_file", ""), sources, values)
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
        warn_of_readers(config, f"holds {', '.join(secrets)}")
    return {key: _text(value) for key, value in table.items()}


def _of_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Read ``STREAMSCHED_KAFKA_SASL_PASSWORD`` as ``sasl.password``; a name of a single word is for other uses."""
    names = (name for name in environ if name.startswith(_KAFKA) and "_" in name[len(_KAFKA) :])
    return {name[len(_KAFKA) :].lower().replace("_", "."): environ[name] for name in names if environ[name]}


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


def _output_rate(value: object, source: str) -> int:
    found = size.read(int(value) if isinstance(value, str) and value.isdigit() and len(value) < 19 else value)
    if found is None or not (found == 0 or OUTPUT_RATES[0] <= found <= OUTPUT_RATES[1]):
        raise InputError(f"invalid rate {value!r}", "write 256KiB, from 1KiB to 16MiB a second, or 0", source=source)
    return found


def _http_port(value: object, source: str) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536):
        raise InputError(f"invalid port {value!r}", "give 1 to 65535, or 0 for any that is free", source=source)
    return int(text)


def _http_host(value: object, source: str) -> str:
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise InputError(f"invalid address {value!r}", "give one of this machine, or 0.0.0.0 for all", source=source)
    return value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_CHECKS: Final = {
    "brokers": _brokers, "data_dir": _data_dir, "prefix": _prefix, "child_partitions": _child_partitions,
    "allow_command": programs,
    "plan_limit": _plan_limit, "output_rate": _output_rate, "http_port": _http_port, "http_host": _http_host,
    "server": check_server, "token_file": check_token_file,
}  # fmt: skip
