"""``init`` and ``schema``: what one begins with, and what editors need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streamsched.cli.printing import note, out
from streamsched.domain.errors import InputError

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the job and its module.", show_default=False)]
Kind = Annotated[str, typer.Argument(metavar="template|schedule", help="The kind of file.", show_default=False)]


def init(name: Name) -> None:
    """Create the files of a new job in this folder.

    NAME.yaml is its template, NAME.py has its handler, test_NAME.py a test of it: the job runs as it is. With
    streamsched.schema.json editors complete and check NAME.yaml. Nothing is overwritten, except a schema that an
    earlier 'init' wrote.
    """
    from streamsched.files.starter import write_job

    for path in write_job(Path(), name):
        out(str(path))
    note(f"next: streamsched run {name}.yaml")


def schema(kind: Kind) -> None:
    """Print the JSON Schema of template or schedule files.

    Editors complete and check the files with it (draft 2020-12). A YAML file names it in its first line, as the files
    that 'streamsched init' writes do: # yaml-language-server: $schema=streamsched.schema.json
    """
    from streamsched.files.json_schema import KINDS, schema_text

    if kind not in KINDS:
        raise InputError(f"there is no schema of {kind!r}", f"choose {' or '.join(KINDS)}", source="schema")
    for line in schema_text(kind).splitlines():
        out(line)
