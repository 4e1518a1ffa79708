"""``worker`` and ``scheduler``: a small parent, and the node that it starts with the same command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from streamsched.cli.given import settings_of
from streamsched.cli.options import (
    AllowCommand,
    DevicesOption,
    DrainTimeout,
    HttpHost,
    HttpPort,
    Name,
    OutputRate,
    Reuse,
    Slots,
    devices_of,
    slots_or_cpus,
)
from streamsched.cli.printing import note
from streamsched.domain.errors import InputError
from streamsched.domain.routing import (
    NAME,
    NAME_REMEDY,
    QUEUES_LIMIT,
    Place,
    problem_of_patterns,
    problem_of_place,
    read_label,
    read_queue,
)
from streamsched.domain.visible import is_visible
from streamsched.hosting import supervise
from streamsched.hosting.extra import check_extra

if TYPE_CHECKING:
    from streamsched.installation.settings import Settings

NAME_LIMIT = 200
"""Characters of a node's name, which is in every event that it writes."""
LEAVE_S = 10.0
"""How long a drained worker may need to write its last outcomes and leave its group."""


def worker(
    context: typer.Context,
    slots: Slots = None,
    name: Name = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE",
                     help="A module whose handlers may run here, or all below a package ('jobs.*'); may be repeated."),
    ] = None,
    allow_command: AllowCommand = None,
    drain_timeout: DrainTimeout = 30.0,
    grace_period: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, envvar="STREAMSCHED_GRACE_PERIOD", show_envvar=False,
            help="How long the service manager waits before it kills this worker (terminationGracePeriodSeconds, "
            "TimeoutStopSec): it must leave time for the drain [env: STREAMSCHED_GRACE_PERIOD]",
        ),
    ] = None,
    checkpoint_interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Least time between durable checkpoints of one child.")
    ] = 1.0,
    reuse: Reuse = 0,
    devices: DevicesOption = None,
    queue: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", envvar="STREAMSCHED_QUEUE", show_envvar=False, show_default=False,
                     help="A queue whose tasks run here; may be repeated "
                     "[env: STREAMSCHED_QUEUE; default: default, for tasks that name none]"),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", envvar="STREAMSCHED_LABEL", show_envvar=False, show_default=False,
                     help="What this worker has or is, for children that need it (zone=a); may be repeated "
                     "[env: STREAMSCHED_LABEL]"),
    ] = None,
    output_rate: OutputRate = None,
    http_port: HttpPort = None,
    http_host: HttpHost = None,
) -> int:  # fmt: skip
    """Run a worker, which runs children, until stopped.

    SIGTERM and Ctrl-C drain it: running children stop at their next checkpoint and continue elsewhere; a second signal
    stops it at once. Handlers print to stdout, and what they print is kept in the log for 'logs'.
    """
    _check_grace(grace_period, drain_timeout)
    modules, programs = allowed_modules(allow), allowed_programs(allow_command)
    bound, place = devices_of(devices), place_in(queue, label)
    settings = _node_settings(context, "worker", name, http_port, http_host, output_rate)
    patterns = (*modules, *(programs or settings.allow_command))
    from streamsched.hosting.node import serve_worker
    from streamsched.worker.node import WorkerTiming

    if not patterns:
        note(
            "warning: this worker runs nothing; name the modules that it may run with --allow MODULE, and the programs "
            "with --allow-command PROGRAM"
        )
    timing = WorkerTiming(drain=drain_timeout, checkpoint=checkpoint_interval)
    slots = slots_or_cpus(slots)
    serve_worker(
        settings, name=name, slots=slots, allow=patterns, timing=timing, reuse=reuse, devices=bound, place=place
    )
    return 0


def scheduler(context: typer.Context, name: Name = None, http_port: HttpPort = None, http_host: HttpHost = None) -> int:
    """Run a scheduler, which dispatches tasks, until stopped.

    Run two or more: they share the work and replace each other.
    """
    settings = _node_settings(context, "scheduler", name, http_port, http_host)
    from streamsched.hosting.node import serve_scheduler

    serve_scheduler(settings, name=name)
    return 0


def allowed_modules(allow: list[str] | None) -> tuple[str, ...]:
    """Check the modules of ``--allow``."""
    modules = tuple(dict.fromkeys(allow or []))
    problem = problem_of_patterns(modules)
    if problem is not None:
        every = "anyone who may write to the log could run any code here; " if "*" in modules else ""
        raise InputError(problem, f"{every}name a module ('jobs'), or all below a package ('jobs.*')", source="--allow")
    return modules


def allowed_programs(allow: list[str] | None) -> tuple[str, ...]:
    """Check the programs of ``--allow-command``; returns them as patterns."""
    from streamsched.installation.settings import programs

    return programs(list(dict.fromkeys(allow or [])), "--allow-command")


def place_in(queues: list[str] | None, labels: list[str] | None) -> Place:
    """Check ``--queue`` and ``--label``."""
    for name in queues or ():
        if not NAME.fullmatch(name):
            raise InputError(f"{name[:200]!r} is not the name of a queue", NAME_REMEDY, source="--queue")
    pairs = []
    for text in labels or ():
        if (pair := read_label(text)) is None:
            remedy = f"write NAME=VALUE (zone=a); {NAME_REMEDY}"
            raise InputError(f"{text[:200]!r} is not a label", remedy, source="--label")
        pairs.append(pair)
    place = Place(tuple(dict.fromkeys(map(read_queue, queues or ()))), tuple(dict.fromkeys(pairs)))
    if (problem := problem_of_place(place)) is not None:
        source = "--queue" if len(place.queues) > QUEUES_LIMIT else "--label"
        raise InputError(problem, "start another worker for the others", source=source)
    return place


def _check_grace(grace_period: float | None, drain_timeout: float) -> None:
    """Raise InputError if a drain would be killed before its end."""
    if grace_period is not None and grace_period < drain_timeout + LEAVE_S:
        raise InputError(
            f"{grace_period:g} s are too short for a drain of {drain_timeout:g} s and {LEAVE_S:g} s to leave",
            f"give {drain_timeout + LEAVE_S:g} s or more (Kubernetes: terminationGracePeriodSeconds), "
            f"or --drain-timeout {max(0.0, grace_period - LEAVE_S):g}",
            source="--grace-period",
        )


def _node_settings(
    context: typer.Context, command: str, name: str | None, http_port: int | None, http_host: str | None,
    output_rate: str | None = None,
) -> Settings:  # fmt: skip
    """Return the settings in the node; the process that the user started becomes its parent and does not return."""
    from streamsched.installation.settings import refuse_embedded

    settings = settings_of(context, http_port=http_port, http_host=http_host, output_rate=output_rate)
    refuse_embedded(settings, command)
    if name is not None and not (is_visible(name) and 0 < len(name) <= NAME_LIMIT):
        raise InputError(f"invalid node name {name!r}", f"use 1 to {NAME_LIMIT} visible characters", source="--name")
    membership = supervise.to_evict()
    if membership is not None:
        from streamsched.hosting.evict import evict

        evict(settings, membership)
        raise typer.Exit
    if not supervise.is_node():
        check_extra(settings)
        supervise.become_parent(sys.argv[1:])
    return settings
