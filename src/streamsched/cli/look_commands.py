"""``status``, ``list``, ``children``, ``results``, ``result`` and ``nodes``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamsched.cli.options import Json, Task, client_of
from streamsched.cli.printing import columns, compact, local_time, note, out, out_json, plain, ranges, whole
from streamsched.cli.progress import counted, span
from streamsched.domain.errors import InputError

if TYPE_CHECKING:
    from streamsched.domain.events import NodeBeat
    from streamsched.queries.status import ChildStatus, TaskStatus

BAR_CHARS: Final = 30
TASK_STATES: Final = (
    "requested", "planning", "running", "failing", "succeeding", "cancelling",
    "succeeded", "failed", "cancelled", "refused",
)  # fmt: skip
SILENT_MS: Final = 3_000
"""Age of the last beat from which a node is likely dead."""
CHILD_STATES: Final = ("waiting", "running", "succeeded", "failed", "cancelled")
CHILD_LINE: Final = "{:>9}  {:<9}  {:>7}  {:>10}  {:<19}  {:>9}  {:<28}  {}"


def status(context: typer.Context, task: Task, as_json: Json = False) -> None:
    """Show the status of a task. Exits 0 for every existing task, also for a failed one."""
    with client_of(context) as client:
        found = client.status(task)
    if as_json:
        out_json(found.document())
        return
    for name, text in describe(found):
        out(f"{name:<11} {text}")


def describe(found: TaskStatus) -> list[tuple[str, str]]:
    """Return the lines of a task's status, as names and texts."""
    counts = found.children
    lines = [
        ("task", found.task_id),
        ("state", found.state),
        ("reason", plain(found.reason, 500)),
        ("why", plain(found.why, 500)),
        ("redrive", str(found.redrive) if found.redrive else ""),
        ("template", f"{found.template}, version {found.template_version[:12]}"),
        ("parameters", compact(found.params, 500)),
        ("submitted", f"{local_time(found.submitted_at)} by {plain(found.submitted_by)} ({found.origin})"),
        ("priority", str(found.priority) if found.priority else ""),
        ("started", local_time(found.started_at)),
        ("finished", local_time(found.finished_at)),
    ]
    if found.started_at is not None:
        ended = found.finished_at or datetime.now(UTC)
        seconds = max(0.001, (ended - found.started_at).total_seconds())
        lines.append(("time", f"{span(seconds)}, {counts.ended / seconds:,.1f} children/s"))
    share = counts.ended / counts.total if counts.total else float(found.done)
    filled = int(share * BAR_CHARS)
    bar = "" if found.splitting else f"[{'#' * filled}{'.' * (BAR_CHARS - filled)}] {share:.0%}  "
    lines.append(("children", f"{bar}{counted(found)}"))
    return [(name, text) for name, text in lines if text not in ("", "-")]


def list_tasks(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(metavar="STATE", help=f"One of {', '.join(TASK_STATES)}.")] = None,
    as_json: Json = False,
) -> None:
    """List the tasks, the newest last."""
    _check_state(state, TASK_STATES)
    with client_of(context) as client:
        found = [task for task in client.tasks() if state in (None, task.state)]
    if as_json:
        for task in found:
            out_json(task.document())
    elif not found:
        note("no tasks" if state is None else f"no task is {state}")
    else:
        head = ("TASK", "TEMPLATE", "STATE", "CHILDREN", "DONE", "FAILED", "SUBMITTED", "BY")
        rows = [
            (task.task_id, task.template, task.state, task.children.total, task.children.succeeded,
             task.children.failed, local_time(task.submitted_at), plain(task.submitted_by))
            for task in found
        ]  # fmt: skip
        for line in columns([head, *rows]):
            out(line)


def children(
    context: typer.Context,
    task: Task,
    state: Annotated[str | None, typer.Option(metavar="STATE", help=f"One of {', '.join(CHILD_STATES)}.")] = None,
    as_json: Json = False,
) -> None:
    """List the children of a task, one per line."""
    _check_state(state, CHILD_STATES)
    with client_of(context) as client:
        found = client.children(task, state)
        if as_json:
            for child in found:
                out_json(child.document())
            return
        out(CHILD_LINE.format("CHILD", "STATE", "ATTEMPT", "CHECKPOINT", "STARTED", "SECONDS", "WORKER", "OUTCOME"))
        for child in found:
            out(_child_line(child))


def results(context: typer.Context, task: Task, as_json: Json = False) -> None:
    """Print the results of the children that succeeded, in order."""
    with client_of(context) as client:
        for child in client.results(task):
            if as_json:
                out_json({"child": child.child, "result": child.result})
            else:
                out(str(child.child), whole(child.result))


def result(context: typer.Context, task: Task, as_json: Json = False) -> None:
    """Print what the reduce of a task has returned: a JSON value."""
    with client_of(context) as client:
        found = client.result(task)
    if as_json:
        out_json(found)
    else:
        out(whole(found))


def list_nodes(context: typer.Context, as_json: Json = False) -> None:
    """List the schedulers and workers that run, with what runs on them."""
    from streamsched.queries.nodes import node_document

    with client_of(context) as client:
        nodes = client.nodes()
        missing = "" if nodes or as_json else client.missing()
    if as_json:
        for beat, age in nodes:
            out_json(node_document(beat, age).document())
        return
    if not nodes:
        note(missing)
        return
    head = ("NAME", "ROLE", "STATE", "SLOTS", "FREE", "PENDING", "PARTITIONS", "AGE", "VERSION", "MODULES")
    rows = [_node_row(beat, age) for beat, age in nodes]
    for line in columns([head, *rows]):
        out(line)
    for beat, age in nodes:
        for child in beat.running if age < SILENT_MS else ():
            done = f"{child.done:g} of {child.total:g}" if child.total else "no progress reported"
            since = span(max(0.0, (beat.at - child.started_at) / 1000))
            out(f"  {plain(beat.name)}: {child.task_id} child {child.child}, attempt {child.attempt}, {since}, {done}")


def _node_row(beat: NodeBeat, age: int) -> tuple[object, ...]:
    state = beat.state if age < SILENT_MS else "silent"
    owned = ranges(beat.partitions)
    since = span(max(0, age) / 1000)
    told = (plain(beat.name), beat.role, state, beat.slots, beat.free, beat.pending, owned, since, beat.version)
    return (*told, _modules(beat))


def _modules(beat: NodeBeat) -> str:
    if beat.role != "worker":
        return "-"
    return "any" if beat.modules is None else plain(" ".join(beat.modules), 500) or "none"


def _check_state(state: str | None, states: tuple[str, ...]) -> None:
    if state is not None and state not in states:
        raise InputError(f"unknown state {state!r}", f"choose one of {', '.join(states)}", source="--state")


def _child_line(child: ChildStatus) -> str:
    seconds = "-"
    if child.started_at is not None and child.finished_at is not None:
        seconds = f"{(child.finished_at - child.started_at).total_seconds():,.3f}"
    outcome = compact(child.result, 100) if child.state == "succeeded" else plain(child.reason or "", 100)
    if child.message and child.state != "succeeded":
        outcome = plain(f"{child.error_type or child.reason}: {child.message}", 100)
    return CHILD_LINE.format(
        child.child, child.state, child.attempt, child.sequence, local_time(child.started_at), seconds,
        plain(child.worker or "-", 28), outcome,
    ).rstrip()  # fmt: skip
