"""The commands, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.main import get_command

from streamsched.cli.audit_commands import export, verify
from streamsched.cli.backfill_commands import backfill
from streamsched.cli.letter_commands import dead_letters, show
from streamsched.cli.look_commands import children, list_tasks, results, status, workers
from streamsched.cli.node_commands import scheduler, worker
from streamsched.cli.options import Command, Group, global_options
from streamsched.cli.replay_commands import replay
from streamsched.cli.run_commands import run, submit
from streamsched.cli.schedule_commands import create as create_schedule
from streamsched.cli.schedule_commands import delete, list_schedules, pause, resume, ticks, trigger, update
from streamsched.cli.schedule_commands import show as show_schedule
from streamsched.cli.times_commands import next_times
from streamsched.cli.topics_commands import check, create, repair
from streamsched.cli.try_commands import plan, try_child
from streamsched.cli.watch_commands import cancel, redrive, watch
from streamsched.version import __version__

HELP = """Run long work cut into many pieces, each piece exactly once, on one machine or many.

Begin with: streamsched run examples/print-numbers.yaml -p n=1000000

Exit codes: 0 well, 1 the task did not succeed, 2 wrong input, 3 broker or log unreachable, 4 no such task or
schedule, 70 watchdog, 130 interrupted.
"""
Commands = dict[str, tuple[Callable[..., Any], str]]
COMMANDS: Commands = {
    "run": (
        run,
        "streamsched run examples/print-numbers.yaml -p n=1000000\n"
        "streamsched run job.yaml --params job.json --task-id nightly-7 --slots 8",
    ),
    "submit": (
        submit,
        "streamsched --brokers localhost:9092 submit job.yaml -p n=100\n"
        "streamsched submit job.yaml -p n=100 --task-id nightly-7 --wait",
    ),
    "status": (status, "streamsched status nightly-7\nstreamsched status nightly-7 --json"),
    "list": (list_tasks, "streamsched list --state running"),
    "watch": (watch, "streamsched watch nightly-7\nstreamsched watch"),
    "cancel": (cancel, 'streamsched cancel nightly-7 --reason "wrong input"'),
    "redrive": (redrive, "streamsched redrive nightly-7\nstreamsched redrive nightly-7 --all --wait"),
    "children": (children, "streamsched children nightly-7 --state failed"),
    "results": (results, "streamsched results nightly-7 --json | jq .result.count"),
    "plan": (plan, "streamsched plan examples/print-numbers.yaml -p n=1000000"),
    "try": (
        try_child,
        "streamsched try examples/print-numbers.yaml -p n=10 --child 0\n"
        "python -m pdb -m streamsched try job.yaml -p n=10",
    ),
    "worker": (worker, "streamsched --brokers localhost:9092 worker --slots 4 --allow myjobs"),
    "scheduler": (scheduler, "streamsched --brokers localhost:9092 scheduler"),
    "workers": (workers, "streamsched --brokers localhost:9092 workers"),
    "replay": (
        replay,
        "streamsched replay --task nightly-7\n"
        "streamsched replay --until 2026-11-23T12:00:00Z --json\n"
        "streamsched replay --until 5000 --view view-at-5000",
    ),
}
TOPICS: Commands = {
    "create": (create, "streamsched --brokers localhost:9092 topics create"),
    "check": (check, "streamsched --brokers localhost:9092 topics check"),
    "repair": (repair, "streamsched --brokers localhost:9092 topics repair"),
}

AUDIT: Commands = {
    "verify": (
        verify,
        "streamsched audit verify\n"
        "streamsched --brokers localhost:9092 audit verify --task nightly-7\n"
        "streamsched audit verify --until 2026-11-23T12:00:00Z --json\n"
        "streamsched audit verify --view view-at-5000",
    ),
    "export": (
        export,
        "streamsched audit export history.parquet\n"
        "streamsched --brokers localhost:9092 audit export nightly-7.jsonl --task nightly-7\n"
        "streamsched audit export exports --format jsonl --until 2026-11-23T12:00:00Z",
    ),
}
SCHEDULE: Commands = {
    "create": (
        create_schedule,
        "streamsched schedule create nightly.yaml\n"
        "streamsched schedule create job.yaml --id job-weekly -p day='${tick.nominal:date}'",
    ),
    "update": (update, "streamsched schedule update nightly.yaml"),
    "list": (list_schedules, "streamsched schedule list\nstreamsched schedule list --all --json"),
    "show": (show_schedule, "streamsched schedule show nightly\nstreamsched schedule show nightly --json"),
    "pause": (pause, 'streamsched schedule pause nightly --note "the store is being moved"'),
    "resume": (resume, "streamsched schedule resume nightly"),
    "trigger": (trigger, "streamsched schedule trigger nightly"),
    "backfill": (
        backfill,
        "streamsched schedule backfill nightly --start 2026-11-01 --dry-run\n"
        "streamsched schedule backfill nightly --start 2026-11-01 --end 2026-11-08 --reprocess failed --max-active 3\n"
        "streamsched schedule backfill nightly --cancel",
    ),
    "delete": (delete, "streamsched schedule delete nightly"),
    "ticks": (
        ticks,
        "streamsched schedule ticks nightly --last 20\n"
        "streamsched schedule ticks nightly --since 2026-11-01 --outcome missed --json",
    ),
    "next": (
        next_times,
        'streamsched schedule next --cron "30 2 * * MON-FRI" --zone Europe/Berlin\n'
        "streamsched schedule next --every 15m/3m --after 2026-11-23T12:00:00Z --count 3 --json\n"
        "streamsched schedule next --file nightly.yaml",
    ),
}
LETTERS: tuple[Callable[..., Any], str] = (
    dead_letters,
    "streamsched dead-letters\n"
    "streamsched --brokers localhost:9092 dead-letters --since 2026-11-23 --limit 20\n"
    "streamsched dead-letters --count --json\n"
    "streamsched dead-letters show 17",
)
LETTER: Commands = {"show": (show, "streamsched dead-letters show 17\nstreamsched dead-letters show 17 --json")}
GROUPS: dict[str, tuple[str, Commands]] = {
    "topics": ("The topics on the broker.", TOPICS),
    "schedule": ("Times at which tasks are made.", SCHEDULE),
    "audit": ("The history, held against what is promised.", AUDIT),
}


def command() -> Any:
    """Build the command line."""
    app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback(help=HELP)(_root)
    _add(app, COMMANDS)
    for name, (purpose, commands) in GROUPS.items():
        below = typer.Typer(help=purpose, no_args_is_help=True, rich_markup_mode=None)
        _add(below, commands)
        app.add_typer(below, name=name)
    app.add_typer(_letters(), name="dead-letters")
    group: Any = get_command(app)
    group.params.extend(global_options())
    for name in (*GROUPS, "dead-letters"):
        group.commands[name].params.extend(global_options())
    return group


def _letters() -> typer.Typer:
    """Build ``dead-letters``, which lists by itself."""
    own, examples = LETTERS
    app = typer.Typer(cls=Group, epilog=examples, invoke_without_command=True, rich_markup_mode=None)
    app.callback(cls=Group, epilog=examples, invoke_without_command=True)(own)
    _add(app, LETTER)
    return app


def _add(app: typer.Typer, commands: Commands) -> None:
    for name, (function, examples) in commands.items():
        app.command(name, cls=Command, epilog=examples)(function)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamsched {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Take the options that stand before the command."""
