"""Completion of task and schedule ids in shells. If the ids cannot be had in time, there is none, and no error.

A process of its own looks the ids up, and is killed after a second: the broker may be away, or the view of this folder
far behind a long journal.
"""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from streamsched.client import Client

TIME_S: Final = 1.0
MOST: Final = 50
"""Ids that are offered."""
BREAKS: Final = "@:="
"""Characters of ids at which bash begins a new word (``COMP_WORDBREAKS``)."""
ASKED: Final = f"_{'streamsched'.upper()}_COMPLETE"
"""The variable in which a shell says what it asks for."""
HEAD: Final = f"{ASKED}_HEAD"
"""The variable with the part of the current word that bash does not replace."""


def complete_task(context: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of tasks that begin so; of many, the newest: generated ids are in the order of time."""

    def look(client: Client) -> Iterable[str]:
        return reversed(client.task_ids())

    return _found(context, incomplete, look)


def complete_schedule(context: typer.Context, incomplete: str) -> list[str]:
    """Return the ids of schedules that begin so."""

    def look(client: Client) -> Iterable[str]:
        return (schedule.schedule_id for schedule in client.schedules() if not schedule.deleted)

    return _found(context, incomplete, look)


def join_words(environment: Mapping[str, str]) -> dict[str, str]:
    """Return bash's variables with the words of the line, with the ids that it had split at ``BREAKS`` joined again.

    Bash replaces only the part of the current word behind the last break; the part before it goes into ``HEAD``.
    """
    words, at = environment.get("COMP_WORDS", ""), environment.get("COMP_CWORD", "")
    if environment.get(ASKED) != "complete_bash" or not at.isdecimal():
        return {}
    joined = re.sub(f" ?([{BREAKS}]+) ?", r"\1", " ".join(re.split("[ \n]", words)[: int(at) + 1]))
    before, _, last = joined.rpartition(" ")
    cut = 0 if last.startswith("-") else max(last.rfind(sign) for sign in BREAKS) + 1
    return {"COMP_WORDS": f"{before} {last[cut:]}", "COMP_CWORD": str(joined.count(" ")), HEAD: last[:cut]}


def _found(context: typer.Context, incomplete: str, look: Callable[[Client], Iterable[str]]) -> list[str]:
    """Return the completions of a word, without the part that bash keeps."""
    head = os.environ.get(HEAD, "")
    return [name[len(head) :] for name in _looked_up(lambda: _names(context, head + incomplete, look))]


def _names(context: typer.Context, begin: str, look: Callable[[Client], Iterable[str]]) -> list[str]:
    from streamsched.cli.given import all_settings_of
    from streamsched.client import Client
    from streamsched.domain.visible import is_visible

    with Client(settings=all_settings_of(context)) as client:
        fits = (name for name in look(client) if name.startswith(begin) and is_visible(name) and " " not in name)
        return list(islice(fits, MOST))


def _looked_up(names: Callable[[], list[str]]) -> list[str]:
    """Call this in a forked child (there are no threads yet); empty if it fails or takes too long."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        _answer(writes, names)
    os.close(writes)
    told, deadline = b"", time.monotonic() + TIME_S
    while (left := deadline - time.monotonic()) > 0 and select.select([reads], [], [], left)[0]:
        data = os.read(reads, 1 << 16)
        told += data
        if not data:
            break
    else:
        told = b""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reads)
    return told.decode().splitlines()


def _answer(writes: int, names: Callable[[], list[str]]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    try:
        os.write(writes, "\n".join(names()).encode())
    finally:
        os._exit(0)
