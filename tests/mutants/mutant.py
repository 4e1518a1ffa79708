"""Mutants: the real code with one promise broken, kept as patches; each must be caught by the simulation.

A patch's first line says in words what it breaks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PATCHES: Final = Path(__file__).parent / "patches"
HISTORIES: Final = 500
"""Within so many histories a mutant has to be caught, from seed 1 on."""
CAUGHT: Final = Path(__file__).parent / "caught.json"
"""The seed that caught each mutant when all were tried last: it is tried first, which is all that most of them cost."""


class Misfit(Exception):
    """A patch does not apply to the present code."""


@dataclass(frozen=True)
class Mutant:
    """One patch."""

    patch: Path

    @property
    def name(self) -> str:
        return self.patch.stem

    @property
    def breaks(self) -> str:
        """What it breaks, in words."""
        return self.patch.read_text().partition("\n")[0]


@dataclass(frozen=True)
class Trial:
    """What became of it: how many histories passed, then the seed that did not and what was said of it."""

    passed: int
    seed: int | None
    fault: str


def mutants() -> list[Mutant]:
    """List what is in ``patches``."""
    return [Mutant(patch) for patch in sorted(PATCHES.glob("*.patch"))]


def try_out(
    chosen: Sequence[Mutant], how: Callable[[Mutant], Trial], *, processes: int | None = None
) -> Iterator[tuple[Mutant, Trial]]:
    """Try each out in this way, some of them side by side."""
    with ThreadPoolExecutor(processes or os.cpu_count()) as pool:
        yield from zip(chosen, pool.map(how, chosen), strict=True)


def catch(mutant: Mutant, *, first: int = 1, histories: int = HISTORIES) -> Trial:
    """Try the history that caught a mutant last, then those from the first seed on."""
    seed = json.loads(CAUGHT.read_text()).get(mutant.name)
    tried = None if seed is None else trial(mutant.patch, first=seed, histories=1)
    return trial(mutant.patch, first=first, histories=histories) if tried is None or tried.seed is None else tried


def note(caught: Mapping[str, int]) -> None:
    """Keep the seeds that caught these mutants; forget those of mutants that are gone."""
    there = {mutant.name for mutant in mutants()}
    known = {**json.loads(CAUGHT.read_text()), **caught}
    kept = {name: seed for name, seed in sorted(known.items()) if name in there}
    CAUGHT.write_text(json.dumps(kept, indent=0) + "\n")


def trial(patch: Path | None, *, first: int, histories: int) -> Trial:
    """Live through histories with a patch (None: with the code as it is), in a process of its own.

    Raises:
        Misfit: the patch does not apply.

    """
    with TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name).resolve()
        for part in ("src", "schemas"):
            shutil.copytree(ROOT / part, folder / part)
        if patch is not None:
            apply(patch, folder)
        ran = subprocess.run(
            [sys.executable, "-m", "tests.mutants.trial", str(folder), str(first), str(histories)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(folder / "src")}, text=True, capture_output=True,
        )  # fmt: skip
    if ran.returncode:
        raise RuntimeError(f"the trial of {patch.name if patch else 'the code as it is'} failed:\n{ran.stderr}")
    return Trial(**json.loads(ran.stdout.splitlines()[-1]))


def apply(patch: Path, folder: Path) -> None:
    """Apply a patch to a copy of the code."""
    # Git passes over files outside of a repository, should it find one further up.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    ran = subprocess.run(["git", "apply", str(patch)], cwd=folder, env=environment, text=True, capture_output=True)
    if ran.returncode:
        raise Misfit(
            f"{patch.name} does not apply to the present code: make it anew, so that it breaks the same: "
            f"{Mutant(patch).breaks}\n{ran.stderr}"
        )
