"""``audit verify`` never complains of what real nodes wrote, whatever befell them, at any moment of a history.

That it does not at the end is asked of every history (``history.judge``).
"""

from __future__ import annotations

from random import Random

import pytest

from streamsched.audit.verify import verify
from tests.simulation.history import history, live
from tests.simulation.scenario import limited, scenario
from tests.simulation.world import CODEC, World


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_a_history_is_clean_at_any_moment(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work log is compared with the journal in the middle of it all, between any two steps of the nodes."""
    dice = Random(seed)
    turn = World.turn
    looks = 0

    def watched(world: World) -> None:
        nonlocal looks
        turn(world)
        if dice.random() < 0.05 and not world.cluster.coordinator._open and not world.closed:
            looks += 1
            report = verify(log=world.outside, coordination=world.outside, topics=world.topics, codec=CODEC)
            assert not report.violations, "\n".join([*map(str, report.violations), *world.story])

    monkeypatch.setattr(World, "turn", watched)
    plan = scenario(seed)
    with limited(plan.limits):
        live(history(seed, plan))
    assert looks
