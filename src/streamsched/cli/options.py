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

from streamsched.cli.completion import complete_task
from streamsched.cli.cpus import cpus
from streamsched.cli.exits import explain, leave
from streamsched.cli.given import all_settings_of
from streamsched.cli.log_lines import FORMATS, Repetitions, formatter_of
from streamsched.cli.output import OPTION, JsonOutput
from streamsched.cli.printing import note
from streamsched.domain.errors import InputError
from streamsched.domain.labels import read_labels

if TYPE_CHECKING:
    from streamsched.client import Client
    from streamsched.installation.settings import Settings
    from streamsched.worker.devices import Devices

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
    server: Annotated[str | None, _option(
        "--server", metavar="URL",
        help="Work through the HTTP API of this server; the token is in STREAMSCHED_TOKEN [env: STREAMSCHED_SERVER]",
    )] = None,
    log_level: Annotated[str | None, _option(
        "--log-level", metavar="LEVEL",
        help=f"Lowest level logged on stderr: {', '.join(LEVELS)} [env: STREAMSCHED_LOG_LEVEL; default: warning]",
    )] = None,
    log_format: Annotated[str | None, _option(
        "--log-format", metavar="FORMAT",
        help=f"Its format: {', '.join(FORMATS)} (one object per line) [env: STREAMSCHED_LOG_FORMAT; default: text]",
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


def _json(as_json: JsonOutput = False) -> None:
    """Declare what stands beside ``--output``."""


def with_json(parameters: Sequence[Any]) -> list[Any]:
    """Return the parameters of a command; behind ``--output`` comes its short form ``--json``."""
    app = typer.Typer(add_completion=False)
    app.command()(_json)
    found: list[Any] = []
    for each in parameters:
        found += [each, *(get_command(app).params if OPTION in each.opts else ())]
    return found


class Command(TyperCommand):
    """A command with the global options, whose failures are one line and an exit code."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params = [*with_json(self.params), *global_options()]

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
    """Log to stderr, one line per record, or one JSON object a line."""
    level = given.get("log_level") or os.environ.get("STREAMSCHED_LOG_LEVEL") or "warning"
    if level.lower() not in LEVELS:
        raise InputError(f"unknown log level {level!r}", f"choose one of {', '.join(LEVELS)}", source="--log-level")
    kind = given.get("log_format") or os.environ.get("STREAMSCHED_LOG_FORMAT") or FORMATS[0]
    if kind not in FORMATS:
        raise InputError(f"unknown log format {kind!r}", f"choose one of {', '.join(FORMATS)}", source="--log-format")
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Repetitions())
    handler.setFormatter(formatter_of(kind))
    logging.basicConfig(handlers=[handler], level=level.upper())


def client_of(context: typer.Context, settings: Settings | None = None) -> Client:
    """Connect to the log, or to a server; a long first fold is reported on stderr."""
    from streamsched.cli.progress import FoldNotice
    from streamsched.client import Client

    return Client(settings=settings or all_settings_of(context), on_progress=FoldNotice())


Template = Annotated[Path, typer.Argument(metavar="TEMPLATE", help="The template file (YAML).", show_default=False)]
Task = Annotated[
    str, typer.Argument(metavar="TASK", help="The task's id.", show_default=False, autocompletion=complete_task)
]
Child = Annotated[str | None, typer.Argument(metavar="[CHILD]", help="A child by its number, or 'split' or 'reduce'.")]
Pairs = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", metavar="NAME=VALUE", help="A variable of the template; may be repeated."),
]
ParamsFile = Annotated[Path | None, typer.Option("--params", metavar="FILE", help="A YAML or JSON file of variables.")]
TaskId = Annotated[
    str | None, typer.Option("--task-id", metavar="ID", help="The task's id; the same id is the same task.")
]
OnlyTask = Annotated[
    str | None, typer.Option("--task", metavar="ID", help="Only this task.", autocompletion=complete_task)
]
Until = Annotated[
    str | None,
    typer.Option(metavar="POSITION|TIME",
                 help="End before this offset of each partition, or after this time (RFC 3339, or a date)."),
]  # fmt: skip
Priority = Annotated[int, typer.Option("--priority", metavar="N", help="Larger numbers go first.")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="NAME=VALUE", help="A label to find the task by; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Slots = Annotated[
    int | None,
    typer.Option("--slots", metavar="N", min=1, max=1024,
                 help="Executor processes [default: one for each usable CPU]"),
]  # fmt: skip
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="The node's name [default: from host and process]"),
]
Reuse = Annotated[
    int,
    typer.Option("--reuse", metavar="N", min=0, envvar="STREAMSCHED_REUSE", show_envvar=False, show_default=False,
                 help="Replace an executor process after N children [env: STREAMSCHED_REUSE; default: 0, never]"),
]  # fmt: skip
DevicesOption = Annotated[
    str | None,
    typer.Option("--devices", metavar="NAME=A,B", envvar="STREAMSCHED_DEVICES", show_envvar=False, show_default=False,
                 help="Set an environment variable of each slot's handlers to one of these values, in turn "
                 "(CUDA_VISIBLE_DEVICES=0,1) [env: STREAMSCHED_DEVICES]"),
]  # fmt: skip
AllowCommand = Annotated[
    list[str] | None,
    typer.Option("--allow-command", metavar="PROGRAM",
                 help="A program that may run here, as templates write it, or a pattern of some ('./tools/*'); may be "
                 "repeated [env: STREAMSCHED_ALLOW_COMMAND]"),
]  # fmt: skip
DrainTimeout = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="How long a drain may take before running children are killed.")
]
OutputRate = Annotated[
    str | None,
    typer.Option("--output-rate", metavar="SIZE", show_default=False,
                 help="How much handler output per second is kept in the log for 'logs'; 0: none "
                 "[env: STREAMSCHED_OUTPUT_RATE; default: 256KiB]"),
]  # fmt: skip
HttpPort = Annotated[
    int | None,
    typer.Option("--http-port", metavar="N", min=0, max=65535, show_default=False,
                 help="Serve /livez, /readyz and /metrics on this port, 0 for any that is free; needs "
                 "streamsched[metrics] [env: STREAMSCHED_HTTP_PORT]"),
]  # fmt: skip
HttpHost = Annotated[
    str | None,
    typer.Option("--http-host", metavar="ADDRESS", show_default=False,
                 help="The address for --http-port [env: STREAMSCHED_HTTP_HOST; default: 127.0.0.1]"),
]  # fmt: skip
Reason = Annotated[str, typer.Option(metavar="R", help="Why; it is kept in the history.")]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="SELECTOR",
        help="Only children that match, such as 'state=failed and error=KeyError and index=100..200'. "
        "Fields: state, index, error, reason, group, attempts; operators: =, !=, >=; several values: a|b.",
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the task has ended; exit 1 if it fails.")]


def labels_of(pairs: Sequence[str] | None) -> dict[str, str]:
    """Read the pairs of ``--label``. Raise InputError."""
    return read_labels(pairs or (), "--label ")


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
