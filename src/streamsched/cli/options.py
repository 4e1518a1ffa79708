"""The options of every command, before or after its name, and those that several share."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand
from typer.main import get_command

from streamsched.cli.cpus import cpus
from streamsched.cli.exits import explain, leave
from streamsched.cli.printing import note
from streamsched.domain.errors import InputError
from streamsched.domain.visible import visible

if TYPE_CHECKING:
    from streamsched.client import Client
    from streamsched.installation.settings import Settings
    from streamsched.worker.devices import Devices

_NO_DIGITS: Final = str.maketrans("", "", "0123456789")
LEVELS: Final = ("debug", "info", "warning", "error")


def _keep(context: typer.Context, option: typer.CallbackParam, value: Any) -> None:
    if value not in (None, False):
        context.ensure_object(dict)[option.name] = value


def _option(*names: str, help: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar, callback=_keep, expose_value=False, show_default=False)


def _every_command(
    brokers: Annotated[str | None, _option(
        "--brokers", metavar="HOST:PORT",
        help="Kafka brokers, comma-separated; without them the embedded log is used [env: STREAMSCHED_BROKERS]",
    )] = None,
    data_dir: Annotated[str | None, _option(
        "--data-dir", metavar="DIR",
        help="Folder of the embedded log and of views [env: STREAMSCHED_DATA_DIR; default: .streamsched]",
    )] = None,
    prefix: Annotated[str | None, _option(
        "--prefix", metavar="NAME", help="Prefix of the topics' names [env: STREAMSCHED_PREFIX; default: streamsched]",
    )] = None,
    config: Annotated[str | None, _option(
        "--config", metavar="FILE",
        help="TOML file with these settings, and a [kafka] table for the client [env: STREAMSCHED_CONFIG]",
    )] = None,
    log_level: Annotated[str | None, _option(
        "--log-level", metavar="LEVEL",
        help=f"Lowest level that is logged on stderr: {', '.join(LEVELS)} [env: STREAMSCHED_LOG_LEVEL]",
    )] = None,
    debug: Annotated[bool, _option("--debug", help="Show the traceback of a failure.")] = False,
) -> None:  # fmt: skip
    """Declare the options that may stand before and after a command's name."""


@cache
def global_options() -> Sequence[Any]:
    """Return the options of every command, from their declaration above."""
    app = typer.Typer(add_completion=False)
    app.command()(_every_command)
    return get_command(app).params


class Command(TyperCommand):
    """A command with the global options, whose failures are one line and an exit code."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_options())

    def format_epilog(self, context: Any, formatter: Any) -> None:
        """Write the examples line by line."""
        write_examples(self.epilog, formatter)

    def invoke(self, context: Any) -> Any:
        """Run the command and exit with its result."""
        code: object = 0
        try:
            enable_keyboard_interrupt()
            set_up_logging(context.ensure_object(dict))
            refuse_undecodable(context)
            code = super().invoke(context)
            sys.stdout.flush()
        except typer.Exit as end:
            code = end.exit_code
        except Exception as error:
            code = explain(error)
        except KeyboardInterrupt as error:
            code = explain(error)
        leave(code if isinstance(code, int) else 0)


def write_examples(examples: str | None, formatter: Any) -> None:
    """Write the examples of a help line by line."""
    if examples:
        with formatter.section("Examples"):
            for line in examples.splitlines():
                formatter.write(f"{' ' * formatter.current_indent}{line}\n")


def refuse_undecodable(context: Any) -> None:
    """Raise InputError for arguments that no record can hold. A path and a variable's value may be any bytes."""
    for option in context.command.params:
        value = context.params.get(option.name)
        for word in value if isinstance(value, list) and option.name != "param" else [value]:
            if isinstance(word, str) and any("\ud800" <= sign <= "\udfff" for sign in word):
                source = option.opts[0] if option.opts[0].startswith("-") else str(option.metavar)
                remedy = "give it in the encoding of this terminal (see 'locale')"
                raise InputError(f"{word[:200]!r} is not text", remedy, source=source)


