"""One child in lines for people: what it is given, its attempts, and the traceback of its last failure."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from streamsched.cli.output import Form, show
from streamsched.cli.printing import columns, compact, local_time, out, plain, terminal_width
from streamsched.cli.task_text import Lines, wrapped
from streamsched.domain.splitters.topic import FORMAT as TOPIC
from streamsched.queries.arguments import Arguments, Input
from streamsched.queries.attempts import Attempt
from streamsched.queries.documents import Document
from streamsched.queries.status import ChildStatus

if TYPE_CHECKING:
    from streamsched.client import Client

SHOWN: Final = 5
"""Inputs that are named."""


class WholeChild(Document, frozen=True):
    """A child with its arguments and its attempts, the latest first."""

    child: ChildStatus
    arguments: Arguments
    attempts: tuple[Attempt, ...]


def show_child(client: Client, task: str, child: str, form: Form) -> None:
    """Print all that is known of a child."""
    status, arguments = client.child(task, child), client.arguments(task, child)
    whole = WholeChild(status, arguments, tuple(client.attempts(task, child) if form is not Form.NAME else ()))

    def table(_: object) -> None:
        for line in wrapped(_describe(task, child, whole), terminal_width()):
            out(line)
        if whole.attempts:
            out("")
            head = ("DISPATCH", "ATTEMPT", "OUTCOME", "STARTED", "SECONDS", "CHECKPOINT", "WORKER", "DETAILS")
            spare, rows = ("CHECKPOINT", "DISPATCH", "WORKER"), map(_row, whole.attempts)
            for line in columns(head, rows, spare=spare, cut=("DETAILS",)):
                out(line)
        if status.traceback:
            out("")
            for line in status.traceback.splitlines():
                out(line)

    show(form, [whole], attrgetter("child.child"), table)


def _describe(task: str, child: str, whole: WholeChild) -> Lines:
    status, arguments = whole.child, whole.arguments
    failure = f"{status.error_type}: {status.message}" if status.error_type else status.reason or ""
    lines = [
        ("task", task),
        ("child", child),
        ("state", status.state),
        ("runs", plain(arguments.runs, 1_000)),
        ("arguments", compact(arguments.args, 500)),
        *(("reads", plain(_read(each), 500)) for each in arguments.inputs[:SHOWN]),
        ("", f"and {len(arguments.inputs) - SHOWN:,} more" if len(arguments.inputs) > SHOWN else ""),
        ("result", compact(status.result, 500) if status.state == "succeeded" else ""),
        ("last error" if status.error_type else "reason", plain(failure, 500)),
        ("group", plain(status.group or "")),
    ]
    return [(name, text) for name, text in lines if text]


def _read(each: Input) -> str:
    unit = "offsets" if each.format == TOPIC else "bytes"
    return f"{each.path}, {unit} {each.start:,} to {each.end:,}" if each.format else each.path


def _row(attempt: Attempt) -> tuple[object, ...]:
    seconds = "-"
    if attempt.started_at is not None and attempt.ended_at is not None:
        seconds = f"{(attempt.ended_at - attempt.started_at).total_seconds():,.3f}"
    error = f"{attempt.error_type}: {attempt.message}" if attempt.error_type else attempt.message or ""
    reason = attempt.reason if attempt.reason != "error" else ""
    told = f"told to {attempt.told}" if attempt.told else ""
    return (
        attempt.dispatch, attempt.attempt or "-", attempt.outcome or "-", local_time(attempt.started_at), seconds,
        attempt.sequence, plain(attempt.worker or "-", 28), plain(", ".join(filter(None, (told, reason, error)))),
    )  # fmt: skip
