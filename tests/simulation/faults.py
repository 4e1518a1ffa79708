"""Which fault strikes where: thrown by dice that belong to a seed, or told again from a list.

Whoever can be struck (a node, a pool, the world between two steps) has dice of its own, so that leaving one fault out
changes nothing about when the others strike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Final, NamedTuple

TURN: Final = "turn"
JOB: Final = "job starts"
STAGE: Final = "job of a split or a reduce starts"
PAGE: Final = "a page is written"
UNIT: Final = "unit of work"
CALL: Final = "any call but a commit"
COMMIT: Final = ("commit.begin", "commit.appended", "commit.offsets", "commit.before_end")
CALLS: Final[Mapping[str, tuple[tuple[str, ...], float]]] = {
    "crash in a call": ((CALL,), 0.0003),
    "crash before a commit": (COMMIT[:1], 0.002),
    "crash inside a commit": (COMMIT[1:], 0.0015),
    "crash after a commit": (("commit.after_end",), 0.003),
    "freeze in a call": ((CALL,), 0.0003),
    "freeze inside a commit": (COMMIT, 0.001),
    "freeze after a commit": (("commit.after_end",), 0.001),
    "outcome unknown, not landed": (COMMIT[3:], 0.01),
    "outcome unknown, landed": (("commit.after_end",), 0.01),
    "transaction refused": (COMMIT[:3], 0.006),
    "writer fenced": (COMMIT, 0.001),
    "member lost": (("commit.begin", "member.poll"), 0.0004),
    "log unreachable": (
        ("committed.stable", "committed.unstable", "fence.begin", "end", "append.begin", "append.end",
         "delete_before.begin"), 0.01,
    ),
    "cancelled around a commit": (("commit.begin", "commit.after_end"), 0.0015),
    "member lost inside a commit": (COMMIT[3:], 0.004),
}  # fmt: skip
"""Faults inside the calls of the log: at which of its steps, and how likely there."""
OF_SCHEDULES: Final = (
    "schedule changed", "schedule paused or resumed", "schedule triggered", "schedule deleted",
)  # fmt: skip
"""What people do to schedules: only where there are any."""
BACKFILLS: Final = ("backfill", "backfill of a stale number", "backfill cancelled")
"""The same, of backfills."""
REDUCED: Final = "task reduced anew"
"""Only where this may strike have templates a reduce."""
PAGED: Final = "task cancelled while it splits or reduces"
"""Only where this may strike have templates a split child."""
TORN: Final = "page cannot be read"
"""What a worker writes as a page of a split child is rubbish: it is set aside by all."""
REDRIVES: Final = ("task redriven", "task redriven by two", "task redriven blindly", REDUCED, PAGED, TORN)
PLACED: Final = "worker of another queue"
"""Only where this may strike do templates name queues, and need labels."""
PAUSED: Final = "task paused"
LIMITED: Final = "limits set"
"""Only where this may strike do templates have limits."""
OF_MODULES: Final = ("worker without the module", "import fails on a worker", PLACED)
"""Workers that cannot run what there is."""
UNKNOWN: Final = ("newer record in the journal", "newer record set aside")
"""Records of an unknown schema that somebody sets aside."""
EMITS: Final = "topic is sick"
"""Only where this may strike do handlers emit."""
ROGUE: Final = "handler sends what it may not"
AGAIN: Final = "job comes back though it began"
OF_TOPICS: Final = (EMITS, "topic is gone", ROGUE, AGAIN)
"""What befalls the topics of users, and what handlers try to write."""
LATER: Final = (
    "cancelled around a commit", "member lost inside a commit", *OF_SCHEDULES, *BACKFILLS, *REDRIVES,
    *OF_MODULES, *UNKNOWN, "clock goes far off", *OF_TOPICS, LIMITED,
)  # fmt: skip
"""Kinds that were added later: each has dice of its own in a scenario, so that earlier seeds tell what they told."""
TURNS: Final[Mapping[str, float]] = {
    "killed": 0.002,
    "killed while frozen": 0.0005,
    "node joins": 0.004,
    "drain": 0.002,
    "drain again": 0.002,
    "evicted by another node": 0.001,
    "clock jumps": 0.002,
    "cancel": 0.0015,
    "task terminated": 0.0007,
    PAUSED: 0.003,
    LIMITED: 0.006,
    "submitted again": 0.0015,
    "submitted again, otherwise": 0.0008,
    "poison in the work log": 0.001,
    "poison that names a child": 0.001,
    "poison in the journal": 0.0008,
    "poison among the beats": 0.0004,
    "record of a newer version": 0.0002,
    "positions of the work log lost": 0.0001,
    "positions of the journal lost": 0.0001,
    "schedule changed": 0.006,
    "schedule paused or resumed": 0.008,
    "schedule triggered": 0.006,
    "schedule deleted": 0.004,
    "backfill": 0.008,
    "backfill of a stale number": 0.001,
    "backfill cancelled": 0.001,
    "newer record in the journal": 0.0008,
    "newer record set aside": 0.002,
    "clock goes far off": 0.0015,
    "task redriven": 0.002,
    "task redriven by two": 0.0008,
    "task redriven blindly": 0.0008,
    "worker without the module": 0.003,
    "import fails on a worker": 0.004,
    PLACED: 0.006,
    REDUCED: 0.003,
    EMITS: 0.004,
    "topic is gone": 0.002,
}
"""Faults between two steps: how likely at each turn."""
BIRTHS: Final[Mapping[str, float]] = {
    "view lost": 0.15,
    "view truncated": 0.25,
    "slow reader": 0.5,
    "clock is off": 0.3,
}
"""Faults at the start of a node, where they can be."""
POOLS: Final[Mapping[str, tuple[str, float]]] = {
    "handler takes its worker down": (JOB, 0.02),
    "job returned": (JOB, 0.02),
    "handler fails": (UNIT, 0.08),
    "handler hangs": (UNIT, 0.015),
    "executor dies": (UNIT, 0.015),
    PAGED: (STAGE, 0.3),
    TORN: (PAGE, 0.3),
    ROGUE: (UNIT, 0.01),
    AGAIN: (UNIT, 0.05),
}
"""Faults of handlers and executors: at the start of a job, or at each unit of its work."""
ELSEWHERE: Final = frozenset({TURN, JOB, STAGE, PAGE, UNIT, *BIRTHS})
"""Places that are no call of the log."""
KINDS: Final = (*CALLS, *TURNS, *BIRTHS, *POOLS)


class Fault(NamedTuple):
    """One fault: who was struck the how-manieth time that it could have been, how, and how hard (0 to 1)."""

    who: str
    nth: int
    kind: str
    amount: float

    def __str__(self) -> str:
        return f"{self.who}@{self.nth} {self.kind} {self.amount}"

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read back what ``str`` wrote."""
        place, _, rest = text.strip().partition(" ")
        kind, _, amount = rest.rpartition(" ")
        who, _, nth = place.rpartition("@")
        if kind not in KINDS:
            raise ValueError(f"{text!r} is not a fault")
        return cls(who, int(nth), kind, float(amount))


