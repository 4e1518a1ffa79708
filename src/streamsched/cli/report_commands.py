"""``report``: the page of a task, as a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from streamsched.cli.options import Task, client_of
from streamsched.cli.printing import note
from streamsched.domain.errors import InputError


def report(
    context: typer.Context,
    task: Task,
    html: Annotated[
        Path,
        typer.Option("--html", metavar="FILE", help="The file; one that is there is replaced.", show_default=False),
    ],
) -> None:
    """Write the page of a task into one HTML file.

    Keep it or send it: it needs no server. It shows the task as it is now: state and why, the children as
    a picture, failures by their causes, stragglers, durations, throughput, who did what, parameters. It makes no
    request and runs no script. Its size is bounded, however many children there are.
    """
    from streamsched.cli.report_page import page

    if not html.parent.is_dir():
        raise InputError("its folder is not there", "make it, or name another file", source=str(html))
    with client_of(context) as client:
        written = page(client.report(task)).encode()
    part = html.with_name(f".{html.name}.{os.getpid()}")
    try:
        part.write_bytes(written)
        part.replace(html)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot be written: {error.strerror}", "name another file", source=str(html)) from error
    note(f"{html}: {len(written) / 1_000:,.0f} kB")
