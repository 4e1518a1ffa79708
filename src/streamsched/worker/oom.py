"""How often the kernel has ended a process of this one's cgroup for want of memory."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

_ROOT: Final = "/sys/fs/cgroup"


def kills(own: str = "/proc/self/cgroup", root: str = _ROOT) -> int:
    """Return the number so far; 0 where it cannot be known."""
    for path in _counters(own, root):
        with suppress(OSError, ValueError), open(path, encoding="ascii") as file:  # noqa: PTH123 - as in ``descendants``
            fields = dict(line.split()[:2] for line in file)
            return int(fields.get("oom_kill", 0))
    return 0


def _counters(own: str, root: str) -> list[str]:
    """List the files that may hold the number, the nearest first: of cgroups v2, then v1."""
    v2, v1 = "", ""
    with suppress(OSError, ValueError), open(own, encoding="utf-8") as file:  # noqa: PTH123
        for line in file:
            _, kinds, place = line.rstrip("\n").split(":", 2)
            if not kinds:
                v2 = place.rstrip("/")
            elif "memory" in kinds.split(","):
                v1 = place.rstrip("/")
    return [
        *(f"{root}{place}/memory.events" for place in dict.fromkeys((v2, ""))),
        *(f"{root}/memory{place}/memory.oom_control" for place in dict.fromkeys((v1, ""))),
    ]
