"""The table of commands: where the function of each is, below ``streamsched.cli``, and its examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.main import get_command, get_group

from streamsched.cli.groups import Group, GroupWithDefault, LazyCommands
from streamsched.cli.options import Command, global_options
from streamsched.version import __version__

HELP = """Run long work cut into many pieces, each piece exactly once, on one machine or many.

Start with: streamsched run examples/print-numbers.yaml -p n=1000000

As a service on one machine: start 'streamsched up', and use submit, schedule, status, watch, top and others beside it.

Through a streamsched server, without rights on the log: set STREAMSCHED_SERVER=https://... (or --server).

Exit codes: 0 success, 1 the task did not succeed, 2 wrong input, 3 broker or log unreachable, 4 no such task or
schedule, 70 watchdog, 130 interrupted.
"""
Commands = dict[str, tuple[str, str]]
COMMANDS: Commands = {
    "run": (
        "run_commands:run",
        "streamsched run examples/print-numbers.yaml -p n=1000000\n"
        "streamsched run job.yaml --params job.json --task-id nightly-7 --slots 8",
    ),
    "up": ("up_commands:up", "streamsched up\nstreamsched --data-dir /var/lib/streamsched up --slots 8 --allow myjobs"),
    "submit": (
        "run_commands:submit",
        "streamsched submit job.yaml -p n=100\n"
        "streamsched --brokers localhost:9092 submit job.yaml -p n=100\n"
        "streamsched submit job.yaml -p n=100 --task-id nightly-7 --wait",
    ),
    "status": ("look_commands:status", "streamsched status nightly-7\nstreamsched status nightly-7 --json"),
    "why": ("look_commands:why", "streamsched why nightly-7\nstreamsched why nightly-7 12 --json"),
    "list": (
        "look_commands:list_tasks",
        "streamsched list --state running\nstreamsched list --label team=data --since 2026-11-23 --limit 20 --json",
    ),
    "watch": ("watch_commands:watch", "streamsched watch nightly-7\nstreamsched watch"),
    "cancel": ("watch_commands:cancel", 'streamsched cancel nightly-7 --reason "wrong input"'),
    "pause": ("hold_commands:pause", 'streamsched pause nightly-7 --now --reason "the database is down"'),
    "resume": ("hold_commands:resume", "streamsched resume nightly-7"),
    "terminate": ("hold_commands:terminate", "streamsched terminate nightly-7"),
    "set": (
        "limit_commands:set_limits",
        "streamsched set nightly-7 parallelism=50 rate=100/s\n"
        'streamsched set nightly-7 tolerate=2% deadline=6h --reason "the store is slow today"',
    ),
    "redrive": (
        "watch_commands:redrive",
        "streamsched redrive nightly-7\nstreamsched redrive nightly-7 --all --wait\n"
        "streamsched redrive nightly-7 --where 'error=KeyError and index=100..200' --dry-run",
    ),
    "children": (
        "look_commands:children",
        "streamsched children nightly-7 --state failed\n"
        "streamsched children nightly-7 12\n"
        "streamsched children nightly-7 --where 'error=KeyError and index=100..200'",
    ),
    "failures": ("look_commands:failures", "streamsched failures nightly-7\nstreamsched failures nightly-7 --json"),
    "results": ("look_commands:results", "streamsched results nightly-7 --json | jq .result.count"),
    "result": ("look_commands:result", "streamsched result nightly-7"),
    "certify": ("audit_commands:certify", "streamsched certify nightly-7\nstreamsched certify nightly-7 --json"),
    "plan": ("try_commands:plan", "streamsched plan examples/print-numbers.yaml -p n=1000000"),
    "try": (
        "try_commands:try_child",
        "streamsched try examples/print-numbers.yaml -p n=10 --child 0\n"
        "python -m pdb -m streamsched try job.yaml -p n=10",
    ),
    "init": ("init_commands:init", "streamsched init resize"),
    "schema": ("init_commands:schema", "streamsched schema schedule > schedule.schema.json"),
    "worker": ("node_commands:worker", "streamsched --brokers localhost:9092 worker --slots 4 --allow myjobs"),
    "scheduler": ("node_commands:scheduler", "streamsched --brokers localhost:9092 scheduler"),
    "logs": (
        "logs_commands:logs",
        "streamsched logs nightly-7\nstreamsched logs nightly-7 12 --follow\nstreamsched logs nightly-7 reduce",
    ),
    "report": ("report_commands:report", "streamsched report nightly-7 --html nightly-7.html"),
    "top": ("top_commands:top", "streamsched top\nstreamsched --brokers localhost:9092 top"),
    "scaling": ("scaling_commands:scaling", "streamsched scaling --target 10m\nstreamsched scaling --queue gpu --json"),
    "nodes": ("look_commands:list_nodes", "streamsched --brokers localhost:9092 nodes"),
    "server": (
        "server_commands:server",
        "streamsched server\nstreamsched --brokers localhost:9092 server --http 0.0.0.0:8080 --auth tokens:tokens.txt",
    ),
    "replay": (
        "replay_commands:replay",
        "streamsched replay --task nightly-7\n"
        "streamsched replay --until 2026-11-23T12:00:00Z --json\n"
        "streamsched replay --until 5000 --view view-at-5000",
    ),
}
OLD_NAMES = {"workers": "nodes"}
"""Former names of commands: they still work, and no help lists them."""
TOPICS: Commands = {
    "create": ("topics_commands:create", "streamsched --brokers localhost:9092 topics create"),
    "check": ("topics_commands:check", "streamsched --brokers localhost:9092 topics check"),
    "repair": ("topics_commands:repair", "streamsched --brokers localhost:9092 topics repair"),
}

TOPIC: Commands = {
    "create": ("topic_commands:create", "streamsched topic create orders --partitions 3"),
    "produce": (
        "topic_commands:produce",
        "streamsched topic produce orders < lines.txt\n"
        "streamsched topic produce orders --key-separator : < keyed.txt\n"
        "streamsched topic consume orders --json | streamsched topic produce copies --json",
    ),
    "consume": ("topic_commands:consume", "streamsched topic consume orders\nstreamsched topic consume orders --json"),
}
AUDIT: Commands = {
    "verify": (
        "audit_commands:verify",
        "streamsched audit verify\n"
        "streamsched --brokers localhost:9092 audit verify --task nightly-7\n"
        "streamsched audit verify --until 2026-11-23T12:00:00Z --json\n"
        "streamsched audit verify --view view-at-5000",
    ),
    "export": (
        "audit_commands:export",
        "streamsched audit export history.parquet\n"
        "streamsched --brokers localhost:9092 audit export nightly-7.jsonl --task nightly-7\n"
        "streamsched audit export exports --format jsonl --until 2026-11-23T12:00:00Z",
    ),
}
SCHEDULE: Commands = {
    "create": (
        "schedule_commands:create",
        "streamsched schedule create nightly.yaml\n"
        "streamsched schedule create job.yaml --id job-weekly -p day='${tick.nominal:date}'",
    ),
    "update": ("schedule_commands:update", "streamsched schedule update nightly.yaml"),
    "list": ("schedule_commands:list_schedules", "streamsched schedule list\nstreamsched schedule list --all --json"),
    "show": ("schedule_commands:show", "streamsched schedule show nightly\nstreamsched schedule show nightly --json"),
    "pause": ("schedule_commands:pause", 'streamsched schedule pause nightly --note "the store is being moved"'),
    "resume": ("schedule_commands:resume", "streamsched schedule resume nightly"),
    "trigger": ("schedule_commands:trigger", "streamsched schedule trigger nightly"),
    "backfill": (
        "backfill_commands:backfill",
        "streamsched schedule backfill nightly --start 2026-11-01 --dry-run\n"
        "streamsched schedule backfill nightly --start 2026-11-01 --end 2026-11-08 --reprocess failed --max-active 3\n"
        "streamsched schedule backfill nightly --cancel",
    ),
    "delete": ("schedule_commands:delete", "streamsched schedule delete nightly"),
    "ticks": (
        "schedule_commands:ticks",
        "streamsched schedule ticks nightly --last 20\n"
        "streamsched schedule ticks nightly --since 2026-11-01 --outcome missed --json",
    ),
    "next": (
        "times_commands:next_times",
        'streamsched schedule next --cron "30 2 * * MON-FRI" --zone Europe/Berlin\n'
        "streamsched schedule next --every 15m/3m --after 2026-11-23T12:00:00Z --count 3 --json\n"
        "streamsched schedule next --file nightly.yaml",
    ),
}
DEAD_LETTERS: tuple[str, str] = (
    "dead_letter_commands:dead_letters",
    "streamsched dead-letters\n"
    "streamsched --brokers localhost:9092 dead-letters --since 2026-11-23 --limit 20\n"
    "streamsched dead-letters --count --json\n"
    "streamsched dead-letters show 17",
)
DEAD_LETTER_COMMANDS: Commands = {
    "show": ("dead_letter_commands:show", "streamsched dead-letters show 17\nstreamsched dead-letters show 17 --json"),
    "set-aside": (
        "dead_letter_commands:set_aside",
        'streamsched dead-letters set-aside 3 1734 --reason "a test wrote it"\n'
        'streamsched dead-letters set-aside 12 99 --work-log --reason "a test wrote it"',
    ),
}
GROUPS: dict[str, tuple[str, Commands]] = {
    "topics": ("Create, check and repair the topics on the broker.", TOPICS),
    "topic": ("Create, write and read topics of your own.", TOPIC),
    "schedule": ("Manage schedules, which make tasks at given times.", SCHEDULE),
    "audit": ("Check the history against the guarantees, or export it.", AUDIT),
}


def command() -> Any:
    """Build the command line; a command is built when it is called or listed in a help."""
    app = typer.Typer(cls=Group, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback(help=HELP)(_root)
    makers = _makers(COMMANDS)
    makers |= {name: partial(_group, purpose, commands) for name, (purpose, commands) in GROUPS.items()}
    return _filled(get_command(app), {**makers, "dead-letters": _dead_letters}, OLD_NAMES)


def _group(purpose: str, commands: Commands) -> Any:
    """Build a group of commands."""
    app = typer.Typer(cls=Group, help=purpose, no_args_is_help=True, rich_markup_mode=None)
    return _filled(get_group(app), _makers(commands))


def _dead_letters() -> Any:
    """Build ``dead-letters``, which lists without a subcommand."""
    own, examples = DEAD_LETTERS
    app = typer.Typer(rich_markup_mode=None)
    app.callback(cls=GroupWithDefault, epilog=examples, invoke_without_command=True)(_function(own))
    return _filled(get_group(app), _makers(DEAD_LETTER_COMMANDS))


def _filled(group: Any, makers: dict[str, Callable[[], Any]], aliases: Mapping[str, str] = {}) -> Any:
    """Add the commands of a group, and the global options."""
    group.commands = LazyCommands(makers, aliases)
    group.params.extend(global_options())
    return group


def _makers(commands: Commands) -> dict[str, Callable[[], Any]]:
    return {name: partial(_command, name, *where) for name, where in commands.items()}


def _command(name: str, where: str, examples: str) -> Any:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=Command, epilog=examples)(_function(where))
    return get_command(app)


def _function(where: str) -> Callable[..., Any]:
    module, _, name = where.partition(":")
    function: Callable[..., Any] = getattr(import_module(f"streamsched.cli.{module}"), name)
    return function


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamsched {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Declare the options before the command."""
