"""Whether the nodes of a process are alive, and work on all that is their own: what probes ask."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, Protocol

from streamsched.hosting.http import Answer, said

LIVE_S: Final = 60.0
"""Age of a loop from which it hangs: whatever it may wait for has given up by then, four times over."""


class _Beats(Protocol):
    @property
    def loop_age(self) -> float: ...


class _Watched(Protocol):
    @property
    def heartbeats(self) -> _Beats: ...

    @property
    def unready(self) -> str: ...


class Health:
    """How the nodes of this process are; before there are any, it starts."""

    def __init__(self) -> None:
        self._nodes: list[_Watched] = []

    def add(self, node: _Watched) -> None:
        """Look at this node, too."""
        self._nodes.append(node)

    def live(self) -> Answer:
        """Say whether each loop turns, or waits for the log."""
        age = max((node.heartbeats.loop_age for node in self._nodes), default=0.0)
        if age < LIVE_S:
            return said("live")
        return said(f"the loop hangs, for {age:.0f} s", HTTPStatus.SERVICE_UNAVAILABLE)

    def ready(self) -> Answer:
        """Say whether each node works on all that is its own."""
        why = [node.unready for node in self._nodes if node.unready] if self._nodes else ["it starts"]
        return said(f"not ready: {why[0]}", HTTPStatus.SERVICE_UNAVAILABLE) if why else said("ready")
