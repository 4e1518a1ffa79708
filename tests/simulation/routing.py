"""Workers that lack something in a history without faults, and what must be so there: nothing is sent there in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamsched.domain import events as e
from streamsched.domain.places import pairs_of
from streamsched.domain.routing import PLAIN, Place
from tests.simulation.evidence import Started

if TYPE_CHECKING:
    from tests.simulation.world import World

ELSEWHERE: Final = ("elsewhere", "made", "made.up.*", "$ elsewhere", "$ ?/made-up", "$ made")
"""What a worker allows that may not run what there is."""
SETTLING: Final = 150
"""Turns within which partitions are shared out and everybody was heard."""
LEARNT_MS: Final = 1_500
"""Milliseconds after which every scheduler has folded a return."""
SHUNNED_MS: Final = 4_500
"""Milliseconds for which nothing is sent to who gave a child back."""


def begin(world: World) -> None:
    """Have workers that cannot run what there is, as many as leave a partition to the one that can."""
    kinds: list[tuple[tuple[str, ...] | None, Place | None]] = [(ELSEWHERE, None), (None, None), (None, PLAIN)]
    for modules, place in kinds if world.plan.work_partitions > 2 else [world.rng.choice(kinds)]:
        world.start("worker", modules, place)
        world.nodes[-1].fails_imports = modules is None and place is None
    for _ in range(SETTLING):
        world.turn()


def check(world: World) -> list[str]:
    """Tell which children were sent where they could not run, though that was known."""
    faults: list[str] = []
    first: dict[tuple[str, object], int] = {}
    owner: dict[int, str] = {}
    created: dict[tuple[str, int, int], tuple[int, int, object]] = {}
    """By dispatch: where it went, when, and what it requires."""
    for partition, records in enumerate(world.archive.work):
        for record in records:
            event = record.event
            if isinstance(event, e.ChildCreated):
                code = event.handler.partition(":")[0], event.terms
                created[event.task_id, event.child, event.ordinal] = partition, event.at, code
    for records in world.archive.journal:
        for record in records:
            event = record.event
            if isinstance(event, e.ChildReturned) and event.why is not None:
                partition, _, wanted = created[event.task_id, event.child, event.ordinal]
                owner[partition] = event.by
                first[event.by, wanted] = min(event.at, first.get((event.by, wanted), event.at))
                if event.why.code in ("module", "queue", "label"):
                    faults.append(f"{event.by} got child {event.child} of {event.task_id}, and announced otherwise")
    for (task_id, child, ordinal), (partition, at, wanted) in created.items():
        since = at - first.get((owner.get(partition, ""), wanted), at)
        if (
            LEARNT_MS < since < SHUNNED_MS and at < world.healed_at
        ):  # from then on imports work there, and it has run some
            faults.append(
                f"child {child} of {task_id} (dispatch {ordinal}) went to who gave one back {since} ms before"
            )
    return faults


def misplaced(world: World) -> list[str]:
    """Tell which children ran at a worker that does not serve their queue, or lacks a label that they need."""
    terms = {
        (event.task_id, event.child, event.ordinal): event.terms or e.Terms()
        for records in world.archive.work
        for event in (record.event for record in records)
        if isinstance(event, e.ChildCreated)
    }
    faults = []
    for started in world.evidence:
        if isinstance(started, Started):
            wanted = terms[started.task_id, started.child, started.token >> 32]
            place = world.stood[started.node]
            if not place.serves(wanted.queue) or place.lacking(pairs_of(wanted.needs)) is not None:
                faults.append(f"child {started.child} of {started.task_id} ran on {started.node}, not meant for it")
    return faults
