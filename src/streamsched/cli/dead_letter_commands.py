"""``dead-letters``: the records that were set aside, and why."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamsched.cli.options import Json, client_of
from streamsched.cli.printing import columns, local_time, note, out, out_json, plain
from streamsched.cli.replay_commands import read_time
from streamsched.domain.errors import InputError

if TYPE_CHECKING:
    from streamsched.client import Client
    from streamsched.log.port import Record
    from streamsched.queries.dead_letters import SetAside

LINE: Final = "{:>8}  {:<19}  {:<36}  {:<36}  {}"
ROW_BYTES: Final = 32
"""Of a value, in one line of its hexadecimal form."""
NAMES: Final = {"journal": "events", "work-log": "children"}
SHOWN_BYTES: Final = 512
"""Of a value, in all."""


def dead_letters(
    context: typer.Context,
    topic: Annotated[
        str | None,
        typer.Option(metavar="T", help="Only records from this topic: events, children, or a full name."),
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Set aside since (RFC 3339 or a date).")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the last N.")] = None,
    count: Annotated[bool, typer.Option("--count", help="Only count them, by topic.")] = False,
    as_json: Json = False,
) -> None:
    """List the records that were set aside because they are not events, the oldest first.

    Each is kept whole, up to 256 KiB, with the reason and its origin; 'dead-letters show' prints one. They are deleted
    after four weeks. Unreadable beats are skipped and get no dead letter.
    """
    if context.invoked_subcommand is not None:
        return
    begin = None if since is None else read_time(since, "--since", f"invalid time {since!r}")
    with client_of(context) as client:
        origin = None if topic is None else client.topic(topic)
        found = client.dead_letters(topic=origin, since=begin)
        if count:
            _count(found, as_json=as_json)
        else:
            _list(found if limit is None else deque(found, limit), as_json=as_json)


def show(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=0, help="Its number in the list.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show one dead letter whole: the reason, the key, the value, and the headers if the record is still there."""
    with client_of(context) as client:
        found = client.dead_letter(number)
        if found is None:
            raise InputError(f"there is no dead letter {number}", "'streamsched dead-letters' lists them")
        entry, origin = found
    if as_json:
        from streamsched.queries.dead_letters import whole_dead_letter_document

        out_json(whole_dead_letter_document(entry, origin).document())
        return
    for name, text in _described(entry, origin):
        out(f"{name:<9} {text}")


def set_aside(
    context: typer.Context,
    partition: Annotated[int, typer.Argument(metavar="PARTITION", min=0, help="Its partition.", show_default=False)],
    offset: Annotated[int, typer.Argument(metavar="OFFSET", min=0, help="Its offset.", show_default=False)],
    reason: Annotated[str, typer.Option("--reason", metavar="WHY", help="Why it is rubbish.", show_default=False)],
    topic: Annotated[
        str, typer.Option("--topic", metavar="T", help="journal or work-log, or the full name of their topics.")
    ] = "journal",
    work_log: Annotated[bool, typer.Option("--work-log", help="As --topic work-log.")] = False,
) -> None:
    """Set aside a record of an unknown schema, so that its partition continues.

    A partition stops at such a record because a newer version may have written it: then upgrade instead, or its content
    is lost. The decision is written to the same partition, with who and why, and the record becomes a dead letter. All
    nodes and commands need a version that knows such decisions.
    """
    with client_of(context) as client:
        on_work_log = work_log or _is_work_log(client.topic(NAMES.get(topic, topic)), client)
        decided = client.set_aside(partition, offset, reason, work_log=on_work_log)
    decision = decided.decision
    if decided.before:
        note(plain(f"it was set aside already, at {local_time(decision.at)} by {decision.by}: {decision.reason}"))
    else:
        note(f"partition {partition} continues at offset {offset}; the record becomes a dead letter")


def _is_work_log(topic: str, client: Client) -> bool:
    if topic not in (client.topic("events"), client.topic("children")):
        raise InputError(f"no record of {topic} stops a partition", "choose journal or work-log", source="--topic")
    return topic == client.topic("children")


def _list(found: Iterable[SetAside], *, as_json: bool) -> None:
    from streamsched.queries.dead_letters import dead_letter_document

    told: Counter[str] = Counter()
    for entry in found:
        if not told and not as_json:
            out(LINE.format("NUMBER", "SET ASIDE", "RECORD", "KEY", "REASON"))
        told[entry.letter.topic] += 1
        if as_json:
            out_json(dead_letter_document(entry).document())
        else:
            letter = entry.letter
            when, key = local_time(letter.at), plain(_text(letter.key), 36)
            out(LINE.format(entry.number, when, plain(_place(entry)), key, plain(_reason(entry), 160)).rstrip())
    if not as_json:
        note(f"{told.total():,} of {', '.join(map(plain, sorted(told)))}" if told else "no dead letters")


def _count(found: Iterable[SetAside], *, as_json: bool) -> None:
    counts = Counter(entry.letter.topic for entry in found)
    if as_json:
        out_json({"total": counts.total(), "topics": dict(sorted(counts.items()))})
        return
    rows = [(plain(topic), number) for topic, number in sorted(counts.items())]
    for line in columns([("TOPIC", "DEAD LETTERS"), *rows, ("all", counts.total())]):
        out(line)


def _described(entry: SetAside, origin: Record | None) -> list[tuple[str, str]]:
    letter = entry.letter
    lines = [
        ("number", str(entry.number)),
        ("record", plain(_place(entry))),
        ("reason", plain(_reason(entry), 2_000)),
        ("set aside", f"{local_time(letter.at)} by {plain(letter.by)}"),
        ("key", "none" if letter.key is None else plain(_text(letter.key), 500)),
    ]
    if origin is None:
        lines.append(("origin", "the record itself was deleted"))
    else:
        lines.append(("written", local_time(origin.timestamp)))
        lines += [("header", plain(f"{name}: {_text(data)}", 500)) for name, data in origin.headers]
    if letter.value is None:
        lines.append(("value", "none"))
        return lines
    whole = len(letter.value) if origin is None or origin.value is None else len(origin.value)
    lines.append(("value", f"{whole:,} bytes" + (f", the first {SHOWN_BYTES} of them" if whole > SHOWN_BYTES else "")))
    for begin in range(0, min(len(letter.value), SHOWN_BYTES), ROW_BYTES):
        row = letter.value[begin : min(begin + ROW_BYTES, SHOWN_BYTES)]
        lines.append((f"{begin:>8}", f"{row.hex(' ', 4):<{2 * ROW_BYTES + ROW_BYTES // 4}} {_printable(row)}"))
    return lines


def _place(entry: SetAside) -> str:
    letter = entry.letter
    return f"{letter.topic}-{letter.partition} offset {letter.offset}"


def _reason(entry: SetAside) -> str:
    """Return the reason without the place, which has a column of its own."""
    return entry.letter.reason.removeprefix(f"{_place(entry)}: ")


def _text(data: bytes | None) -> str:
    return "-" if data is None else data.decode(errors="backslashreplace")


def _printable(data: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
