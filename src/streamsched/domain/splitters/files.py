"""``split.files``: files that patterns name, some for each child. The paths are in the arguments, not the content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from streamsched.domain.placeholders import encode, inside
from streamsched.domain.refusal import FieldPath, TemplateError
from streamsched.domain.splitters.outside import (
    FileSplitter,
    check_paths,
    check_size,
    resolve_paths,
    resolve_size,
    walk_key,
)
from streamsched.domain.splitters.port import Input, Params, check_integer, resolve_integer

_GLOB: Final[FieldPath] = ("split", "files", "glob")
_COUNT: Final[FieldPath] = ("split", "files", "count")
_BYTES: Final[FieldPath] = ("split", "files", "bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSplit(FileSplitter):
    """The files that ``glob`` names, in order of their paths: ``count`` a child, or as many as have ``bytes``."""

    kind = "files"
    variables = frozenset({"index", "items", "size"})
    texts = frozenset({"items"})

    glob: str | list[str]
    count: int | str | None = None
    bytes: int | str | None = None

    def check(self, params: Params) -> None:
        """Refuse what cannot be a pattern, a count or a size."""
        FileSplitter.check(self, params)
        check_paths(self.glob, _GLOB, params)
        if self.count is not None and self.bytes is not None:
            raise TemplateError("stands beside count", "keep one of the two", path=_BYTES)
        if self.bytes is not None:
            check_size(self.bytes, _BYTES, params)
        elif self.count is not None:
            check_integer(self.count, _COUNT, params, 1)

    def resolve(self, params: Mapping[str, object]) -> Input:
        """Return the patterns, and how many files or bytes a child has; 0 is the other of the two."""
        count = self.count if self.count is not None or self.bytes is not None else 1
        return {
            "globs": [self.located(each) for each in resolve_paths(self.glob, params, _GLOB)],
            "count": 0 if count is None else resolve_integer(count, params, _COUNT, 1),
            "bytes": 0 if self.bytes is None else resolve_size(self.bytes, params, _BYTES),
            "empty": self.empty,
            "verify": self.verify,
        }

    @classmethod
    def entry_variables(cls, entry: Any) -> Mapping[str, object]:
        """Return the paths, and how many bytes they have in all."""
        text = encode([each["path"] for each in entry["inputs"]])
        return {"items": text, "items~": inside(text), "size": entry["weight"]}

    @classmethod
    def follows(cls, before: Any, entry: Any) -> bool:
        """Return whether the paths ascend: none is there twice."""
        last = [] if before is None else [before["inputs"][-1]["path"]]
        keys = [walk_key(path) for path in (*last, *(each["path"] for each in entry["inputs"]))]
        return all(one < other for one, other in pairwise(keys))