class _Die:
    """The dice of one who can be struck, and how often they were thrown."""

    __slots__ = ("random", "thrown")

    def __init__(self, seed: str) -> None:
        self.random = Random(seed).random
        self.thrown = 0


class Dice:
    """Throws for every place where a fault may strike.

    Args:
        seed: of the history.
        kinds: the faults that may strike at all.
        factor: makes those of the log and of the world more likely.
        script: these faults and no others, wherever they were thrown once.

    """

    def __init__(self, seed: int, kinds: Iterable[str], factor: float, script: Iterable[Fault] | None = None) -> None:
        self._seed = seed
        self._kinds = frozenset(kinds)
        self._factor = factor
        self._script = None if script is None else {(fault.who, fault.nth): fault for fault in script}
        self._dice: dict[str, _Die] = {}
        self._tables: dict[str, list[tuple[str, float]]] = {}
        self.struck: list[Fault] = []

    def throw(self, who: str, place: str) -> Fault | None:
        """Tell what strikes ``who`` at this place, if anything does."""
        die = self._dice.get(who)
        if die is None:
            die = self._dice[who] = _Die(f"{self._seed}/{who}")
        die.thrown += 1
        if self._script is not None:
            fault = self._script.get((who, die.thrown))
            if fault is None or not _strikes(fault.kind, place):
                return None
            self.struck.append(fault)
            return fault
        table = self._tables.get(place)
        if table is None:
            table = self._tables[place] = [
                (kind, self._chance(kind)) for kind in KINDS if kind in self._kinds and _strikes(kind, place)
            ]
        dice = die.random()
        for kind, chance in table:
            if dice < chance:
                fault = Fault(who, die.thrown, kind, int(die.random() * 10_000) / 10_000)
                self.struck.append(fault)
                return fault
            dice -= chance
        return None

    def _chance(self, kind: str) -> float:
        if kind in CALLS:
            return CALLS[kind][1] * self._factor
        if kind in TURNS:
            return TURNS[kind] * self._factor
        return BIRTHS[kind] if kind in BIRTHS else POOLS[kind][1]


def _strikes(kind: str, place: str) -> bool:
    """Tell whether this kind of fault can strike at this place."""
    if kind in CALLS:
        steps = CALLS[kind][0]
        return place in steps or (steps == (CALL,) and place not in ELSEWHERE and not place.startswith("commit."))
    if kind in TURNS:
        return place == TURN
    return place == kind if kind in BIRTHS else place == POOLS[kind][0]
