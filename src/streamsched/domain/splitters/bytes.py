"""``split.bytes``: files of records, cut into ranges of equal size. A range owns the records that start in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from streamsched.domain.placeholders import encode, inside, text_of
from streamsched.domain.refusal import FieldPath, TemplateError, suggest
from streamsched.domain.splitters.outside import (
    FileSplitter,
    check_paths,
    check_size,
    resolve_paths,
    resolve_size,
    walk_key,
)
from streamsched.domain.splitters.port import Input, Params

FORMATS: Final = ("jsonl", "text", "csv")
_FILES: Final[FieldPath] = ("split", "bytes", "files")
_SIZE: Final[FieldPath] = ("split", "bytes", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class BytesSplit(FileSplitter):
    """Ranges of ``size`` bytes of the files that paths and patterns name, in order of their paths.

    ``format`` says what a record is. ``one_line``: the user says that no field of a CSV holds a line break.
    """

    kind = "bytes"
    variables = frozenset({"index", "file", "start", "end", "size"})
    texts = frozenset({"file"})

    files: str | list[str]
    size: int | str = "64MB"
    format: str = "text"
    one_line: bool = False

    def check(self, params: Params) -> None:
        """Refuse what cannot be a path, a size or a format."""
        FileSplitter.check(self, params)
        check_paths(self.files, _FILES, params)
        check_size(self.size, _SIZE, params)
        if self.format not in FORMATS:
            path: FieldPath = ("split", "bytes", "format")
            raise TemplateError(
                f"{str(self.format)[:50]!r} is not a format", suggest(str(self.format), FORMATS), path=path
            )
        if not isinstance(self.one_line, bool):
            raise TemplateError("must be true or false", "write true or false", path=("split", "bytes", "one_line"))

    def resolve(self, params: Mapping[str, object]) -> Input:
        """Return the paths and the size of a range."""
        return {
            "globs": [self.located(each) for each in resolve_paths(self.files, params, _FILES)],
            "size": resolve_size(self.size, params, _SIZE),
            "format": "csv_one_line" if self.format == "csv" and self.one_line else self.format,
            "empty": self.empty,
            "verify": self.verify,
        }

    @classmethod
    def entry_variables(cls, entry: Any) -> Mapping[str, object]:
        """Return the file, and the range: ``end`` is not part of it."""
        (of,) = entry["inputs"]
        file, start, end = of["path"], of.get("start", 0), of["end"]
        text = inside(text_of(file), ("child", "args"))
        return {"file": encode(file), "file~": text, "start": start, "end": end, "size": end - start}

    @classmethod
    def follows(cls, before: Any, entry: Any) -> bool:
        """Return whether the range begins where the one before it ends, or a file that comes later does."""
        (of,) = entry["inputs"]
        start = of.get("start", 0)
        if before is None:
            return bool(start == 0)
        (last,) = before["inputs"]
        if last["path"] == of["path"]:
            return bool(start == last["end"] and of["size"] == last["size"])
        return bool(start == 0 and last["end"] == last["size"] and walk_key(last["path"]) < walk_key(of["path"]))
