"""Read JSON and YAML files of limited size, with the line of every field.

Scalars are those of YAML 1.2 (``no`` and ``12:30`` are strings, ``010`` is ten). Anchors, aliases and tags are refused:
no small file can grow into a large value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

import yaml

from streamsched.domain.errors import InputError
from streamsched.domain.placeholders import DEPTH_LIMIT
from streamsched.domain.refusal import FieldPath, dotted

FILE_LIMIT_BYTES: Final = 1024 * 1024
_PARSER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER: Final = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its value, and the line of every key and entry. Without a file it is not ``numbered``."""

    source: str
    value: object
    lines: dict[FieldPath, int] = field(default_factory=dict)
    numbered: bool = True

    def line(self, path: FieldPath) -> int:
        """Return the line of a field, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def refuse(self, path: FieldPath, reason: str, remedy: str) -> InputError:
        """Return the error for one field."""
        line = self.line(path) if self.numbered else None
        return InputError(reason, remedy, source=self.source, line=line, field=dotted(path))


def read_bytes(path: Path) -> bytes:
    """Read a file of at most 1 MiB. Raise InputError."""
    source = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
    except IsADirectoryError:
        raise InputError("is a folder", "name a file in it", source=source) from None
    except FileNotFoundError:
        raise InputError("there is no such file", "check the path", source=source) from None
    except (OSError, ValueError) as error:
        reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise InputError(reason, "check the path and your rights", source=source) from None
    if len(data) > FILE_LIMIT_BYTES:
        reason = "is larger than 1 MiB"
        raise InputError(reason, "keep large data in files of their own and pass their paths", source=source)
    return data


def read_text(path: Path) -> str:
    """Read a file of at most 1 MiB of UTF-8 that is not empty. Raise InputError."""
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"is not UTF-8 (byte 0x{data[error.start]:02x})"
        raise InputError(reason, "save it as UTF-8", source=str(path), line=line) from None
    if not text.strip():
        raise InputError("is empty", "see docs/template.md for what belongs into it", source=str(path))
    return text


def read_document(path: Path) -> Document:
    """Read a JSON (by its suffix) or YAML file. Raise InputError with the line of what is wrong."""
    return document_of(read_text(path), path)


def document_of(text: str, path: Path) -> Document:
    """Parse the text of a file as ``read_document`` does."""
    return read_json(text, str(path)) if path.suffix.lower() == ".json" else read_yaml(text, str(path))


def read_json(text: str, source: str) -> Document:
    """Parse JSON. Raise InputError for anything else, for duplicate keys and for NaN."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        value: dict[str, object] = {}
        for key, entry in pairs:
            if key in value:
                raise InputError(f"the key {key} occurs twice", "remove one", source=source)
            value[key] = entry
        return value

    def constant(name: str) -> NoReturn:
        raise InputError(f"{name} is not a JSON number", "use a finite number", source=source)

    try:
        return Document(source, json.loads(text, object_pairs_hook=unique, parse_constant=constant))
    except json.JSONDecodeError as error:
        reason = f"is not valid JSON ({error.msg}, column {error.colno})"
        raise InputError(reason, "correct the syntax", source=source, line=error.lineno) from None
    except RecursionError:
        raise InputError("is nested too deep", "make it flatter", source=source) from None
    except ValueError:
        raise InputError("holds a number that is too long", "use a smaller one, or a string", source=source) from None


def read_yaml(text: str, source: str) -> Document:
    """Parse one YAML document. Raise InputError with the line of what is wrong."""
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        reason = f"holds the control character {control[0]!r}"
        raise InputError(reason, "is this a text file? remove it", source=source, line=line)
    builder = _Builder(source)
    try:
        builder.run(yaml.parse(text, Loader=_PARSER))
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, source) from None
    return Document(source, builder.root, builder.lines)


def is_other(text: str) -> bool:
    """Return whether a plain scalar is read as something else than this text."""
    return text in _WORDS or bool(_INTEGER.fullmatch(text) or _FLOAT.fullmatch(text))


