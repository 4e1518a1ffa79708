"""Functions that split, and handlers of what they found; executors import this module by its bare name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamsched.worker.context import ChildContext


def numbers(ctx: ChildContext, count: int) -> Iterator[int]:
    yield from range(count)


def slowly(ctx: ChildContext, gate: str) -> Iterator[int]:
    yield 1
    while not Path(gate).exists():
        time.sleep(0.02)
    yield 2


def fails(ctx: ChildContext, after: int) -> Iterator[int]:
    yield from range(after)
    raise ValueError("no more")


def echo(ctx: ChildContext, **args: Any) -> dict[str, Any]:
    return {**args, "child": ctx.child_index, "stage": ctx.stage}


def total(ctx: ChildContext, **args: Any) -> list[Any]:
    return list(ctx.records())
