"""What runs below a process: find it and end it. Linux; the standard library only.

A process that has adopted (``adopt``) becomes the parent of whatever runs below it and loses its own parent, sessions
of their own included. So killing a parent loses none of its children, and without a child left nothing runs below.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_PAUSE_S: Final = 0.002


def adopt() -> None:
    """Become the parent of what runs below this process and loses its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(number: int) -> None:
    """Have the kernel send this signal when the parent (its thread that made us) ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def has_children() -> bool:
    """Return whether any child of this process lives, or has ended and was not waited for: one call of the system."""
    try:
        if hasattr(os, "waitid"):
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        else:  # macOS
            os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def reap() -> dict[int, int]:
    """Wait for all children that have ended; returns their wait statuses by process id."""
    ended: dict[int, int] = {}
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            ended[pid] = status
    return ended


def below(root: int) -> list[int]:
    """List the processes below this one, parents before their children; none where there is no /proc."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    with suppress(OSError):
        for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is not worth its import here
            if name.isdecimal():
                with suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - as above
                    parent = int(file.read().rpartition(b")")[2].split()[1])
                    children[parent].append(int(name))
    found = [root]
    for pid in found:
        found += children.pop(pid, ())
    return found[1:]


def end_all(patience_s: float, *, spare: Collection[int] = ()) -> bool:
    """Kill and reap all that runs below this process, which has adopted; False if some is left after so many seconds.

    What is left belongs to another user, or hangs in the kernel. ``spare``: children that may keep running.
    """
    deadline = time.monotonic() + patience_s
    while True:
        reap()
        if not has_children():
            return True
        if sys.platform != "linux":  # without /proc there is no way to find them
            return False
        left = [pid for pid in below(os.getpid()) if pid not in spare]
        if spare and not left:
            return True
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
