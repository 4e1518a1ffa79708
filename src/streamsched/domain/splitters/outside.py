"""Splitters that must look outside: a *split child* runs them in an executor, and what they find are *entries*.

An entry is plain JSON, one for each child. It stands in a page of the journal, as one line.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from streamsched.domain import size
from streamsched.domain.placeholders import check_known, parse, references, text_of, whole
from streamsched.domain.refusal import FieldPath, TemplateError
from streamsched.domain.splitters.functions import call_of
from streamsched.domain.splitters.port import Input, Params, Splitter, check_integer, resolve_integer

PARTS_LIMIT: Final = 1_000
"""Paths and patterns that one template names; a pattern may stand for any number of files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideSplitter(Splitter):
    """A splitter with a split child: ``resolve`` gives what its generator gets, in place of a cut there are entries."""

    level = 3
    outside = True

    @property
    def handler(self) -> str:
        """The user's function that yields the entries; empty: streamsched has it, and any worker."""
        return ""

    def check_input(self, given: Input, wanted: Collection[str]) -> None:
        """Refuse an input of ``resolve`` for children of which these variables are wanted. Raise TemplateError."""

    @classmethod
    @abstractmethod
    def entry_variables(cls, entry: Any) -> Mapping[str, object]:
        """Return the variables of the child of an entry, as ``Cut.variables`` does, but for its index."""

    @classmethod
    def entry_size(cls, entry: Any) -> int:
        """Return the length of its widest text, as the arguments may hold it."""
        return max((len(each) for each in cls.entry_variables(entry).values() if isinstance(each, str)), default=0)

    @classmethod
    def entry_weight(cls, entry: Any) -> int:
        """Return how much of the input the child of an entry has, in units of the splitter."""
        return 1

    @classmethod
    def entry_inputs(cls, entry: Any) -> Sequence[Mapping[str, object]]:
        """Return the files that the child of an entry reads, as ``options.InputFile`` has them."""
        return ()

    @classmethod
    def follows(cls, before: Any, entry: Any) -> bool:
        """Return whether an entry adjoins the one before it (None: it is the first): nothing twice, nothing left out.

        Of entries that no generator of this splitter made it may raise TypeError, LookupError or AttributeError.
        """
        return True


class InputSplitter(OutsideSplitter):
    """A splitter whose entries say what their children read, as ``inputs``, and how much that is, as ``weight``."""

    @classmethod
    def entry_weight(cls, entry: Any) -> int:
        """Return what the generator has given it."""
        weight: int = entry["weight"]
        return weight

    @classmethod
    def entry_inputs(cls, entry: Any) -> Sequence[Mapping[str, object]]:
        """Return what it reads."""
        inputs: Sequence[Mapping[str, object]] = entry["inputs"]
        return inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSplitter(InputSplitter):
    """A splitter of files. Relative paths are those of ``folder``, where the template was read.

    ``empty``: that there is nothing to do is no error. ``verify``: an executor looks whether its files are those of the
    plan before its handler starts.
    """

    texts: ClassVar[frozenset[str]]
    empty: bool = False
    verify: bool = True
    folder: str = field(default="", metadata={"hidden": True})

    def check(self, params: Params) -> None:
        """Refuse switches and a folder that are none."""
        if not isinstance(self.folder, str):
            raise TemplateError("must be a path", "submit it from its file", path=("split", self.kind, "folder"))
        for name in ("empty", "verify"):
            if not isinstance(getattr(self, name), bool):
                path: FieldPath = ("split", self.kind, name)
                raise TemplateError("must be true or false", "write true or false", path=path)

    def located(self, path: str) -> str:
        """Return a path as workers are to open it: absolute, or a URL."""
        if not self.folder or path.startswith("/") or "://" in path:
            return path
        return f"{self.folder.rstrip('/')}/{path.removeprefix('./')}"


def check_paths(value: object, path: FieldPath, params: Params) -> None:
    """Refuse what is neither a path, nor a list of paths, nor the placeholder of an array of them."""
    for each, where in _paths(value, path):
        if not isinstance(each, str) or not each:
            raise TemplateError(f"must be a path, not {each!r}"[:200], 'write "in/*.png"', path=where)
        for at, name in references(each, where):
            check_known(name, at, params, "split")
    if isinstance(value, list) and not 1 <= len(value) <= PARTS_LIMIT:
        reason = f"has {len(value):,} paths, not 1 to {PARTS_LIMIT:,}"
        raise TemplateError(reason, "write a pattern that stands for many files, or use lines", path=path)


def resolve_paths(value: object, params: Mapping[str, object], path: FieldPath) -> list[str]:
    """Return the paths of a field that ``check_paths`` has passed."""
    name = whole(value)
    if name is not None and isinstance(params.get(name), list):
        value = params[name]
        if not isinstance(value, list) or not 1 <= len(value) <= PARTS_LIMIT:
            reason = f"has no path, or more than {PARTS_LIMIT:,}"
            raise TemplateError(reason, "write a pattern that stands for many files", path=path, variable=name)
        texts = value
    else:
        texts = [resolve_text(each, params, where) for each, where in _paths(value, path)]
    for each in texts:
        if not isinstance(each, str) or not each or "\0" in each:
            raise TemplateError(f"{each!r} is not a path"[:200], "give a text", path=path, variable=name or "")
    return texts


def resolve_text(value: str, params: Mapping[str, object], path: FieldPath) -> str:
    """Fill in the placeholders of a text."""
    return "".join(piece if isinstance(piece, str) else text_of(params[piece.name]) for piece in parse(value, path))


def check_size(value: object, path: FieldPath, params: Params) -> None:
    """Refuse what is neither a size (``64MB``) of at least a byte, nor the placeholder of one."""
    name = whole(value)
    if name is not None and name in params and params[name].type == "string":
        return
    if isinstance(value, str) and name is None and call_of(value, path) is None:
        _bytes(value, path)
    else:
        check_integer(value, path, params, 1)


def resolve_size(value: int | str, params: Mapping[str, object], path: FieldPath) -> int:
    """Return the bytes of a field that ``check_size`` has passed."""
    name = whole(value)
    if name is not None and isinstance(params.get(name), str):
        return _bytes(params[name], path, name)
    if isinstance(value, str) and name is None and call_of(value, path) is None:
        return _bytes(value, path)
    return resolve_integer(value, params, path, 1)


def _bytes(value: object, path: FieldPath, variable: str = "") -> int:
    found = size.read(value)
    if found is None or not 1 <= found < 1 << 62:
        reason = f"{str(value)[:50]!r} is not a size of at least one byte"
        raise TemplateError(reason, "write 500kB, 64MB, 1GiB or a number of bytes", path=path, variable=variable)
    return found


def _paths(value: object, path: FieldPath) -> list[tuple[Any, FieldPath]]:
    return [(each, (*path, at)) for at, each in enumerate(value)] if isinstance(value, list) else [(value, path)]


def walk_key(path: str) -> list[str]:
    """Return what orders paths as a walk through folders meets them."""
    return path.split("/")
