"""What was once written is read for ever: a lock of fingerprints, and one recorded sample of each schema."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from streamsched.domain.events import Event
from streamsched.log.codec import Codec, schema_folder, wire_fingerprint
from tests.support.samples import SAMPLES, Sample

CODEC: Final = Codec()
RECORDED: Final = Path(__file__).with_name("samples.jsonl")
LINES: Final = [json.loads(line) for line in RECORDED.read_text().splitlines()]


def as_json(value: Any) -> Any:
    """Make plain JSON of an event's fields; bytes become base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, tuple | list):
        return [as_json(item) for item in value]
    return {name: as_json(item) for name, item in value.items()} if isinstance(value, dict) else value


def line_of(event: Event) -> dict[str, Any]:
    """Make the line that records a sample."""
    value = CODEC.encode(event)
    return {
        "event": type(event).__name__,
        "fingerprint": value[2:10].hex(),
        "value": value.hex(),
        "fields": as_json(msgspec.to_builtins(event, builtin_types=(bytes,))),
    }


def includes(whole: Any, part: Any) -> bool:
    """Tell whether everything recorded is there; fields that were added since have their defaults."""
    if isinstance(part, dict):
        return all(name in whole and includes(whole[name], item) for name, item in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(includes, whole, part))
    return bool(whole == part)


def test_every_schema_stands_in_the_lock() -> None:
    folder = schema_folder()
    lines = [line.split() for line in (folder / "fingerprints.lock").read_text().splitlines()]
    locked = {(mark, name) for mark, name in lines}
    today = {(wire_fingerprint(json.loads(path.read_text())).hex(), path.stem) for path in folder.glob("*.avsc")}
    history = {(path.stem.split(".")[1], path.stem.split(".")[0]) for path in (folder / "history").glob("*.avsc")}
    changed = sorted(name for _, name in today - locked)
    assert not changed, f"new or changed: {changed}; records of the former schema are read for ever: 'make schemas'"
    last = {name: mark for mark, name in lines}
    assert {(mark, name) for name, mark in last.items()} == today, "the last line of each event is what is written"
    lost = locked - today - history
    assert not lost, f"schemas that records were written with are gone; bring them back to schemas/history/: {lost}"


@pytest.mark.parametrize("line", LINES, ids=[f"{line['event']}.{line['fingerprint']}" for line in LINES])
def test_what_was_recorded_is_read_as_it_was(line: dict[str, Any]) -> None:
    event = CODEC.decode(Sample(bytes.fromhex(line["value"])))
    assert type(event).__name__ == line["event"]
    assert includes(as_json(msgspec.to_builtins(event, builtin_types=(bytes,))), line["fields"])


def test_every_schema_of_today_has_a_recorded_sample() -> None:
    recorded = {line["fingerprint"] for line in LINES}
    missing = [json.dumps(line) for line in map(line_of, SAMPLES.values()) if line["fingerprint"] not in recorded]
    assert not missing, "'make schemas' adds to tests/golden/samples.jsonl:\n" + "\n".join(missing)