def _syntax_error(error: yaml.YAMLError, text: str, source: str) -> InputError:
    mark = getattr(error, "problem_mark", None)
    lines = text.splitlines()
    line = mark.line + 1 if mark is not None else 1
    shown = lines[line - 1] if line <= len(lines) else ""
    if "\t" in shown[: len(shown) - len(shown.lstrip())]:
        reason, remedy = "a tab in the indentation, which YAML does not allow", "indent with spaces"
        return InputError(reason, remedy, source=source, line=line)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if "\t" in shown:
        problem += "; there is a tab in this line"
    reason = f"is not valid YAML ({problem})"
    return InputError(reason, "check indentation, quotes and brackets here", source=source, line=line)


class _Frame:
    """A list or an object that is being read."""

    __slots__ = ("container", "key", "path")

    def __init__(self, container: list[object] | dict[str, object], path: FieldPath) -> None:
        self.container = container
        self.path = path
        self.key: str | None = None

    def next_path(self) -> FieldPath:
        if isinstance(self.container, list):
            return (*self.path, len(self.container))
        return self.path if self.key is None else (*self.path, self.key)


class _Builder:
    """Builds a value from YAML events without recursion, so that a deep file cannot exhaust the stack."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._frames: list[_Frame] = []
        self._documents = 0
        self.root: object = None
        self.lines: dict[FieldPath, int] = {}

    def run(self, events: Iterable[yaml.Event]) -> None:
        for event in events:
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    self._refuse(line, "holds a second document", "remove the --- line")
            elif isinstance(event, yaml.NodeEvent):
                self._node(event, line)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._frames.pop()

    def _node(self, event: yaml.NodeEvent, line: int) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            reason = f"{sign}{event.anchor}: anchors and aliases are not allowed, they can multiply a value"
            self._refuse(line, reason, "write the value out; a string goes into quotes")
        tag: str | None = getattr(event, "tag", None)
        if tag is not None:
            self._refuse(line, f"the tag {tag} is not allowed", "remove it; quotes make a string")
        if isinstance(event, yaml.ScalarEvent):
            self._place(self._scalar(event, line), line)
            return
        if len(self._frames) >= DEPTH_LIMIT:
            self._refuse(line, f"nested more than {DEPTH_LIMIT} levels deep", "make it flatter")
        container: list[object] | dict[str, object] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        self._frames.append(_Frame(container, self._place(container, line)))

    def _place(self, value: object, line: int) -> FieldPath:
        if not self._frames:
            self.root = value
            return ()
        frame = self._frames[-1]
        path = frame.next_path()
        if isinstance(frame.container, list):
            self.lines[path] = line
            frame.container.append(value)
        elif frame.key is None:
            if not isinstance(value, str):
                self._refuse(line, f"the key {value!r} is not a string", "put it in quotes")
            self._key(frame, value, line)
        else:
            frame.container[frame.key] = value
            frame.key = None
        return path

    def _key(self, frame: _Frame, key: str, line: int) -> None:
        path = (*frame.path, key)
        if path in self.lines:
            reason = f"the key {key} occurs twice (first in line {self.lines[path]})"
            self._refuse(line, reason, "remove one", path)
        self.lines[path] = line
        frame.key = key

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> object:
        text: str = event.value
        if not event.implicit[0]:
            return text
        if text in _WORDS:
            return _WORDS[text]
        try:
            if _INTEGER.fullmatch(text):
                return int(text)
            if _FLOAT.fullmatch(text):
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            self._refuse(line, "the number is too long", "use a smaller one, or a string in quotes")
        return text

    def _refuse(self, line: int, reason: str, remedy: str, path: FieldPath | None = None) -> NoReturn:
        if path is None and self._frames:
            path = self._frames[-1].next_path()[:4]
        raise InputError(reason, remedy, source=self._source, line=line, field=dotted(path or ()))
