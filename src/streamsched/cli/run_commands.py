"""``run`` and ``submit``."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import typer

from streamsched.cli.exits import INTERRUPTED
from streamsched.cli.given import settings_of
from streamsched.cli.options import (
    DevicesOption,
    Json,
    Labels,
    Pairs,
    ParamsFile,
    Priority,
    Reuse,
    Slots,
    TaskId,
    Template,
    Wait,
    client_of,
    devices_of,
    importing,
    labels_of,
    slots_or_cpus,
)
from streamsched.cli.printing import note, out, out_json
from streamsched.cli.progress import FoldNotice, because, counted, note_missing, span
from streamsched.cli.server_commands import HttpBeside, Ui, address_beside, pages_beside
from streamsched.cli.watching import TaskProgress, until_done

if TYPE_CHECKING:
    from streamsched.hosting.run import Run
    from streamsched.queries.status import TaskStatus


def run(
    context: typer.Context,
    template: Template,
    param: Pairs = None,
    params: ParamsFile = None,
    task_id: TaskId = None,
    priority: Priority = 0,
    label: Labels = None,
    slots: Slots = None,
    reuse: Reuse = 0,
    devices: DevicesOption = None,
    ui: Ui = False,
    http: HttpBeside = None,
    as_json: Json = False,
) -> int:
    """Submit a task and work on it here until it has ended.

    Without --brokers it uses the embedded log in the data folder. After an interruption, even kill -9, the same
    command with the same --task-id continues where it was. What handlers print goes to output.log in the data folder.
    """
    settings = settings_of(context)
    with importing():
        from streamsched.commands.request import want

    variables = load_variables(template, param or [], params)
    wanted = want(template, variables, task_id=task_id, priority=priority, labels=labels_of(label))
    with importing():
        from streamsched.hosting.run import Run

    bound, address = devices_of(devices), address_beside(http, ui=ui)
    worker = Run(settings, slots=slots_or_cpus(slots), reuse=reuse, devices=bound, on_progress=FoldNotice())
    try:
        submitted = worker.submit(wanted)
        before = worker.status(submitted.task_id)
        again = continue_command(sys.argv, submitted.task_id)
        note(f"task {submitted.task_id}" + ("" if submitted.first else f" exists already: {before.state}"))
        if worker.ended(submitted.task_id):
            return report(before, as_json, seconds=0.0, fresh=0, output=worker.output)
        note(f"after an interruption, continue with: {again}")
        with pages_beside(settings, address, f"/#/tasks/{quote(submitted.task_id, safe='')}"):
            return _work(worker, before, again, as_json)
    finally:
        worker.close()


def submit(
    context: typer.Context,
    template: Template,
    param: Pairs = None,
    params: ParamsFile = None,
    task_id: TaskId = None,
    priority: Priority = 0,
    label: Labels = None,
    wait: Wait = False,
    as_json: Json = False,
) -> int:
    """Submit a task, for others to work on.

    It goes to the schedulers and workers of a Kafka cluster, or to the 'up' or 'run' of this folder. A task id that is
    given again with the same parameters is the same task: its status is printed. With other parameters it is refused.
    """
    values = load_variables(template, param or [], params)
    with client_of(context) as client:
        submitted = client.submit(template, values, task_id=task_id, priority=priority, labels=labels_of(label))
        document: dict[str, Any] = {"task_id": submitted.task_id, "first": submitted.first}
        there = None if submitted.first else client.status(submitted.task_id)
        if wait and (halted := client.halted(submitted.task_id)):
            from streamsched.log.port import PartitionHalted

            raise PartitionHalted(f"task {submitted.task_id} was submitted, and waits: {halted}")
        if wait:
            note(f"task {submitted.task_id}")
            status = until_done(client, submitted.task_id)
            if as_json:
                out_json({**document, "status": status.document()})
            else:
                out(f"{status.task_id} {status.state}: {counted(status)}{because(status)}")
            return 0 if status.state == "succeeded" else 1
        if as_json:
            out_json(document if there is None else {**document, "status": there.document()})
        else:
            out(submitted.task_id)
        if there is not None and not as_json:
            note(f"exists already: {there.state}, {counted(there)}")
        if there is None or not there.done:
            note_missing(client)
        return 0


def load_variables(template: Path, pairs: Sequence[str], file: Path | None) -> dict[str, object]:
    """Read the variables of the command line."""
    from streamsched.files.params_input import load_params
    from streamsched.files.template_file import load_template

    return load_params(load_template(template), pairs, file)


def continue_command(arguments: Sequence[str], task_id: str) -> str:
    """Return the command line that continues this task."""
    words = ["streamsched", *arguments[1:]]
    if not any(word == "--task-id" or word.startswith("--task-id=") for word in words):
        words += ["--task-id", task_id]
    return shlex.join(words)


def report(status: TaskStatus, as_json: bool, *, seconds: float, fresh: int, output: Path) -> int:
    """Print the summary of a run; returns the exit code."""
    rate = fresh / seconds if seconds else 0.0
    if as_json:
        out_json({
            **status.document(), "seconds": round(seconds, 3), "children_per_second": round(rate, 1),
            "output": str(output),
        })  # fmt: skip
    else:
        out(f"task      {status.task_id}")
        out(f"state     {status.state}{because(status)}")
        out(f"children  {counted(status)}")
        if seconds:
            out(f"time      {span(seconds)}, {rate:,.0f} children/s in this run")
        out(f"output    {output}")
        command = "result" if status.reduce else "results"
        out(f"{command:<9} streamsched {command} {shlex.quote(status.task_id)}")
    return 0 if status.state == "succeeded" else 1


def _work(worker: Run, before: TaskStatus, again: str, as_json: bool) -> int:
    interrupted = False

    def on_signal(number: int, _: object) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        worker.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    began = time.monotonic()
    with TaskProgress() as progress:
        status = worker.until_done(before.task_id, progress)
    seconds = time.monotonic() - began
    if interrupted and not status.done:
        note(f"interrupted: {counted(status)}; continue with: {again}")
        return INTERRUPTED
    fresh = status.children.ended - before.children.ended
    return report(status, as_json, seconds=seconds, fresh=fresh, output=worker.output)
