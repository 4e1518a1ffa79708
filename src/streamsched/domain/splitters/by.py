"""``split.by``: the user's own function. What it yields are the items, one for each child."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streamsched.domain import values
from streamsched.domain.placeholders import JsonText, check_known, encode, inside, kept, references, text_of
from streamsched.domain.refusal import FieldPath, TemplateError
from streamsched.domain.splitters.outside import OutsideSplitter
from streamsched.domain.splitters.port import Input, Params

_ARGS: Final[FieldPath] = ("split", "args")
_ARGS_LIMIT: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BySplit(OutsideSplitter):
    """What ``function``, ``package.module:function``, yields when it is called with a context and ``args``."""

    kind = "by"
    variables = frozenset({"index", "item"})
    texts = frozenset({"item"})

    function: str
    args: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "args", kept(self.args, _ARGS))

    @property
    def handler(self) -> str:
        """The function."""
        return self.function

    def check(self, params: Params) -> None:
        """Refuse arguments that are not an object, or that name what is not a variable."""
        if not isinstance(self.args, dict):
            raise TemplateError("must be an object of named arguments", "write {name: value}", path=_ARGS)
        for where, name in references(self.args, _ARGS):
            check_known(name, where, params, "split")

    def resolve(self, params: Mapping[str, object]) -> Input:
        """Return the function and its arguments, filled in."""
        text = JsonText(self.args, params, path=_ARGS, limit=_ARGS_LIMIT)
        args = values.read("".join(part for part in text.parts if isinstance(part, str)))
        return {"function": self.function, "args": args}

    @classmethod
    def entry_variables(cls, entry: Any) -> Mapping[str, object]:
        """Return the item."""
        return {"item": encode(entry), "item~": inside(text_of(entry), ("child", "args"))}
