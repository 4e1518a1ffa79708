"""What streamsched may cost, in counts and never in seconds: the table that ``make test`` goes by.

Each figure has what was measured, and what is allowed: 5 to 15 % more where it is exact, 25 % more where it is not.
Where more is worth its price, or a change has made it less, measure anew (``pytest tests/guard -rP`` prints every
figure) and write both numbers here.
"""

from __future__ import annotations

import sys
from typing import Final, NamedTuple


class Bound(NamedTuple):
    """What a figure was, and what it may be."""

    measured: float
    at_most: float


# One task of 10,000 children that do nothing, over the log in memory, 100 of them in each turn of 10 ms: exact.
WRITES: Final = {
    "transactions of schedulers":               Bound(11, 13),
    "transactions of workers":                  Bound(20, 23),
    "partitions a transaction of schedulers":   Bound(2.73, 3.2),  # a group's positions count as one
    "partitions a transaction of workers":      Bound(2, 2.3),
    "records a child":                          Bound(2.002, 2.1),  # of all topics
    "headers a child":                          Bound(8.003, 8.5),
    "bytes a child":                            Bound(233.4, 250),  # keys, values and headers
}  # fmt: skip

# The same task: calls for each child, of Python functions and of those in C, as CPython 3.11 counts them. Exact but for
# what caches know already.
CALLS: Final = {
    "calls a child: scheduler":                 Bound(73.7, 81),
    "calls a child: worker":                    Bound(92.1, 101),
    "calls a child: fold":                      Bound(42.2, 46),  # into the view of a client
}  # fmt: skip

# A task of as many children that a split child finds, in pages of 5,000: what it costs beside the same figures above.
SPLIT_WRITES: Final = {
    "transactions of schedulers":               Bound(12, 14),
    "transactions of workers":                  Bound(22, 25),
    "records a child":                          Bound(2.002, 2.1),
    "bytes a child":                            Bound(243.3, 260),  # its entry and its options too
}  # fmt: skip
SPLIT_CALLS: Final = {
    "calls a child: scheduler":                 Bound(109, 120),
    "calls a child: worker":                    Bound(114.3, 119),
    "calls a child: fold":                      Bound(42.2, 46),
}  # fmt: skip

# One task of 10,000 children that emit 10 records each, to one topic, on the same log: what it writes and calls of the
# worker, beside what the records are. A second transaction in each turn, and no call for each record but what makes it.
EMITS: Final = {
    "transactions of workers that emit":        Bound(20, 23),
    "partitions a transaction that emits":      Bound(3, 3.3),
    "calls a record: worker":                   Bound(10.7, 11.8),
}  # fmt: skip

# Real nodes on a real broker, without a task: how often all threads of a role are woken in a second.
WAKES: Final = {
    "wakes a second: scheduler":                Bound(110, 140),
    "wakes a second: scheduler_parent":         Bound(0, 1),
    "wakes a second: worker":                   Bound(67, 88),
    "wakes a second: worker_parent":            Bound(0, 1),
    "wakes a second: executor":                 Bound(0, 1),  # both of them
}  # fmt: skip

# One task of 10,000 children that do nothing, on these nodes. How many go into one transaction depends on the machine:
# only a collapse is noticed.
BATCHES: Final = {
    "transactions":                             Bound(20, 60),
}  # fmt: skip


def check(figure: str, bound: Bound, now: float, more: str = "") -> None:
    """Print a figure and hold it against its bound; ``more`` is said where it is beyond."""
    told = f"{figure}: {now:.6g}, at most {bound.at_most:g} (it was {bound.measured:g})"
    sys.stdout.write(f"{told}\n")
    assert now <= bound.at_most, f"{told}{more}"
