"""``topic create``, ``produce`` and ``consume``: topics of the user's, which handlers read and emit to."""

from __future__ import annotations

import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamsched.cli.given import settings_of
from streamsched.cli.options import Json
from streamsched.cli.printing import out, out_json
from streamsched.domain.errors import InputError

if TYPE_CHECKING:
    from streamsched.commands.topic import Line

Topic = Annotated[str, typer.Argument(metavar="NAME", help="The topic.", show_default=False)]


def create(
    context: typer.Context,
    name: Topic,
    partitions: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="Number of partitions.")] = 1,
) -> None:
    """Create a topic.

    One that is there with as many partitions stays as it is.
    """
    from streamsched.commands.topic import create as make

    new = make(settings_of(context), _checked(name), partitions)
    out(f"topic {name} {'created' if new else 'is there'}, partitions: {partitions}")


def produce(
    context: typer.Context,
    name: Topic,
    key_separator: Annotated[str | None, typer.Option(
        metavar="TEXT", help="What ends the key in each line; a line without it has no key.", show_default=False,
    )] = None,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Lines are objects, as 'topic consume --json' prints them.",
    )] = False,
) -> None:  # fmt: skip
    """Write the lines of standard input to a topic.

    Each line is the value of a record. Without a key the lines go to the partitions by turns; with one, to the
    partition that Kafka's own clients would choose.
    """
    from streamsched.commands.topic import produce as write

    if as_json and key_separator is not None:
        raise InputError("a JSON line has its key in it", "leave out one of the two", source="--key-separator")
    lines = _objects() if as_json else _texts(None if key_separator is None else key_separator.encode())
    out(f"{write(settings_of(context), _checked(name), lines):,} records written to {name}")


def consume(
    context: typer.Context,
    name: Topic,
    limit: Annotated[int | None, typer.Option(
        metavar="N", min=1, help="Print no more than so many.", show_default=False
    )] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Print the values of a topic's records, one per line.

    It prints those that are committed now, and does not wait for more.
    """
    from streamsched.queries.topic import consume as read
    from streamsched.queries.topic import record_document

    for number, record in enumerate(read(settings_of(context), name)):
        if number == limit:
            return
        if as_json:
            out_json(record_document(record))
        else:
            out((record.value or b"").decode(errors="replace"))


def _checked(name: str) -> str:
    """Return the name of a topic. Raise InputError where it cannot be one."""
    if (
        not 0 < len(name) < 250
        or name in (".", "..")
        or not all(c.isascii() and (c.isalnum() or c in "._-") for c in name)
    ):
        raise InputError(f"invalid name {name[:300]!r}", "use letters, digits, '.', '_' and '-'", source="NAME")
    return name


def _texts(separator: bytes | None) -> Iterator[Line]:
    from streamsched.commands.topic import Line

    for line in sys.stdin.buffer:
        text = line.removesuffix(b"\n")
        key, found, value = text.partition(separator) if separator else (b"", b"", text)
        yield Line(key, value) if found else Line(None, text)


def _objects() -> Iterator[Line]:
    from streamsched.commands.topic import Line
    from streamsched.domain import values

    for number, line in enumerate(sys.stdin.buffer, 1):
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            found = values.read(line.decode())
            headers = [(str(each["name"]), _bytes(each, "value") or b"") for each in found.get("headers", ())]
            partition = found.get("partition")
            if partition is None or type(partition) is int:
                yield Line(_bytes(found, "key"), _bytes(found, "value"), headers, partition)
                continue
        raise InputError(f"line {number} is not a record", "write an object with value, key", source="standard input")


def _bytes(document: dict[str, Any], name: str) -> bytes | None:
    if (encoded := document.get(f"{name}_b64")) is not None:
        return b64decode(encoded, validate=True)
    text: str | None = document.get(name)
    return None if text is None else text.encode()
