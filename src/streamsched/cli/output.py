"""``--output``: the forms in which commands that list or show print what they found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated, Any, Final, Protocol, TypeVar

import typer

from streamsched.cli.printing import out, out_json
from streamsched.domain.errors import InputError


class Form(StrEnum):
    """A form of the output."""

    TABLE = "table"
    JSON = "json"
    NAME = "name"


class Documented(Protocol):
    """What has a JSON document, as every answer of ``queries``."""

    def document(self) -> dict[str, Any]:
        """Return it."""
        ...


T = TypeVar("T", bound=Documented)
OPTION: Final = "--output"
_AS_JSON: Final = "as_json"


def _form(context: typer.Context, value: Form) -> Form:
    """Join ``--output`` and ``--json``, which was read before it. Raise InputError."""
    if not context.ensure_object(dict).get(_AS_JSON):
        return value
    if value is Form.NAME:
        raise InputError("--json is --output json", "leave one of the two out", source=OPTION)
    return Form.JSON


def _note_json(context: typer.Context, value: bool) -> None:
    if value:
        context.ensure_object(dict)[_AS_JSON] = True


Output = Annotated[
    Form,
    typer.Option(
        OPTION, callback=_form,
        help="table: for people; json: one document per line; name: only ids or names, one per line.",
    ),
]  # fmt: skip
JsonOutput = Annotated[
    bool,
    typer.Option("--json", help="As --output json.", is_eager=True, expose_value=False, callback=_note_json),
]
"""What ``options.Command`` adds to each command that has ``--output``."""


def show(form: Form, found: Iterable[T], name: Callable[[T], object], table: Callable[[Iterable[T]], None]) -> None:
    """Print what was found, piece by piece: ``name`` gives the id of one, ``table`` prints all for people."""
    if form is Form.TABLE:
        table(found)
        return
    for each in found:
        if form is Form.JSON:
            out_json(each.document())
        else:
            out(str(name(each)))
