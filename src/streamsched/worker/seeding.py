"""Random numbers that a child seeded, and that the next one must not inherit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class Seeding:
    """Whether a child seeded the random numbers of ``random`` or ``numpy.random``: the next one must not inherit that.

    Their functions are replaced by ones that take note, for comparing 2.5 kB of state would cost more than a child.
    """

    def __init__(self) -> None:
        self.touched = False
        self.watches = (False, False)
        self._watched: dict[str, Callable[..., Any]] = {}

    def watch(self) -> None:
        """Take note from now on, of the modules that are there by now."""
        self.watches = ("random" in sys.modules, "numpy.random" in sys.modules)
        for name, setter in (("random", "setstate"), ("numpy.random", "set_state")):
            module = sys.modules.get(name)
            if module is not None and name not in self._watched and hasattr(module, setter):
                self._watched[name] = module.seed
                module.seed = self._noting(module.seed)  # type: ignore[attr-defined]
                setattr(module, setter, self._noting(getattr(module, setter)))

    def _noting(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*args: Any, **named: Any) -> Any:
            self.touched = True
            return act(*args, **named)

        noting.__name__, noting.__doc__ = act.__name__, act.__doc__
        return noting

    def seed_anew(self) -> None:
        """Seed from the system's own randomness what was seeded, or was imported unwatched."""
        fresh = [name for name in ("random", "numpy.random") if name in sys.modules and name not in self._watched]
        self.watch()
        for name, seed in self._watched.items():
            if self.touched or name in fresh:
                seed()
        self.touched = False
