"""What tests of your own jobs need: a child, or a whole cluster, in their own process. ``docs/testing.md`` shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamsched.testing.context import ChildDied as ChildDied
    from streamsched.testing.context import CrashPoint as CrashPoint
    from streamsched.testing.context import crash_after as crash_after
    from streamsched.testing.covers import assert_covers as assert_covers
    from streamsched.testing.effects import assert_effects_idempotent as assert_effects_idempotent
    from streamsched.testing.fixtures import cluster as cluster
    from streamsched.testing.memory_cluster import Cluster as Cluster
    from streamsched.testing.run import ChildRun as ChildRun
    from streamsched.testing.run import run_child as run_child

_HOMES = {
    "ChildDied": "context",
    "ChildRun": "run",
    "Cluster": "memory_cluster",
    "CrashPoint": "context",
    "assert_covers": "covers",
    "assert_effects_idempotent": "effects",
    "cluster": "fixtures",  # the one that imports pytest
    "crash_after": "context",
    "run_child": "run",
}

__all__ = [
    "ChildDied", "ChildRun", "Cluster", "CrashPoint", "assert_covers", "assert_effects_idempotent", "cluster",
    "crash_after", "run_child",
]  # fmt: skip


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f"{__name__}.{home}"), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
