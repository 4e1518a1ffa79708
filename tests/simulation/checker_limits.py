"""The checker's model of the limits of one task: what they let go, by brute force, and when time is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamsched.domain import events as e

PERIODS = {"s": 1_000, "m": 60_000}


class LimitsModel:
    """Each limit with the offsets from which on it has held; what was let go since the rate changed last."""

    def __init__(self, body: dict[str, Any], request: e.TaskRequested, fault: Callable[[str], None]) -> None:
        self._fault = fault
        self._request = request
        self._length: int = body.get("deadline_ms", 0)
        count, _, per = body.get("rate", "0/s").partition("/")
        self._values: dict[str, list[tuple[int, Any]]] = {
            "parallelism": [(-1, body.get("parallelism", 0))],
            "rate": [(-1, e.Rate(int(count), PERIODS[per]))],
            "priority": [(-1, request.priority)],
            "deadline": [(-1, None)],
        }
        self._admitted: list[tuple[int, int]] = []
        """Times and numbers of dispatches since the rate changed, those below nothing of what came back unbegun."""

    def at(self, name: str, basis: int) -> Any:
        """Return a limit as it was at a position."""
        return next(value for offset, value in reversed(self._values[name]) if offset < basis)

    def now(self, name: str) -> Any:
        """Return a limit as it is."""
        return self._values[name][-1][1]

    def change(self, offset: int, event: e.TaskLimitsChanged) -> None:
        """Take what people have set."""
        for name, values in self._values.items():
            if getattr(event, name) is not None:
                values.append((offset, getattr(event, name)))
        if event.rate is not None:
            self._admitted.clear()

    def plan(self, offset: int, event: e.TaskPlanned) -> None:
        """Take the deadline that a plan gives."""
        wanted = min(self._request.at, event.at) + self._length if self._length else None
        if event.deadline != (wanted if self.at("deadline", event.basis) is None else None):
            self._fault(f"planned with a deadline at {event.deadline}, not {wanted}")
        if self.now("deadline") is None:
            self._values["deadline"].append((offset, event.deadline or 0))

    def redrive(self, offset: int) -> None:
        """Forget the deadline."""
        self._values["deadline"].append((offset, 0))

    def is_over(self, event: Any) -> bool:
        """Tell whether time was over for a running task when something was decided about it."""
        deadline = self.at("deadline", event.basis)
        return bool(deadline) and bool(deadline <= event.at)

    def fire(self, event: e.TimerFired) -> bool:
        """Hold a timer against the deadline; tells whether it means the one that holds now."""
        if not self.is_over(event) or not self.at("deadline", event.basis) <= event.due <= event.at:
            self._fault(f"{event}, where the deadline was {self.at('deadline', event.basis)}")
        return bool(self.now("deadline")) and bool(self.now("deadline") <= event.due)

    def dispatch(self, event: e.ChildrenDispatched, live: int, count: int) -> None:
        """Hold a dispatch of so many work children, beside so many live ones, against both limits."""
        most = self.at("parallelism", event.basis)
        if most and count and live + count > most:
            self._fault(f"{count} dispatched beside {live} live ones, with a parallelism of {most}")
        rate, was = self.now("rate"), self._values["rate"][-1][0]
        if was >= event.basis:
            self._admitted.clear()  # it was decided by another rate: a window begins behind it
        elif rate.count and count:
            if self._admitted and event.at < max(at for at, _ in self._admitted):
                self._fault(f"dispatched at {event.at}, behind {self._admitted[-1]}")
            self._admitted.append((event.at, count))
            total = 0
            for at, number in reversed(self._admitted):
                total += number * rate.period
                if number > 0 and total > max(rate.period, rate.count * 1_000) + rate.count * (event.at - at):
                    self._fault(f"{self._admitted} is more than {rate} lets go")

    def refund(self) -> None:
        """Take back a child that a worker did not begin; where nothing was let go yet, the bucket is at most full."""
        if self._admitted:
            self._admitted.append((self._admitted[-1][0], -1))
