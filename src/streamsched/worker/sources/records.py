"""What a child reads of its files: records of a range, or the lines that its arguments are to hold."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Final

from streamsched.domain import values
from streamsched.domain.options import InputFile
from streamsched.domain.placeholders import encode, inside, text_of
from streamsched.domain.splitters.lines import ITEM, ITEM_INSIDE, ITEMS, ITEMS_INSIDE
from streamsched.worker.context import InputRecords
from streamsched.worker.errors import BadArguments, NonRetryable
from streamsched.worker.sources.errors import BadRecord, InputMissing
from streamsched.worker.sources.storage import BOM, BUFFER, reading, storage_of, verify

RECORD_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of one record."""


def check_inputs(inputs: Sequence[InputFile], alive: Callable[[], None]) -> None:
    """Refuse files that are not those which the split child found. Raise InputChanged, InputMissing."""
    for each in inputs:
        if each.verify:
            alive()
            verify(each.path, each.size, each.tag)


def filled(args: str, inputs: Sequence[InputFile]) -> str:
    """Put the lines of a range into the arguments that name them."""
    if not inputs or inputs[0].format != "lines" or "\ue000" not in args:
        return args
    items = _lines(inputs[0])
    every = encode(items)
    if f'"{ITEM}"' in args or ITEM_INSIDE in args:
        if len(items) != 1:
            raise BadArguments(
                f"child.item is for chunks of size 1, this child has {len(items):,}: use ${{child.items}}"
            )
        args = args.replace(f'"{ITEM}"', encode(items[0]))
        args = args.replace(ITEM_INSIDE, inside(text_of(items[0])) if ITEM_INSIDE in args else "")
    args = args.replace(f'"{ITEMS}"', every)
    return args.replace(ITEMS_INSIDE, inside(every)) if ITEMS_INSIDE in args else args


def _lines(of: InputFile) -> list[str]:
    with storage_of(of.path).open(of.path) as file, reading(of.path):
        file.seek(of.start)
        data = file.read(of.end - of.start)
    if len(data) != of.end - of.start:
        raise InputMissing(f"{of.path} ends at byte {of.start + len(data):,}, before the {of.end:,} of this child")
    if of.start == 0:
        data = data.removeprefix(BOM)
    # A file name may be any bytes: one that is not UTF-8 must come back as it was.
    found = (line.removesuffix(b"\r") for line in data.split(b"\n") if line.strip())
    return [line.decode("utf-8", "surrogateescape") for line in found]


class RangeRecords(InputRecords):
    """The records that start in a range of a file; offsets are in bytes. Each is a safe point."""

    def __init__(self, of: InputFile, offset: int | None, alive: Callable[[], None]) -> None:
        if offset is not None and not of.start <= offset <= of.size:
            raise NonRetryable(f"the last checkpoint has the offset {offset:,}, which this child of {of.path} has not")
        self._of = of
        self._alive = alive
        verify(of.path, of.size, of.tag)
        self._file = storage_of(of.path).open(of.path)
        try:
            self._parse = _parser(of, self._file)
            self.offset = of.start
            self.seek(of.start if offset is None else offset)
        except BaseException:
            self._file.close()
            raise

    def seek(self, done: int) -> None:
        """Go on at this offset: the start of the range, or what ``offset`` was."""
        of = self._of
        with reading(of.path):
            if done <= of.start and of.start > 0:
                self._file.seek(of.start - 1)
                self.offset = of.start - 1 + self._skip()
            else:
                self._file.seek(done)
                self.offset = done

    def _skip(self) -> int:
        """Read to the end of a line that started before the range; return how many bytes it had here."""
        most, skipped = self._of.end - self._of.start + 1, 0
        while skipped < most:
            self._alive()
            part = self._file.readline(min(BUFFER, most - skipped))
            skipped += len(part)
            if not part or part.endswith(b"\n"):
                return skipped
        return skipped

    def place(self, done: int) -> int:
        """Return where the next record starts."""
        return self.offset

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __next__(self) -> Any:
        of = self._of
        while self.offset < of.end:
            self._alive()
            start = self.offset
            line = self._file.readline(RECORD_LIMIT + 1)
            if not line:
                raise InputMissing(f"{of.path} ends at byte {start:,}, and had {of.size:,} when the task was split")
            if len(line) > RECORD_LIMIT:
                raise BadRecord(f"{of.path}: the record at byte {start:,} has more than 64 MiB")
            self.offset = start + len(line)
            text = _text(of.path, start, line if start else line.removeprefix(BOM))
            if of.format == "text":
                return text
            if text.strip() and (start or of.format == "jsonl"):  # a CSV begins with its header
                return self._parse(start, text)
        raise StopIteration


def _parser(of: InputFile, file: BinaryIO) -> Callable[[int, str], Any]:
    if of.format == "jsonl":
        return lambda start, text: _json(of.path, start, text)
    if of.format == "text":
        return lambda _, text: text
    if not of.format.startswith("csv"):
        raise NonRetryable(f"this worker does not know the format {of.format!r}")
    with reading(of.path):
        line = file.readline(RECORD_LIMIT).removeprefix(BOM)
    csv.field_size_limit(RECORD_LIMIT)
    checks = of.format == "csv"
    names = _cells(of.path, 0, _text(of.path, 0, line), checks)
    return lambda start, text: _row(of.path, start, names, _cells(of.path, start, text, checks))


def _text(path: str, start: int, line: bytes) -> str:
    end = -2 if line.endswith(b"\r\n") else -1 if line.endswith(b"\n") else len(line)
    try:
        return line[:end].decode()
    except UnicodeDecodeError as error:
        at = start + error.start
        raise BadRecord(f"{path}: byte {at:,} is not UTF-8, in the record at byte {start:,}") from None


def _json(path: str, start: int, text: str) -> Any:
    try:
        return values.read(text)
    except ValueError as error:
        raise BadRecord(f"{path}: the record at byte {start:,} is not JSON: {error}") from None


def _cells(path: str, start: int, text: str, checks: bool) -> list[str]:
    if checks and text.count('"') % 2:
        reason = f"{path}: the record at byte {start:,} has an open quote: is there a line break in a quoted field?"
        raise BadRecord(f"{reason} Write one_line: true under bytes where quotes are plain characters")
    try:
        return next(csv.reader((text,)), [])
    except csv.Error as error:
        raise BadRecord(f"{path}: the record at byte {start:,} is not CSV: {error}") from None


def _row(path: str, start: int, names: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(names):
        raise BadRecord(f"{path}: the record at byte {start:,} has {len(cells):,} fields, the header {len(names):,}")
    return dict(zip(names, cells, strict=True))
