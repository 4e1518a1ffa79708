"""``up``: everything on one machine, as a service."""

from __future__ import annotations

import os
import signal
from typing import Annotated

import typer

from streamsched.cli.options import (
    AllowCommand,
    DevicesOption,
    DrainTimeout,
    Reuse,
    Slots,
    devices_of,
    settings_of,
    slots_or_cpus,
)
from streamsched.cli.printing import note
from streamsched.cli.progress import FoldNotice
from streamsched.domain.errors import InputError


def up(
    context: typer.Context,
    slots: Slots = None,
    allow: Annotated[list[str] | None, typer.Option(
        metavar="MODULE",
        help="A module whose handlers may run, or all below a package ('jobs.*'); may be repeated [default: all "
        "that the templates of this folder name, where only you can write].",
    )] = None,
    allow_command: AllowCommand = None,
    drain_timeout: DrainTimeout = 30.0,
    reuse: Reuse = 0,
    devices: DevicesOption = None,
) -> int:  # fmt: skip
    """Work on all tasks and schedules of the embedded log until stopped: a scheduler and a worker on this machine.

    Give it work from other terminals, in the same folder (or --data-dir): 'submit', 'schedule create', 'cancel',
    'redrive'; look with 'status', 'watch', 'list'. SIGTERM and Ctrl-C drain it: children stop at their next checkpoint
    and continue from there at the next start, as after kill -9; a second signal stops it at once. The output of
    handlers goes to output.log in the data folder.
    """
    from streamsched.cli.node_commands import allowed_modules, allowed_programs
    from streamsched.hosting.run import Run

    settings = settings_of(context)
    if settings.brokers:
        raise InputError(
            "'up' works on the embedded log, and a Kafka broker is given",
            "start 'streamsched scheduler' and 'streamsched worker', or leave --brokers out (and STREAMSCHED_BROKERS)",
        )
    patterns = (*allowed_modules(allow), *(allowed_programs(allow_command) or settings.allow_command))
    slots, bound = slots_or_cpus(slots), devices_of(devices)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # nothing has begun while the journal is folded
    service = Run(
        settings, slots=slots, command="up", allow=patterns, drain=drain_timeout, reuse=reuse, devices=bound,
        on_progress=FoldNotice(),
    )  # fmt: skip
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, frame: service.stop())
        service.until_stopped(
            lambda: note(f"up, process {os.getpid()}: {slots} slots on {settings.where}; output in {service.output}")
        )
    finally:
        service.close()
    return 0


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)
