"""Handlers that break what their executor and its pool have in common; executors import this module by its name."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from streamsched.worker.context import ChildContext

_pack = msgspec.msgpack.encode


def fine(ctx: ChildContext) -> str:
    return "fine"


def slow(ctx: ChildContext, seconds: float) -> str:
    time.sleep(seconds)
    return "fine"


def _link() -> int:
    for path in sorted(Path("/proc/self/fd").iterdir(), key=lambda path: int(path.name)):
        try:
            if str(path.readlink()).startswith("socket:"):
                return int(path.name)
        except OSError:
            continue
    raise LookupError


def _write(data: bytes) -> None:
    link = _link()
    os.set_blocking(link, True)
    left = memoryview(data)
    while left:
        left = left[os.write(link, left) :]


def _frame(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def _completed(key: Any, **more: Any) -> list[Any]:
    now = time.time_ns() // 1_000_000
    values = {"started_at": now, "finished_at": now, "result": None, "state": None, **more}
    return ["completed", key, *values.values()]


def frames(ctx: ChildContext, what: str, stay: float = 30.0) -> str:
    mine = ctx._transport._desk.key  # type: ignore[attr-defined]
    now = time.time_ns() // 1_000_000
    failed = ["failed", mine, now, now, "error", "E", "m", "", True, None, None]
    sent = {
        "garbage": struct.pack(">I", 5) + b"hello",
        "empty": struct.pack(">I", 0),
        "no list": _frame(_pack({"a": 1})),
        "wrong shape": _frame(_pack([["completed", mine]])),
        "foreign key": _frame(_pack([_completed(mine + 100_000)])),
        "negative key": _frame(_pack([_completed(-1)])),
        "text key": _frame(_pack([_completed("1")])),
        "huge count": _frame(b"\xdd\xff\xff\xff\xff"),
        "deep": _frame(b"\xdd\x00\x00\x00\x01" + b"\x91" * 100_000),
        "no utf-8": _frame(b"\x91\x95\xaccheckpointed" + _pack(mine) + b"\xa2\xff\xff\x01\xc2"),
        "no JSON": _frame(_pack([_completed(mine, result="nope")])),
        "large result": _frame(_pack([_completed(mine, result='"' + "x" * 300_000 + '"')])),
        "large result in bytes": _frame(_pack([_completed(mine, result='"' + "é" * 200_000 + '"')])),
        "the future": _frame(_pack([_completed(mine, finished_at=now + 3_600_000)])),
        "before all time": _frame(_pack([_completed(mine, finished_at=-5)])),
        "after all time": _frame(_pack([_completed(mine, finished_at=1 << 60)])),
        "retryable text": _frame(_pack([[*failed[:8], "no", None, None]])),
        "endless delay": _frame(_pack([[*failed[:9], 1 << 62, None]])),
        "long message": _frame(_pack([[*failed[:6], "m" * 100_000, *failed[7:]]])),
        "returned": _frame(_pack([["returned", mine]])),
        "unknown kind": _frame(_pack([["checked", mine, "1"]])),
        "large frame": struct.pack(">I", 0xFFFFFFF0) + b"x" * 3_000_000,
    }[what]
    _write(sent)
    time.sleep(stay)
    return "done"


def cut_and_die(ctx: ChildContext) -> None:
    _write(struct.pack(">I", 1000) + b"x" * 10)
    os._exit(3)


def flood(ctx: ChildContext) -> None:
    mine = ctx._transport._desk.key  # type: ignore[attr-defined]
    frame = _frame(_pack([["checkpointed", mine, "1", 1, False]])) * 1000
    while True:
        _write(frame)


def close_all(ctx: ChildContext) -> None:
    os.closerange(3, 200)
    time.sleep(30)


def close_link(ctx: ChildContext) -> None:
    os.close(_link())
    time.sleep(30)


def over_link(ctx: ChildContext, path: str) -> None:
    link = _link()
    with Path(path).open("w+") as file:
        os.dup2(file.fileno(), link)
        ctx.checkpoint({"x": 1})
        time.sleep(30)


def close_object(ctx: ChildContext) -> None:
    ctx._transport._link._sock.close()  # type: ignore[attr-defined]
    time.sleep(30)


def page(ctx: ChildContext, what: str) -> None:  # noqa: C901 - many ways to do it
    found = ctx._transport._desk.page  # type: ignore[attr-defined]
    mine = found.state()
    if what == "ones":
        found._bytes[:] = b"\xff" * len(found._bytes)
    elif what == "noise":
        found._bytes[:] = os.urandom(len(found._bytes))
    elif what == "pending":
        found._ints[8] = (1 << 62) - 1
    elif what == "pending garbage":
        found._mark(0, 1000, 3)
    elif what == "started later":
        found._ints[1] = time.monotonic_ns() + 10**15
    elif what == "started again":
        while True:
            time.sleep(0.01)
            found._ints[1] = time.monotonic_ns()
    elif what == "beats later":
        found._ints[3] = (1 << 62) - 1
    elif what == "counts":
        found._ints[6] = -5
    elif what == "starting":
        found._ints[0] = -2
    elif what == "leaving":
        time.sleep(0.2)
        found._ints[0] = -3
        time.sleep(30)
    elif what == "sibling":
        found._ints[0] = mine + 1
    elif what == "progress":
        found.progress(float("nan"), float("inf"))
        time.sleep(0.3)
        return
    if what != "pending":
        time.sleep(30 if what not in ("starting", "sibling") else 0.3)
    os._exit(1)


def stop_thread(ctx: ChildContext) -> None:
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "link"]
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
    time.sleep(30)


def stand_still(ctx: ChildContext) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def shrink(ctx: ChildContext) -> list[str]:
    told = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "streamsched-executor" in line:
            try:
                with Path(f"/proc/self/map_files/{line.split()[0]}").open("r+b") as file:
                    os.ftruncate(file.fileno(), 0)
                told.append("shrunk")
            except OSError as error:
                told.append(str(error.strerror))
    return told


def kill_guardian(ctx: ChildContext) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(30)


def stop_guardian(ctx: ChildContext) -> None:
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(30)
