"""``dead-letters``: the records that were set aside, and why."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamsched.cli.options import client_of
from streamsched.cli.output import Form, Output
from streamsched.cli.output import show as show_found
from streamsched.cli.printing import columns, local_time, note, out, out_json, plain
from streamsched.cli.replay_commands import read_time
from streamsched.domain.errors import InputError

if TYPE_CHECKING:
    from streamsched.queries.dead_letters import DeadLetterDocument, WholeDeadLetterDocument

ROW_BYTES: Final = 32
"""Of a value, in one line of its hexadecimal form."""
SHOWN_BYTES: Final = 512
"""Of a value, in all."""


def dead_letters(
    context: typer.Context,
    topic: Annotated[
        str | None,
        typer.Option(metavar="T", help="Only records from this topic: events, children, or a full name."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only records set aside then or later (RFC 3339, or a date).")
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the last N.")] = None,
    count: Annotated[bool, typer.Option("--count", help="Only count them, by topic.")] = False,
    form: Output = Form.TABLE,
) -> None:
    """List the records that were set aside, the oldest first.

    They are no events that streamsched can read. Each is kept whole, up to 256 KiB, with the reason and its origin;
    'dead-letters show' prints one. They are deleted after four weeks. Unreadable beats are skipped and get no dead
    letter.
    """
    if context.invoked_subcommand is not None:
        return
    begin = None if since is None else read_time(since, "--since", f"invalid time {since!r}")
    with client_of(context) as client:
        found = client.dead_letters(topic=topic, since=begin)
        if count:
            _count(found, as_json=form is Form.JSON)
        else:
            _list(found if limit is None else deque(found, limit), form)


def show(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=0, help="Its number in the list.", show_default=False)],
    form: Output = Form.TABLE,
) -> None:
    """Show one dead letter whole.

    Its reason, key and value, and the headers if the record is still there.
    """
    with client_of(context) as client:
        found = client.dead_letter(number)
        if found is None:
            raise InputError(f"there is no dead letter {number}", "'streamsched dead-letters' lists them")

    def table(_: object) -> None:
        for name, text in _described(found):
            out(f"{name:<9} {text}")

    show_found(form, [found], attrgetter("number"), table)


def set_aside(
    context: typer.Context,
    partition: Annotated[int, typer.Argument(metavar="PARTITION", min=0, help="Its partition.", show_default=False)],
    offset: Annotated[int, typer.Argument(metavar="OFFSET", min=0, help="Its offset.", show_default=False)],
    reason: Annotated[
        str, typer.Option("--reason", metavar="WHY", help="Why the record may be left out.", show_default=False)
    ],
    topic: Annotated[
        str, typer.Option("--topic", metavar="T", help="journal or work-log, or the full name of their topics.")
    ] = "journal",
    work_log: Annotated[bool, typer.Option("--work-log", help="As --topic work-log.")] = False,
) -> None:
    """Set aside a record at which a partition stands still.

    A partition stops at a record of an unknown schema, because a newer version may have written it: then upgrade
    instead, or its content is lost. The decision is written to the same partition, with who and why, and the record
    becomes a dead letter. All nodes and commands need a version that knows such decisions.
    """
    with client_of(context) as client:
        decided = client.set_aside(partition, offset, reason, topic="work-log" if work_log else topic)
    if decided.before:
        note(plain(f"it was set aside already, at {local_time(decided.at)} by {decided.by}: {decided.reason}"))
    else:
        note(f"partition {partition} continues at offset {offset}; the record becomes a dead letter")


def _list(found: Iterable[DeadLetterDocument], form: Form) -> None:
    told: Counter[str] = Counter()

    def rows() -> Iterator[tuple[object, ...]]:
        for letter in found:
            told[letter.topic] += 1
            when, key = local_time(letter.at), plain("-" if letter.key is None else letter.key, 36)
            yield letter.number, when, plain(_place(letter)), key, plain(_reason(letter), 160)

    def table(_: object) -> None:
        head = ("NUMBER", "SET ASIDE", "RECORD", "KEY", "REASON")
        for line in columns(head, rows(), spare=("KEY", "SET ASIDE"), cut=("REASON",)):
            if told:
                out(line)
        note(f"{told.total():,} of {', '.join(map(plain, sorted(told)))}" if told else "no dead letters")

    show_found(form, found, attrgetter("number"), table)


def _count(found: Iterable[DeadLetterDocument], *, as_json: bool) -> None:
    counts = Counter(letter.topic for letter in found)
    if as_json:
        out_json({"total": counts.total(), "topics": dict(sorted(counts.items()))})
        return
    rows = [(plain(topic), number) for topic, number in sorted(counts.items())]
    for line in columns(("TOPIC", "DEAD LETTERS"), [*rows, ("all", counts.total())]):
        out(line)


def _described(letter: WholeDeadLetterDocument) -> list[tuple[str, str]]:
    lines = [
        ("number", str(letter.number)),
        ("record", plain(_place(letter))),
        ("reason", plain(_reason(letter), 2_000)),
        ("set aside", f"{local_time(letter.at)} by {plain(letter.by)}"),
        ("key", "none" if letter.key is None else plain(letter.key, 500)),
    ]
    if letter.origin is None:
        lines.append(("origin", "the record itself was deleted"))
    else:
        lines.append(("written", local_time(letter.origin["timestamp"])))
        lines += [("header", plain(f"{name}: {text}", 500)) for name, text in letter.headers or ()]
    if letter.value is None:
        lines.append(("value", "none"))
        return lines
    value = bytes.fromhex(letter.value)
    whole = (letter.origin or {}).get("bytes") or len(value)
    lines.append(("value", f"{whole:,} bytes" + (f", the first {SHOWN_BYTES} of them" if whole > SHOWN_BYTES else "")))
    for begin in range(0, min(len(value), SHOWN_BYTES), ROW_BYTES):
        row = value[begin : min(begin + ROW_BYTES, SHOWN_BYTES)]
        lines.append((f"{begin:>8}", f"{row.hex(' ', 4):<{2 * ROW_BYTES + ROW_BYTES // 4}} {_printable(row)}"))
    return lines


def _place(letter: DeadLetterDocument) -> str:
    return f"{letter.topic}-{letter.partition} offset {letter.offset}"


def _reason(letter: DeadLetterDocument) -> str:
    """Return the reason without the place, which has a column of its own."""
    return letter.reason.removeprefix(f"{_place(letter)}: ")


def _printable(data: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
