"""Whether what a handler does to the outside is right, wherever it dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

from streamsched.testing.context import CrashPoint, crash_after
from streamsched.testing.run import AnyHandler, ChildRun, run_child

SHOWN: Final = 3
"""Effects that a message names of each kind."""


def assert_effects_idempotent(
    handler: AnyHandler,
    args: Mapping[str, Any] | None = None,
    *,
    effects: Callable[[], Any],
    reset: Callable[[], object] | None = None,
    points: int = 100,
    fork: bool = False,
    **more: Any,
) -> None:
    """Check that a handler's effects are those of an undisturbed run, wherever it dies and is begun again.

    The child is run undisturbed. Then it dies at its start, right after each checkpoint, and at its end; another
    attempt resumes from that checkpoint, and in a run of its own from the one before, as if the child had died a moment
    earlier. Where it died at its end, another one resumes from the last checkpoint with ``wait=True``, or begins anew:
    the others are written once a second. That finds what is done twice, and what a checkpoint covers though it is not
    done yet.

    Args:
        handler: a function, or its name.
        args: the child's arguments.
        effects: returns what there is outside: rows, files with their content, messages that a fake was given. What it
            returns for the undisturbed run is what it must return for each other one.
        reset: makes the outside as it is before a run. By default what ``effects`` returns is cleared.
        points: at most so many checkpoints are tried, spread over the run.
        fork: has it die in a copy of this process, as ``run_child`` does. That finds what is still in a buffer, or left
            to a ``finally``; ``effects`` then looks at files, a database or the like, for memory is not shared.
        more: as for ``run_child``.

    Raise AssertionError, which names the point and what is doubled, lost or different; ValueError where ``effects`` or
    ``reset`` cannot tell.

    """
    outside = _Outside(effects, reset)
    undisturbed = run_child(handler, args, **more)
    wanted = outside.taken()
    if wanted == outside.begun:
        raise ValueError("an undisturbed run changes nothing that effects() returns: let it return what a handler does")
    for point, kept in _deaths(undisturbed, points):
        outside.reset()
        where = f"after it died after {point} and resumed from {f'checkpoint {kept}' if kept else 'the beginning'}"
        again = _died_and_resumed(handler, args, point, kept, more, where, fork=fork)
        if found := _difference(wanted, outside.taken()):
            raise AssertionError(f"{where}: {found}")
        if again.result != undisturbed.result:
            raise AssertionError(f"{where}: it returned {again.result!r}, and undisturbed {undisturbed.result!r}")


def _died_and_resumed(
    handler: AnyHandler, args: Mapping[str, Any] | None, point: CrashPoint, kept: int, more: Mapping[str, Any],
    where: str, *, fork: bool,
) -> ChildRun:  # fmt: skip
    first = {"attempt": 1, "fencing_token": 1, "resume": None, **more}
    died = run_child(handler, args, **{**first, "crash": point, "fork": fork})
    if not died.died:
        raise AssertionError(f"the handler takes other checkpoints when repeated: it did not come to {point}")
    state = died.checkpoints[kept - 1] if kept else first["resume"]
    tokens = {name: first[name] + 1 for name in ("attempt", "fencing_token")}
    try:
        return run_child(handler, args, **{**first, **tokens, "resume": state})
    except Exception as error:
        error.add_note(f"it was raised {where}")
        raise


def _deaths(run: ChildRun, points: int) -> Iterator[tuple[CrashPoint, int]]:
    """Yield where a child with this undisturbed run dies, and the number of the checkpoint that is durable then."""
    checkpoints = len(run.checkpoints)
    yield crash_after("start"), 0
    tried = min(checkpoints, max(1, points))
    for each in range(tried):
        number = 1 + each * (checkpoints - 1) // max(1, tried - 1)
        yield crash_after("checkpoint", number), number
        yield crash_after("checkpoint", number), number - 1
    yield crash_after("end"), checkpoints
    if checkpoints > run.waited:
        yield crash_after("end"), run.waited


class _Outside:
    """What handlers change, as a test sees it."""

    def __init__(self, effects: Callable[[], Any], reset: Callable[[], object] | None) -> None:
        self._effects = effects
        self._reset = reset
        self._make()
        self.begun = self.taken()
        """What there is before a run."""

    def taken(self) -> Any:
        """Return what there is outside, as it stays."""
        found = self._effects()
        return deepcopy(found if isinstance(found, list | dict | set | str | bytes) else _listed(found))

    def reset(self) -> None:
        """Make it as it was before the first run. Raise ValueError where it is not."""
        self._make()
        if self.taken() != self.begun:
            remedy = "return the collection itself, or give reset=, which makes it so"
            raise ValueError(f"what effects() returns is not as it was before the first run: {remedy}")

    def _make(self) -> None:
        if self._reset is not None:
            self._reset()
        elif hasattr(found := self._effects(), "clear"):
            found.clear()


def _listed(found: Any) -> Any:
    return list(found) if isinstance(found, Iterable) else found


def _difference(wanted: Any, found: Any) -> str:
    """Return what is done twice, lost, or different; empty if nothing is."""
    if found == wanted:
        return ""
    if not (isinstance(wanted, list | dict | set) and type(wanted) is type(found)):
        return f"the effects are {found!r}, and undisturbed {wanted!r}"
    before, after = (Counter(map(repr, each.items() if isinstance(each, dict) else each)) for each in (wanted, found))
    more, less = after - before, before - after
    doubled = Counter({effect: count for effect, count in more.items() if effect in before})
    kinds = {"doubled": doubled, "lost": less, "not there undisturbed": more - doubled}
    return "; ".join(f"{_shown(effects)} {name}" for name, effects in kinds.items() if effects) or "in another order"


def _shown(effects: Counter[str]) -> str:
    shown = ", ".join(list(effects)[:SHOWN])
    return shown if len(effects) <= SHOWN else f"{shown} and {len(effects) - SHOWN} more"
