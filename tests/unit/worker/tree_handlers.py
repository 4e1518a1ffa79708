"""Handlers that start processes, for the tests of what becomes of those; executors import this module by its name."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from streamsched.worker.context import ChildContext

SLEEPER = """
import os, pathlib, signal, sys, time
for number in ("SIGTERM", "SIGHUP", "SIGINT"):
    if "deaf" in sys.argv: signal.signal(getattr(signal, number), signal.SIG_IGN)
pathlib.Path(sys.argv[1], str(os.getpid())).touch()
time.sleep(300)
"""


def leaves(ctx: ChildContext, way: str, folder: str, stay: float = 0.0, then: str = "") -> list[int]:
    sleeper = [sys.executable, "-S", "-c", SLEEPER, folder]
    if way in ("plain", "deaf"):
        subprocess.Popen([*sleeper, way])
    elif way == "session":
        subprocess.Popen(sleeper, start_new_session=True)
    elif way == "orphan":
        subprocess.run(["sh", "-c", '"$@" &', "sh", *sleeper], check=True)
    elif way == "daemon":
        pid = os.fork()
        if not pid:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.execv(sleeper[0], sleeper)  # noqa: S606
        os.waitpid(pid, 0)
    elif way == "tree":
        subprocess.Popen(["sh", "-c", '"$@" & setsid "$@" & exec "$@"', "sh", *sleeper])
    expected = {"nothing": 0, "tree": 3}.get(way, 1)
    while len(list(Path(folder).iterdir())) < expected:
        time.sleep(0.01)
    if then in ("segfault", "exit"):
        time.sleep(0.3)
        if then == "segfault":
            ctypes.string_at(0)
        os._exit(7)
    time.sleep(stay)
    return [int(path.name) for path in Path(folder).iterdir()]


def zombie(ctx: ChildContext) -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def ends_itself(ctx: ChildContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
