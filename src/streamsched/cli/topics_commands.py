"""``topics create``, ``check`` and ``repair``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import typer

from streamsched.cli.options import settings_of
from streamsched.cli.printing import out

if TYPE_CHECKING:
    from streamsched.api.wiring import Installation


def create(context: typer.Context) -> None:
    """Create the topics that are missing, with the first positions of both groups.

    Run it once for each cluster and prefix; again, it changes nothing.
    """
    with closing(_open(context, "topics create")) as site:
        created = site.create_topics()
    for name in created:
        out(f"created {name}")
    if not created:
        out("all topics are there and as they must be")


def check(context: typer.Context) -> int:
    """Compare the topics and the groups' positions with what they must be; exits 1 if they differ."""
    with closing(_open(context, "topics check")) as site:
        from streamsched.api.repair import differences

        found = differences(site)
    for line in found:
        out(line)
    if not found:
        out("all topics are there and as they must be")
    return 1 if found else 0


def repair(context: typer.Context) -> None:
    """End transactions that the broker forgot, and give partitions that lost their group's position a new one.

    Children of the latter are dispatched anew. Stop all workers and schedulers first: a position can only be set for
    a group without members.
    """
    with closing(_open(context, "topics repair")) as site:
        from streamsched.api.repair import repair as repair_positions

        done = repair_positions(site.discover())
    for line in done:
        out(line)
    if not done:
        out("nothing to do: no transaction hangs, and every partition of both groups has its position")


def _open(context: typer.Context, command: str) -> Installation:
    from streamsched.api.settings import refuse_embedded

    settings = settings_of(context)
    refuse_embedded(settings, command)
    from streamsched.api.wiring import Installation

    return Installation(settings)
