"""Which files patterns name, in the order of their paths, from any path on.

In memory are the names of one folder of each level.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import translate
from heapq import merge
from typing import Final, NamedTuple

from streamsched.domain.splitters.outside import walk_key
from streamsched.worker.sources.errors import InputMissing
from streamsched.worker.sources.storage import Found, Storage, storage_of

_MAGIC: Final = re.compile(r"[*?\[]")
ANY: Final = "**"


def walk(patterns: Sequence[str], after: str | None = None) -> Iterator[Found]:
    """Yield the files that any of the patterns names, each once, behind the path ``after``. Raise InputMissing."""
    walks = [_walk(pattern, after) for pattern in patterns]
    last = None
    for found in merge(*walks, key=lambda each: walk_key(each.path)) if len(walks) > 1 else walks[0]:
        if found.path != last:
            last = found.path
            yield found


def _walk(pattern: str, after: str | None) -> Iterator[Found]:
    """Yield the files that one pattern names, in their order."""
    storage = storage_of(pattern)
    itself = storage.look(pattern)
    if itself is not None:  # also one whose name looks like a pattern
        if after is None or walk_key(pattern) > walk_key(after):
            yield itself
        return
    base, steps = _steps(pattern)
    if not steps:
        if not storage.read(base).names and not _is_folder(storage, base):
            raise InputMissing(f"{pattern}: there is no such file or folder")
        steps = [ANY]
    begin = None
    if after is not None:
        parts, own = walk_key(after), walk_key(base)
        if parts[: len(own)] != own:
            if parts > own:
                return
        else:
            begin = parts[len(own) :]
    yield from _below(_Walk(storage, [step if step == ANY else _matcher(step) for step in steps]), base, {0}, begin)


def _steps(pattern: str) -> tuple[str, list[str]]:
    """Return the folder before the first pattern, and the patterns of names from there on."""
    parts = pattern.rstrip("/").split("/")
    at = next((n for n, part in enumerate(parts) if _MAGIC.search(part) and n > 0), len(parts))
    base = "/".join(parts[:at])
    return base, [part for part in parts[at:] if part]


def _matcher(step: str) -> re.Pattern[str]:
    return re.compile(("" if step.startswith(".") else r"(?!\.)") + translate(step), re.DOTALL)


def _is_folder(storage: Storage, base: str) -> bool:
    parent, _, name = base.rpartition("/")
    return name in storage.read(parent).folders


class _Walk(NamedTuple):
    storage: Storage
    steps: list[str | re.Pattern[str]]

    def entered(self, states: set[int], name: str) -> set[int]:
        """Return how many steps may be done behind a name, from so many that may be done before it."""
        found = set()
        for state in self.open(states):
            if state == len(self.steps):
                continue
            step = self.steps[state]
            if isinstance(step, str):
                if not name.startswith("."):
                    found.add(state)
            elif step.match(name):
                found.add(state + 1)
        return found

    def open(self, states: set[int]) -> set[int]:
        """Add the states that are reached without a name: ``**`` may stand for none."""
        found = set(states)
        for state in sorted(states):
            at = state
            while at < len(self.steps) and self.steps[at] == ANY:
                at += 1
                found.add(at)
        return found


def _below(walking: _Walk, folder: str, states: set[int], after: list[str] | None) -> Iterator[Found]:
    names, folders, files = walking.storage.read(folder)
    for name in names:
        if after and name < after[0]:
            continue
        inside = walking.entered(states, name)
        if not inside:
            continue
        rest = after[1:] if after and name == after[0] else None
        path = f"{folder}/{name}"
        # A store may have a file and a folder of one name: the file is the first of the two.
        if rest is None and (name not in folders or name in files) and len(walking.steps) in walking.open(inside):
            found = files.get(name) or walking.storage.look(path)
            if found is not None:
                yield found
        if name in folders:
            yield from _below(walking, path, inside, rest)
