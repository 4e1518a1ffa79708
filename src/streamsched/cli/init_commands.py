"""``init`` and ``schema``: what one begins with, and what editors need."""

from __future__ import annotations

from typing import Annotated

import typer

from streamsched.cli.printing import out
from streamsched.domain.errors import InputError

Kind = Annotated[str, typer.Argument(metavar="template|schedule", help="The kind of file.", show_default=False)]


def schema(kind: Kind) -> None:
    """Print the JSON Schema (draft 2020-12) of template or schedule files, with which editors complete and check them.

    A YAML file names it in its first line, as the files that 'streamsched init' writes do:
    # yaml-language-server: $schema=template.schema.json
    """
    from streamsched.files.json_schema import KINDS, schema_text

    if kind not in KINDS:
        raise InputError(f"there is no schema of {kind!r}", f"choose {' or '.join(KINDS)}", source="schema")
    for line in schema_text(kind).splitlines():
        out(line)
