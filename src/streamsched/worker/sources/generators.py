"""What the built-in splitters find: entries, in an order of their own, from the last one of an earlier attempt on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Final

from streamsched.domain.placeholders import encode
from streamsched.worker.errors import PayloadTooLarge
from streamsched.worker.sources.errors import BadRecord, InputChanged, InputEmpty
from streamsched.worker.sources.storage import BOM, Found, look, storage_of, verify
from streamsched.worker.sources.walking import walk

Entry = dict[str, Any]
Finds = Callable[[Mapping[str, Any], Entry | None, Callable[[], None]], Generator[Entry, None, None]]
LINE_LIMIT: Final = 1024 * 1024
"""Bytes of a line of a list."""
CHILD_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of all lines of one child of ``lines``: it holds them in memory."""
FILES_LIMIT: Final = 200 * 1024
"""Bytes of the paths of one child of ``files``, which its event must hold with sizes and tags."""
_OF_FILE: Final = 100
"""Bytes that a file takes there beside its path."""


def files(given: Mapping[str, Any], last: Entry | None, alive: Callable[[], None]) -> Generator[Entry, None, None]:
    """Yield so many files, or files of so many bytes, at a time."""
    count, most = given["count"], given["bytes"]
    batch: list[Found] = []
    size, room, some = 0, 0, last is not None
    for found in _behind(given, last):
        alive()
        some = True
        width = len(encode(found.path)) + _OF_FILE
        if batch and most and (size + found.size > most or room + width > FILES_LIMIT):
            yield _files(given, batch)
            batch, size, room = [], 0, 0
        if room + width > FILES_LIMIT:
            reason = (
                f"the paths of {len(batch) + 1:,} files are more than the {FILES_LIMIT:,} bytes that a child may have"
            )
            raise PayloadTooLarge(f"{reason}: choose a smaller count")
        batch.append(found)
        size, room = size + found.size, room + width
        if len(batch) == count:
            yield _files(given, batch)
            batch, size, room = [], 0, 0
    if batch:
        yield _files(given, batch)
    if not some:
        _refuse_nothing(given)


def ranges(given: Mapping[str, Any], last: Entry | None, alive: Callable[[], None]) -> Generator[Entry, None, None]:
    """Yield the ranges of ``size`` bytes of each file. Nothing is read: a range owns the records that start in it."""
    step, some = given["size"], last is not None
    if last is not None:
        (of,) = last["inputs"]
        yield from _ranges(given, verify(of["path"], of["size"], of["tag"]), of["end"], step)
    for found in _behind(given, last):
        alive()
        some = some or found.size > 0
        yield from _ranges(given, found, 0, step)
    if not some:
        _refuse_nothing(given)


def lines(given: Mapping[str, Any], last: Entry | None, alive: Callable[[], None]) -> Generator[Entry, None, None]:
    """Yield ranges that have ``size`` lines each, without empty ones; the file is read through."""
    of = None if last is None else last["inputs"][0]
    found = look(given["file"]) if of is None else verify(of["path"], of["size"], of["tag"])
    start = 0 if of is None else of["end"]
    first = 0 if last is None else last["first"] + last["weight"]
    if of is None or start < of["size"]:
        for begin, end, count in _runs(given, found, start, alive):
            yield {**_span(given, found, begin, end, "lines"), "first": first, "weight": count}
            first += count
        verify(*found)
    if first == 0:
        _refuse_nothing(given)


GENERATORS: Final[Mapping[str, Finds]] = {"files": files, "bytes": ranges, "lines": lines}
"""By the kind of the splitter. Each takes its input, its last entry of an earlier attempt, and what to call often."""


def _behind(given: Mapping[str, Any], last: Entry | None) -> Iterator[Found]:
    """Yield the files behind the last one of an entry, which must be as it was."""
    if last is None:
        return walk(given["globs"])
    of = last["inputs"][-1]
    verify(of["path"], of["size"], of["tag"])
    return walk(given["globs"], of["path"])


def _files(given: Mapping[str, Any], batch: list[Found]) -> Entry:
    inputs = [_input(given, found) for found in batch]
    return {"inputs": inputs, "weight": sum(found.size for found in batch)}


def _ranges(given: Mapping[str, Any], found: Found, start: int, step: int) -> Iterator[Entry]:
    for at in range(start, found.size, step):
        end = min(at + step, found.size)
        yield {**_span(given, found, at, end, given["format"]), "weight": end - at}


def _span(given: Mapping[str, Any], found: Found, start: int, end: int, form: str) -> Entry:
    begin = {"start": start} if start else {}
    return {"inputs": [{**_input(given, found), **begin, "end": end, "format": form}]}


def _input(given: Mapping[str, Any], found: Found) -> Entry:
    return {**found._asdict(), **({} if given["verify"] else {"verify": False})}


def _refuse_nothing(given: Mapping[str, Any]) -> None:
    if not given["empty"]:
        names = ", ".join(given.get("globs") or [given["file"]])
        reason = f"{names[:500]}: there is nothing to do"
        raise InputEmpty(f"{reason}; where that may be, write empty: true under the splitter")


def _runs(
    given: Mapping[str, Any], found: Found, start: int, alive: Callable[[], None]
) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and number of lines of each run of ``size`` lines; empty ones go with those before them."""
    at, count, most = start, 0, given["size"]
    with storage_of(found.path).open(found.path) as file:
        file.seek(start)
        while line := file.readline(LINE_LIMIT + 1):
            if len(line) > LINE_LIMIT:
                raise BadRecord(f"{found.path}: the line at byte {at:,} has more than 1 MiB; is it a list of lines?")
            if (line if at else line.removeprefix(BOM)).strip():
                if count == most:
                    yield start, at, count
                    alive()
                    start, count = at, 0
                count += 1
            at += len(line)
            if at - start > CHILD_LIMIT:
                raise PayloadTooLarge(
                    f"{found.path}: {count:,} lines from byte {start:,} on are more than 64 MiB; choose a smaller size"
                )
            if at > found.size:
                break
    if at != found.size:
        raise InputChanged(f"{found.path} had {found.size:,} bytes when its reading began, and has been changed since")
    if count:
        yield start, at, count
