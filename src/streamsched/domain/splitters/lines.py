"""``split.lines``, and ``split.list`` with ``@file``: the lines of a file, of any size, some for each child.

The lines are not in the journal: an entry is a range of bytes, and the executor reads them when the child starts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streamsched.domain.placeholders import check_known, references
from streamsched.domain.refusal import FieldPath, TemplateError
from streamsched.domain.splitters.outside import FileSplitter, resolve_text
from streamsched.domain.splitters.port import Input, Params, check_integer, resolve_integer

ITEM: Final = "\ue000item\ue001"
ITEM_INSIDE: Final = "\ue000item~\ue001"
ITEMS: Final = "\ue000items\ue001"
ITEMS_INSIDE: Final = "\ue000items~\ue001"
"""What stands in the arguments where the executor puts the lines: arguments are ASCII otherwise."""
_FILE: Final[FieldPath] = ("split", "lines", "file")
_SIZE: Final[FieldPath] = ("split", "lines", "size")


def named(args: str) -> str:
    """Return the arguments of a child with ``${child.item}`` or ``${child.items}`` where the lines are put."""
    for mark, name in ((ITEM, "item"), (ITEM_INSIDE, "item"), (ITEMS, "items"), (ITEMS_INSIDE, "items")):
        args = args.replace(mark, f"${{child.{name}}}")
    return args


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesSplit(FileSplitter):
    """The lines of ``file`` that are not empty, in chunks of ``size``."""

    kind = "lines"
    variables = frozenset({"index", "first", "last", "item", "items"})
    texts = frozenset({"item", "items"})

    file: str
    size: int | str = 1

    def check(self, params: Params) -> None:
        """Refuse anything but a path, and a size that is not an integer."""
        FileSplitter.check(self, params)
        if not isinstance(self.file, str) or not self.file:
            raise TemplateError(f"must be a path, not {self.file!r}"[:200], "write list.txt", path=_FILE)
        for where, name in references(self.file, _FILE):
            check_known(name, where, params, "split")
        check_integer(self.size, _SIZE, params, 1)

    def check_use(self, variable: str, path: FieldPath) -> None:
        """Refuse ``child.item`` where a child may have several."""
        if variable == "item" and isinstance(self.size, int) and self.size != 1:
            reason = "child.item is for chunks of size 1"
            raise TemplateError(reason, "use ${child.items}, or remove split.lines.size", path=path)

    def resolve(self, params: Mapping[str, object]) -> Input:
        """Return the path and the size."""
        file = resolve_text(self.file, params, _FILE)
        if not file or "\0" in file:
            raise TemplateError(f"{file[:100]!r} is not a path", "give another", path=_FILE)
        size = resolve_integer(self.size, params, _SIZE, 1)
        return {"file": self.located(file), "size": size, "empty": self.empty, "verify": self.verify}

    def check_input(self, given: Input, wanted: Collection[str]) -> None:
        """Refuse ``child.item`` where a variable gives another size than 1."""
        if given["size"] != 1 and {"item", "item~"}.intersection(wanted):
            reason = f"child.item is for chunks of size 1, the size is {given['size']}"
            raise TemplateError(reason, "use ${child.items}", path=("child", "args"))

    @classmethod
    def entry_variables(cls, entry: Any) -> Mapping[str, object]:
        """Return the numbers of the lines, and where the lines are to be put."""
        first, count = entry["first"], entry["weight"]
        return {
            "first": first, "last": first + count - 1, "item": f'"{ITEM}"', "item~": ITEM_INSIDE,
            "items": f'"{ITEMS}"', "items~": ITEMS_INSIDE,
        }  # fmt: skip

    @classmethod
    def follows(cls, before: Any, entry: Any) -> bool:
        """Return whether lines and bytes begin where those before them end."""
        (of,) = entry["inputs"]
        start = of.get("start", 0)
        if before is None:
            return bool(entry["first"] == 0 and start == 0)
        (last,) = before["inputs"]
        adjoins = entry["first"] == before["first"] + before["weight"] and start == last["end"]
        return bool(adjoins and (of["path"], of["size"]) == (last["path"], last["size"]))
