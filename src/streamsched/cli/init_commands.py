"""``init`` and ``schema``: what one begins with, and what editors need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamsched.cli.printing import note, out
from streamsched.domain.errors import InputError

Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name: a Python module's.", show_default=False)]
Kind = Annotated[str, typer.Argument(metavar="template|schedule", help="The kind of file.", show_default=False)]


def init(name: Name) -> None:
    """Write what a job begins with into this folder: NAME.yaml, NAME.py with its handler, and test_NAME.py.

    It runs at once. streamsched.schema.json is written too, with which editors complete and check NAME.yaml. Nothing
    is overwritten, but for that schema where an earlier 'init' wrote it.
    """
    from streamsched.files.starter import write_job

    for path in write_job(Path(), name):
        out(str(path))
    note(f"next: streamsched run {name}.yaml")


def schema(kind: Kind) -> None:
    """Print the JSON Schema (draft 2020-12) of template or schedule files, with which editors complete and check them.

    A YAML file names it in its first line, as the files that 'streamsched init' writes do:
    # yaml-language-server: $schema=streamsched.schema.json
    """
    from streamsched.files.json_schema import KINDS, schema_text

    if kind not in KINDS:
        raise InputError(f"there is no schema of {kind!r}", f"choose {' or '.join(KINDS)}", source="schema")
    for line in schema_text(kind).splitlines():
        out(line)
