"""``status``, ``list``, ``children``, ``failures``, ``results``, ``result`` and ``nodes``."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamsched.cli.options import Child, Json, Task, Where, client_of, labels_of
from streamsched.cli.output import Form, Output, show
from streamsched.cli.printing import (
    columns,
    compact,
    local_time,
    note,
    out,
    out_json,
    plain,
    ranges,
    terminal_width,
    whole,
)
from streamsched.cli.progress import span
from streamsched.cli.task_text import describe, told_failures, wrapped
from streamsched.domain.errors import InputError
from streamsched.queries.grid import STATES as CHILD_STATES
from streamsched.queries.listing import LIMIT, STATES

if TYPE_CHECKING:
    from streamsched.queries.failures import FailureStatus
    from streamsched.queries.nodes import NodeDocument
    from streamsched.queries.status import ChildStatus, TaskStatus

SILENT_MS: Final = 3_000
"""Age of the last beat from which a node is likely dead."""


def status(context: typer.Context, task: Task, form: Output = Form.TABLE) -> None:
    """Show the status of a task.

    It exits 0 for every task that exists, even a failed one.
    """
    with client_of(context) as client:
        found = client.status(task)
        groups = client.failures(task) if form is Form.TABLE else []

    def table(_: object) -> None:
        for line in wrapped(describe(found) + told_failures(task, groups), terminal_width()):
            out(line)

    show(form, [found], attrgetter("task_id"), table)


def why(
    context: typer.Context,
    task: Task,
    child: Child = None,
    form: Output = Form.TABLE,
) -> None:
    """Say why a task, a child or a schedule does not run.

    It also says what would change that. A time of a schedule that got no task has a name too: ID@TIME.
    """
    with client_of(context) as client:
        answer = client.why(task, child)

    def table(_: object) -> None:
        kind = "schedule" if answer.schedule_id else "task"
        name = f"{kind} {answer.task_id}" + ("" if answer.child is None else f", child {answer.child}")
        tells = answer.why.startswith(tuple(f"it {verb} {answer.state}" for verb in ("is", "was", "has")))
        out(plain(f"{name}{answer.why[2:]}" if tells else f"{name} is {answer.state}: {answer.why}", 1_000))
        if answer.change:
            out(plain(f"what would change it: {answer.change}", 1_000))

    show(form, [answer], attrgetter("task_id"), table)


def list_tasks(
    context: typer.Context,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help=f"Only tasks in this state: {', '.join(STATES)}.")
    ] = None,
    template: Annotated[str | None, typer.Option(metavar="NAME", help="Only tasks of this template.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only tasks with this label; may be repeated.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only tasks submitted then or later (RFC 3339, or a date).")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="List this many tasks at most.")] = LIMIT,
    after: Annotated[
        str | None, typer.Option(metavar="NEXT", help="Continue after a page, with the NEXT that it gave.")
    ] = None,
    form: Output = Form.TABLE,
) -> None:
    """List the latest tasks, the newest last.

    Where there are more than --limit, it says how to see the earlier ones.
    """
    from streamsched.cli.replay_commands import read_time

    begin = None if since is None else read_time(since, "--since", f"invalid time {since!r}")
    labels = labels_of(label)
    with client_of(context) as client:
        page = client.list(state=state, template=template, labels=labels, since=begin, limit=limit, after=after)

    def table(found: Iterable[TaskStatus]) -> None:
        head = ("TASK", "TEMPLATE", "STATE", "CHILDREN", "SUCCEEDED", "FAILED", "SUBMITTED", "BY")
        rows = [
            (task.task_id, task.template, task.state, task.children.total, task.children.succeeded,
             task.children.failed, local_time(task.submitted_at), plain(task.submitted_by))
            for task in found
        ]  # fmt: skip
        for line in columns(head, rows, spare=("BY", "TEMPLATE", "SUBMITTED"), cut=("TASK",)) if rows else ():
            out(line)
        if not rows:
            filters = (state, template, label, since, after)
            note("no task is like that" if any(given is not None for given in filters) else "no tasks")

    show(form, page.items[::-1], attrgetter("task_id"), table)
    if page.next is not None:
        note(f"there are more: add --after {quote(page.next)}")


def children(
    context: typer.Context,
    task: Task,
    child: Child = None,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help=f"Only children in this state: {', '.join(CHILD_STATES)}.")
    ] = None,
    where: Where = None,
    form: Output = Form.TABLE,
) -> None:
    """List the children of a task, or show one.

    A list has a line for each. Of one child it shows the arguments of its handler, its attempts from the journal, the
    latest first, and the traceback of its last failure; with --json the tracebacks of all attempts.
    """
    _check_state(state, CHILD_STATES)
    if child is not None:
        if state is not None or where is not None:
            raise InputError("one child is named", "leave it, or --state and --where, out", source="CHILD")
        from streamsched.cli.child_text import show_child

        with client_of(context) as client:
            show_child(client, task, child, form)
        return

    def table(found: Iterable[ChildStatus]) -> None:
        head = ("CHILD", "STATE", "ATTEMPT", "CHECKPOINT", "STARTED", "SECONDS", "WORKER", "OUTCOME")
        spare = ("CHECKPOINT", "WORKER", "STARTED")
        for line in columns(head, map(_child_row, found), spare=spare, cut=("OUTCOME",)):
            out(line)

    with client_of(context) as client:
        show(form, client.children(task, state, where=where), attrgetter("child"), table)


def failures(context: typer.Context, task: Task, form: Output = Form.TABLE) -> None:
    """List the failures of a task, grouped by cause.

    One group per line, those with the most attempts first. 'streamsched children TASK CHILD' shows the traceback of
    one of its children.
    """
    with client_of(context) as client:
        found = client.failures(task)

    def table(found: Iterable[FailureStatus]) -> None:
        rows = [
            (group.fingerprint, group.count, group.ended, group.type, plain(group.message, 100),
             " ".join(map(str, group.samples)))
            for group in found
        ]  # fmt: skip
        head = ("FINGERPRINT", "ATTEMPTS", "FAILED", "TYPE", "MESSAGE", "CHILDREN")
        for line in columns(head, rows, spare=("CHILDREN",), cut=("MESSAGE",)) if rows else ():
            out(line)
        if not rows:
            note("no attempt has failed")

    show(form, found, attrgetter("fingerprint"), table)


def results(context: typer.Context, task: Task, where: Where = None, form: Output = Form.TABLE) -> None:
    """Print the results of the children that succeeded, in order."""
    from streamsched.queries.status import Result

    def table(found: Iterable[Result]) -> None:
        for each in found:
            out(str(each.child), whole(each.result))

    with client_of(context) as client:
        found = (Result(child.child, child.result) for child in client.results(task, where=where))
        show(form, found, attrgetter("child"), table)


def result(context: typer.Context, task: Task, as_json: Json = False) -> None:
    """Print what the reduce of a task has returned: a JSON value."""
    with client_of(context) as client:
        found = client.result(task)
    if as_json:
        out_json(found)
    else:
        out(whole(found))


def list_nodes(context: typer.Context, form: Output = Form.TABLE) -> None:
    """List the schedulers and workers, with what they run."""
    with client_of(context) as client:
        nodes = client.nodes()
        missing = "" if nodes or form is not Form.TABLE else client.missing()

    def table(_: object) -> None:
        head = (
            "NAME", "ROLE", "STATE", "SLOTS", "FREE", "PENDING", "PARTITIONS", "AGE", "VERSION", "QUEUES", "LABELS",
            "MODULES",
        )  # fmt: skip
        spare = ("PARTITIONS", "VERSION", "LABELS", "QUEUES", "PENDING", "MODULES", "AGE")
        for line in columns(head, list(map(_node_row, nodes)), spare=spare, cut=("NAME",)) if nodes else ():
            out(line)
        for node in nodes:
            for child in node.running if node.age_ms < SILENT_MS else ():
                done = f"{child.done:g} of {child.total:g}" if child.total else "no progress reported"
                since = span(max(0.0, (node.at - child.started_at) / 1000))
                what = f"{child.task_id} child {child.child}, attempt {child.attempt}"
                out(f"  {plain(node.name)}: {what}, {since}, {done}")
        if missing:
            note(missing)

    show(form, nodes, attrgetter("name"), table)


def _node_row(node: NodeDocument) -> tuple[object, ...]:
    state = node.state if node.age_ms < SILENT_MS else "silent"
    owned = ranges(node.partitions)
    since = span(max(0, node.age_ms) / 1000)
    told = (plain(node.name), node.role, state, node.slots, node.free, node.pending, owned, since, node.version)
    return (*told, *_place(node), _modules(node))


def _place(node: NodeDocument) -> tuple[str, str]:
    """Return the queues and labels of a worker."""
    if node.role != "worker":
        return "-", "-"
    from streamsched.domain.routing import EVERYWHERE, Place, label_text

    labels = tuple(node.labels.items())
    if Place(node.queues, labels) == EVERYWHERE:
        return "any", "any"
    return plain(" ".join(node.queues), 500), plain(" ".join(map(label_text, labels)), 500) or "-"


def _modules(node: NodeDocument) -> str:
    if node.role != "worker":
        return "-"
    return "any" if node.modules is None else plain(" ".join(node.modules), 500) or "none"


def _check_state(state: str | None, states: tuple[str, ...]) -> None:
    if state is not None and state not in states:
        raise InputError(f"unknown state {state!r}", f"choose one of {', '.join(states)}", source="--state")


def _child_row(child: ChildStatus) -> tuple[object, ...]:
    seconds = "-"
    if child.started_at is not None and child.finished_at is not None:
        seconds = f"{(child.finished_at - child.started_at).total_seconds():,.3f}"
    outcome = compact(child.result, 100) if child.state == "succeeded" else plain(child.reason or "", 100)
    if child.message and child.state != "succeeded":
        outcome = plain(f"{child.error_type or child.reason}: {child.message}", 100)
        if child.group and child.group != child.error_type:
            outcome = f"{plain(child.group)}  {outcome}"
    started = local_time(child.started_at)
    name = plain(child.worker or "-", 28)
    return child.child, child.state, child.attempt, child.sequence, started, seconds, name, outcome
