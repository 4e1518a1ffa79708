"""``make schemas``: write the schemas of events that are new or have got fields, and all that goes with them.

A changed event's former schema goes to ``schemas/history``; the new one gets its line in the lock and its sample.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import fields

from streamsched.domain.events import EVENTS
from streamsched.log.codec import schema_folder, wire_fingerprint

PLAIN: Final = {int: "long", str: "string", bytes: "bytes", bool: "boolean", float: "double"}
GOLDEN: Final = Path(__file__).parents[1] / "tests" / "golden" / "samples.jsonl"


def schema_of(cls: type[Struct]) -> dict[str, Any]:
    """Work out the Avro schema of an event, or of a record inside one."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        "type": "record",
        "name": cls.__name__,
        "namespace": "streamsched",
        "doc": inspect.getdoc(cls),
        "fields": [dict(_field(field.name, hints[field.name], field.default)) for field in fields(cls)],
    }


def _field(name: str, hint: Any, default: Any) -> Iterator[tuple[str, Any]]:
    yield "name", name
    yield "type", _type(hint)
    if doc := _doc(hint):
        yield "doc", doc
    if _is_nullable(hint):
        yield "default", None
    elif default is not NODEFAULT:
        yield "default", list(default) if isinstance(default, tuple) else default


def _doc(hint: Any) -> str:
    """Write down the unit and the bounds that the type of a field declares."""
    if get_origin(hint) is not Annotated:
        return _doc(get_args(hint)[0]) if _is_nullable(hint) else ""
    marks = [mark for mark in hint.__metadata__ if isinstance(mark, Meta)]
    parts = [mark.description for mark in marks if mark.description]
    for mark in marks:
        if mark.lt is not None:
            parts.append(f"{mark.ge} to {int(mark.lt) - 1}")
        elif mark.ge is not None:
            parts.append(f"{mark.ge} or more")
        if mark.max_length is not None:
            parts.append(f"a length of {mark.max_length} at most")
        if mark.extra is not None:
            parts.append(f"{mark.extra['bytes']} bytes at most")
    return "; ".join(parts)


def _is_nullable(hint: Any) -> bool:
    return get_origin(hint) in (types.UnionType, Union)


def _type(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        return _type(get_args(hint)[0])
    if _is_nullable(hint):
        return ["null", _type(get_args(hint)[0])]
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _type(get_args(hint)[0])}
    return PLAIN.get(hint) or schema_of(hint)


def main() -> None:
    """Bring ``schemas`` and the recorded samples up to date with the event classes."""
    folder = schema_folder()
    lock = folder / "fingerprints.lock"
    last = {name: mark for mark, name in map(str.split, lock.read_text().splitlines())}
    for cls in EVENTS:
        name, schema = cls.__name__, schema_of(cls)
        mark, former, path = wire_fingerprint(schema).hex(), last.get(cls.__name__), folder / f"{cls.__name__}.avsc"
        if former not in (None, mark):
            path.rename(folder / "history" / f"{name}.{former}.avsc")
        path.write_text(json.dumps(schema, indent=2) + "\n")  # what it says of bounds may be new without a new mark
        if mark == former:
            continue
        with lock.open("a") as file:
            file.write(f"{mark} {name}\n")
        print(f"{name}: {former or 'new'} -> {mark}")
    _record()


def _record() -> None:
    from tests.golden.test_golden import line_of
    from tests.support.samples import SAMPLES

    recorded = {json.loads(line)["fingerprint"] for line in GOLDEN.read_text().splitlines()}
    lines = [line for line in map(line_of, SAMPLES.values()) if line["fingerprint"] not in recorded]
    with GOLDEN.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


if __name__ == "__main__":
    main()
