"""``replay``: the history, from the log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamsched.cli.completion import complete_task
from streamsched.cli.options import Json, Until, client_of
from streamsched.cli.printing import columns, note, out, out_json
from streamsched.domain.errors import InputError, NoSuchTask

if TYPE_CHECKING:
    from streamsched.cli.event_text import ChildNames
    from streamsched.client import Client
    from streamsched.domain.events import Event
    from streamsched.log.codec import Undecodable
    from streamsched.log.port import Record

HEAD: Final = ("TIME", "PLACE", "TASK OR SCHEDULE", "EVENT", "DETAILS")


def replay(
    context: typer.Context,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="ID", help="Only this task or schedule.", autocompletion=complete_task),
    ] = None,
    until: Until = None,
    as_json: Json = False,
    view: Annotated[Path | None, typer.Option(metavar="DIR", help="Rebuild a view in this empty folder.")] = None,
) -> None:
    """Print the history of a task or schedule, or of all."""
    position, moment = read_until(until)
    if view is not None and view.exists() and (not view.is_dir() or any(view.iterdir())):
        raise InputError("is not an empty folder", "name a new one", source=f"--view {view}")
    with client_of(context) as client:
        if task is not None:
            _find(client, task)
        if view is not None:
            events = client.rebuild(view, task, until_position=position, until_time=moment)
            note(f"{events:,} events folded into a view in {view}")
            return
        _print(client, task, position, moment, as_json=as_json)


def _find(client: Client, name: str) -> None:
    """Raise NoSuchTask for a name that is neither a task nor a schedule."""
    try:
        client.status(name)
    except NoSuchTask as error:
        try:
            client.schedule(name)
        except NoSuchTask:
            raise error from None


def _print(client: Client, task: str | None, position: int | None, moment: int | None, *, as_json: bool) -> None:
    from streamsched.audit.document import entry
    from streamsched.cli.event_text import ChildNames

    names, found = ChildNames(), client.history(task, until_position=position, until_time=moment)
    if as_json:
        for record, event in found:
            out_json(entry(record, event))
        return
    rows = (_row(record, event, names) for record, event in found)
    spare = ("PLACE",) if task is None else ("TASK OR SCHEDULE", "PLACE")
    for line in columns(HEAD, rows, spare=spare, cut=("TASK OR SCHEDULE", "DETAILS")):
        out(line)


def _row(record: Record, event: Event | Undecodable, names: ChildNames) -> tuple[str, ...]:
    from streamsched.cli.event_text import event_text

    moment = datetime.fromtimestamp(record.timestamp / 1000, UTC).astimezone()
    place = f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}", f"{record.partition}:{record.offset}"
    if isinstance(event, Exception):
        return *place, "?", "(undecodable)", str(event)
    about = str(getattr(event, "schedule_id", "") or getattr(event, "task_id", "-"))
    return *place, about, type(event).__name__, event_text(event, names)


def read_until(text: str | None) -> tuple[int | None, int | None]:
    """Read ``--until``: an offset, or a time in milliseconds; one without a zone is local."""
    if text is None:
        return None, None
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text), None
    return None, read_time(text, "--until", f"{text!r} is neither an offset nor a time", "5000, ")


def read_time(text: str, option: str, reason: str, others: str = "") -> int:
    """Read a time of an option, in milliseconds; one without a zone is local."""
    try:
        return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InputError(reason, f"write {others}2026-11-23 or 2026-11-23T12:00:00Z", source=option) from None
