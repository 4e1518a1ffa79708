"""``up``: everything on one machine, as a service."""

from __future__ import annotations

import os
import signal
from typing import Annotated

import typer

from streamsched.cli.given import settings_of
from streamsched.cli.options import (
    AllowCommand,
    DevicesOption,
    DrainTimeout,
    HttpHost,
    HttpPort,
    Reuse,
    Slots,
    devices_of,
    slots_or_cpus,
)
from streamsched.cli.printing import note
from streamsched.cli.progress import FoldNotice
from streamsched.cli.server_commands import HttpBeside, Ui, address_beside, pages_beside
from streamsched.domain.errors import InputError


def up(
    context: typer.Context,
    slots: Slots = None,
    allow: Annotated[list[str] | None, typer.Option(
        metavar="MODULE",
        help="A module whose handlers may run, or all below a package ('jobs.*'); may be repeated [default: all "
        "that the templates of this folder name, where only you can write]",
    )] = None,
    allow_command: AllowCommand = None,
    drain_timeout: DrainTimeout = 30.0,
    reuse: Reuse = 0,
    devices: DevicesOption = None,
    http_port: HttpPort = None,
    http_host: HttpHost = None,
    ui: Ui = False,
    http: HttpBeside = None,
) -> int:  # fmt: skip
    """Work on this folder's tasks and schedules until stopped.

    It runs a scheduler and a worker on this machine, with the embedded log. Give it work from other terminals, in the
    same folder (or --data-dir): 'submit', 'schedule create', 'cancel', 'redrive'; look with 'status', 'watch', 'list'.
    SIGTERM and Ctrl-C drain it: children stop at their next checkpoint and continue from there at the next start, as
    after kill -9; a second signal stops it at once. The output of handlers goes to output.log in the data folder.
    """
    from streamsched.cli.node_commands import allowed_modules, allowed_programs
    from streamsched.hosting.run import Run
    from streamsched.hosting.watch import watching

    settings = settings_of(context, http_port=http_port, http_host=http_host)
    if settings.brokers:
        raise InputError(
            "'up' works on the embedded log, and a Kafka broker is given",
            "start 'streamsched scheduler' and 'streamsched worker', or leave --brokers out (and STREAMSCHED_BROKERS)",
        )
    patterns = (*allowed_modules(allow), *(allowed_programs(allow_command) or settings.allow_command))
    slots, bound, address = slots_or_cpus(slots), devices_of(devices), address_beside(http, ui=ui)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # nothing has begun while the journal is folded
    with watching(settings) as watch:
        service = Run(
            settings, slots=slots, command="up", allow=patterns, drain=drain_timeout, reuse=reuse, devices=bound,
            on_progress=FoldNotice(), watch=watch,
        )  # fmt: skip
        up = f"up, process {os.getpid()}: {slots} slots on {settings.where}; output in {service.output}{watch.place}"
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda number, frame: service.stop())
            with pages_beside(settings, address):
                service.until_stopped(lambda: note(up))
        finally:
            service.close()
    return 0


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)