def enable_keyboard_interrupt() -> None:
    """Make an interrupt raise KeyboardInterrupt, once the command is imported."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def importing() -> Iterator[None]:
    """Let an interrupt end the process: during imports Python could lose KeyboardInterrupt."""
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if raises:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    yield
    if raises:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def set_up_logging(given: dict[str, Any]) -> None:
    """Log to stderr, one line per record."""
    level = given.get("log_level") or os.environ.get("STREAMSCHED_LOG_LEVEL") or "warning"
    if level.lower() not in LEVELS:
        raise InputError(f"unknown log level {level!r}", f"choose one of {', '.join(LEVELS)}", source="--log-level")
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Repetitions())
    handler.setFormatter(Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=level.upper())


class Lines(logging.Formatter):
    """Writes a record as one line, and a traceback below it, with control characters made visible."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Write the line."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Write a traceback."""
        return "\n".join(map(visible, super().formatException(ei).split("\n")))


class Repetitions(logging.Filter):
    """Drops repetitions within seconds, also with other numbers: clients of a dead broker repeat themselves."""

    QUIET_S: Final = 10.0

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log this record."""
        text = f"{record.name} {record.getMessage()}".translate(_NO_DIGITS)
        before = self._seen.get(text)
        if before is not None and record.created - before < self.QUIET_S:
            return False
        if len(self._seen) > 1_000:
            self._seen.clear()
        self._seen[text] = record.created
        return True


def settings_of(context: typer.Context) -> Settings:
    """Join the global options with environment, file and defaults."""
    from streamsched.installation.settings import load_settings

    given = context.ensure_object(dict)
    config = given.get("config")
    return load_settings(
        Path(config) if config else None,
        brokers=given.get("brokers"),
        data_dir=given.get("data_dir"),
        prefix=given.get("prefix"),
    )


def client_of(context: typer.Context, settings: Settings | None = None) -> Client:
    """Connect to the log; a long first fold is reported on stderr."""
    from streamsched.cli.progress import FoldNotice
    from streamsched.client import Client

    return Client(settings=settings or settings_of(context), on_progress=FoldNotice())


Template = Annotated[Path, typer.Argument(metavar="TEMPLATE", help="The template file (YAML).", show_default=False)]
Task = Annotated[str, typer.Argument(metavar="TASK", help="The task's id.", show_default=False)]
Pairs = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", metavar="NAME=VALUE", help="A variable of the template; may be repeated."),
]
ParamsFile = Annotated[Path | None, typer.Option("--params", metavar="FILE", help="A YAML or JSON file of variables.")]
TaskId = Annotated[
    str | None, typer.Option("--task-id", metavar="ID", help="The task's id; the same id is the same task.")
]
OnlyTask = Annotated[str | None, typer.Option("--task", metavar="ID", help="Only this task.")]
Until = Annotated[
    str | None,
    typer.Option(metavar="POSITION|TIME",
                 help="End before this offset of each partition, or after this time (RFC 3339, or a date)."),
]  # fmt: skip
Priority = Annotated[int, typer.Option("--priority", metavar="N", help="Larger numbers go first.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Slots = Annotated[
    int | None,
    typer.Option("--slots", metavar="N", min=1, max=1024,
                 help="Executor processes [default: one for each CPU that it may use]."),
]  # fmt: skip
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="The node's name [default: from host and process]."),
]
Reuse = Annotated[
    int,
    typer.Option("--reuse", metavar="N", min=0, envvar="STREAMSCHED_REUSE", show_default=False,
                 help="Replace an executor process after N children [default: 0, never]."),
]  # fmt: skip
DevicesOption = Annotated[
    str | None,
    typer.Option("--devices", metavar="NAME=A,B", envvar="STREAMSCHED_DEVICES", show_default=False,
                 help="Set an environment variable of each slot's handlers to one of these values, in turn "
                 "(CUDA_VISIBLE_DEVICES=0,1)."),
]  # fmt: skip
AllowCommand = Annotated[
    list[str] | None,
    typer.Option("--allow-command", metavar="PROGRAM",
                 help="A program that may run here, as templates write it, or a pattern of some ('./tools/*'); may be "
                 "repeated [env: STREAMSCHED_ALLOW_COMMAND]."),
]  # fmt: skip
DrainTimeout = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="How long a drain may take before running children are killed.")
]
Reason = Annotated[str, typer.Option(metavar="R", help="Why; it is kept in the history.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the task is done; exit 1 if it fails.")]


def devices_of(text: str | None) -> Devices | None:
    """Read which devices the slots have. Raise InputError."""
    if text is None:
        return None
    from streamsched.worker.devices import Devices

    try:
        return Devices.parse(text)
    except ValueError as error:
        raise InputError(str(error), "write NAME=0,1, with a value for each slot", source="--devices") from None


def slots_or_cpus(slots: int | None) -> int:
    """Return the number of slots, by default one per usable CPU; prints what limits them."""
    if slots is not None:
        return slots
    found = cpus()
    if found.number != os.cpu_count():
        note(f"{found.number} slots: {found.reason}")
    return found.number
