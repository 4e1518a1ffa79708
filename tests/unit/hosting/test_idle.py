"""A node that owns nothing says why: after a while, once for each reason."""

from __future__ import annotations

import pytest

from streamsched.hosting.node import IDLE_S, Idle


def test_a_reason_is_told_once_when_it_has_lasted(caplog: pytest.LogCaptureFixture) -> None:
    idle = Idle()
    idle.look("not joined", 0.0)
    idle.look("not joined", IDLE_S - 1)
    idle.look("", IDLE_S - 0.5)
    idle.look("not joined", IDLE_S)
    idle.look("not joined", 2 * IDLE_S - 0.1)
    assert caplog.messages == [], "it was not idle for so long at a stretch"
    for now in range(20, 40):
        idle.look("not joined", float(now))
    for now in range(40, 60):
        idle.look("stands by", float(now))
    idle.look("", 60.0)
    for now in range(61, 80):
        idle.look("stands by", float(now))
    assert [line.removeprefix("this node has nothing to do: ") for line in caplog.messages] == [
        "not joined",
        "stands by",
        "stands by",
    ]
