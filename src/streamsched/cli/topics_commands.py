"""``topics create``, ``check`` and ``repair``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamsched.cli.given import settings_of
from streamsched.cli.printing import out
from streamsched.domain.errors import InputError

if TYPE_CHECKING:
    from streamsched.installation.site import Copies, Installation

COPIES: Final = 3
"""Copies of each topic, if there are as many brokers."""


def create(
    context: typer.Context,
    replication: Annotated[int | None, typer.Option(
        metavar="N", min=1, help="Copies of each new topic [default: 3 with three brokers or more, else 1]",
    )] = None,
    min_insync: Annotated[int | None, typer.Option(
        metavar="N", min=1, help="Copies that a write needs before it succeeds [default: one less, at least 1]",
    )] = None,
) -> None:  # fmt: skip
    """Create missing topics, with the first positions of both groups.

    Run it once for each cluster and prefix; a second run changes nothing.
    """
    with closing(_open(context, "topics create")) as site:
        site.log.check_broker()
        brokers = site.log.brokers()
        copies = _copies(brokers, replication, min_insync)
        created = site.create_topics(copies)
    for name in created:
        out(f"created {name}")
    if created:
        out(
            f"replication factor {copies.replication}, min.insync.replicas {copies.min_insync} "
            f"({brokers} broker{'s' * (brokers > 1)})"
        )
    else:
        out("all topics are there and as they must be")


def _copies(brokers: int, replication: int | None, min_insync: int | None) -> Copies:
    from streamsched.installation.site import Copies

    chosen = replication or (COPIES if brokers >= COPIES else 1)
    if chosen > brokers:
        raise InputError(
            f"{chosen} copies need as many brokers, and there are {brokers}",
            f"give {brokers} or less, or start more brokers first",
            source="--replication",
        )
    in_sync = min_insync or max(1, chosen - 1)
    if in_sync > chosen:
        raise InputError(
            f"{in_sync} copies can never be in sync where there are {chosen}", f"give {chosen} or less",
            source="--min-insync",
        )  # fmt: skip
    return Copies(chosen, in_sync)


def check(context: typer.Context) -> int:
    """Compare topics and positions with what they must be.

    It exits 1 if they differ, and warns of topics with a single copy on several brokers.
    """
    with closing(_open(context, "topics check")) as site:
        from streamsched.admin.check import differences, unreplicated

        site.log.check_broker()
        found = differences(site)
        warned = [] if found else unreplicated(site)
    for line in [*found, *warned]:
        out(line)
    if not found:
        out("all topics are there and as they must be")
    return 1 if found else 0


def repair(context: typer.Context) -> None:
    """End forgotten transactions, and set lost positions anew.

    The broker has forgotten to end the transactions. Children of a partition whose position was lost are dispatched
    anew. Stop all workers and schedulers first: a position can only be set for a group without members.
    """
    with closing(_open(context, "topics repair")) as site:
        from streamsched.admin.repair import repair as repair_positions

        done = repair_positions(site.discover())
    for line in done:
        out(line)
    if not done:
        out("nothing to do: no transaction hangs, and every partition of both groups has its position")


def _open(context: typer.Context, command: str) -> Installation:
    from streamsched.installation.settings import refuse_embedded

    settings = settings_of(context)
    refuse_embedded(settings, command)
    from streamsched.installation.site import Installation

    return Installation(settings)
