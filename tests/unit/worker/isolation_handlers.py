# ruff: noqa: PTH102, PTH106, PTH109, PTH123, T201, SIM115, B003, S108
"""Handlers that change their process, and one that looks at it; executors import this module by its name."""

from __future__ import annotations

import asyncio
import contextlib
import decimal
import faulthandler
import gc
import io
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import shared_memory
from typing import Any

from streamsched.worker.context import ChildContext

os.environ["SET_AT_IMPORT"] = "stays"


def look(ctx: ChildContext) -> dict[str, Any]:
    mask = os.umask(0)
    os.umask(mask)
    root = logging.getLogger()
    return {
        "pid": os.getpid(),
        "cwd": os.getcwd(),
        "environ": sorted(os.environ.items()),
        "zone": time.strftime("%z", time.localtime(0)),
        "umask": mask,
        "handlers": [repr(signal.getsignal(number)) for number in range(1, 32)],
        "timers": [signal.getitimer(timer) for timer in (0, 1, 2)],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "stdout": [id(sys.stdout), id(sys.stderr), id(sys.stdin)],
        "argv": sys.argv,
        "path": sys.path,
        "recursion": sys.getrecursionlimit(),
        "hooks": [id(sys.excepthook), id(threading.excepthook), repr(sys.gettrace()), repr(sys.getprofile())],
        "other hooks": [id(sys.unraisablehook), id(sys.displayhook), id(sys.breakpointhook)],
        "hooks of threads": [repr(threading.gettrace()), repr(threading.getprofile())],
        "digits": sys.get_int_max_str_digits(),
        "collects": [gc.isenabled(), gc.get_threshold(), gc.get_debug()],
        "records": [repr(logging.getLogRecordFactory()), repr(logging.getLoggerClass()), repr(warnings.showwarning)],
        "levels": [logging.getLevelName(level) for level in (10, 20, 30, 40, 50)],
        "cpus": sorted(os.sched_getaffinity(0)),
        "timeout": socket.getdefaulttimeout(),
        "warnings": len(warnings.filters),
        "locale": locale.setlocale(locale.LC_ALL),
        "logging": [root.level, len(root.handlers), root.manager.disable, logging.getLogger("app").level],
        "app": [len(logging.getLogger("app").handlers), logging.getLogger("app").propagate],
        "precision": decimal.getcontext().prec,
        "threads": threading.active_count(),
        "files": [os.fstat(number).st_ino for number in (1, 2)],
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "limits": [resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CPU)],
    }


def change(ctx: ChildContext, what: str) -> str:  # noqa: C901 - many things to change
    if what == "cwd":
        os.chdir("/")
    elif what == "lost cwd":
        os.mkdir("/tmp/streamsched-lost")
        os.chdir("/tmp/streamsched-lost")
        os.rmdir("/tmp/streamsched-lost")
    elif what == "environ":
        os.environ["LEFT"] = "1"
        del os.environ["PATH"]
        os.environ["TZ"] = "Asia/Tokyo"
        time.tzset()
    elif what == "other environ":
        os.environ = {"A": "1"}  # type: ignore[assignment]
    elif what == "umask":
        os.umask(0o777)
    elif what == "signals":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        time.sleep(0.002)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    elif what == "alarm":
        signal.alarm(1)
    elif what == "timer":
        signal.signal(signal.SIGPROF, lambda *_: None)
        signal.setitimer(signal.ITIMER_PROF, 0.1, 0.1)
        signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    elif what == "streams":
        sys.stdout, sys.stderr, sys.stdin = io.StringIO(), io.StringIO(), io.StringIO()
    elif what == "closed streams":
        sys.stdout = open(os.devnull, "w")
        sys.stdout.close()
    elif what == "sys":
        sys.argv = ["x"]
        sys.path.insert(0, "/nowhere")
        sys.setrecursionlimit(5000)
        sys.excepthook = threading.excepthook = print
        sys.settrace(lambda *_: None)
        gc.disable()
        time.sleep(0.002)
    elif what == "unraisable":
        sys.unraisablehook = print
        time.sleep(0.002)
    elif what == "breakpoint":
        sys.breakpointhook = None  # type: ignore[assignment]
        del sys.displayhook
        time.sleep(0.002)
    elif what == "hooks of threads":
        threading.settrace(lambda *_: None)
        threading.setprofile(lambda *_: None)
        time.sleep(0.002)
    elif what == "records":
        logging.setLogRecordFactory(lambda *_: None)  # type: ignore[arg-type]
    elif what == "logger class":
        logging.setLoggerClass(type("Own", (logging.Logger,), {}))
    elif what == "captured warnings":
        logging.captureWarnings(True)
    elif what == "levels":
        logging.addLevelName(logging.INFO, "I")
    elif what == "collector":
        gc.set_threshold(1)
        gc.set_debug(gc.DEBUG_STATS)
        time.sleep(0.002)
    elif what == "cpus":
        os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
        time.sleep(0.002)
    elif what == "digits":
        sys.set_int_max_str_digits(640)
        time.sleep(0.002)
    elif what == "fault timer":
        faulthandler.dump_traceback_later(0.5, exit=True)
    elif what == "descriptors":
        with contextlib.suppress(OSError):
            while True:
                os.dup(1)
    elif what == "most descriptors":
        while os.dup(1) < os.sysconf("SC_OPEN_MAX") * 3 // 4:
            pass
        time.sleep(0.002)
    elif what == "timeout":
        socket.setdefaulttimeout(0.01)
        time.sleep(0.002)
    elif what == "warnings":
        warnings.simplefilter("error")
    elif what == "locale":
        locale.setlocale(locale.LC_ALL, "C")
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
    elif what == "logging":
        logging.basicConfig(level=logging.ERROR, force=True, handlers=[logging.NullHandler()])
        logging.disable(logging.CRITICAL)
    elif what == "logger":
        logging.getLogger("app").setLevel(logging.ERROR)
        logging.getLogger("app").addHandler(logging.NullHandler())
        logging.getLogger("app").propagate = False
    elif what == "decimal":
        decimal.getcontext().prec = 3
    elif what == "files":
        with open(os.devnull, "w") as file:
            os.dup2(file.fileno(), 1)
        os.close(2)
        time.sleep(0.002)
    elif what == "priority":
        os.nice(1)
        time.sleep(0.002)
    elif what == "limits":
        resource.setrlimit(resource.RLIMIT_CPU, (3600, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    elif what == "thread":
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    elif what == "lasting thread":
        threading.Thread(target=time.sleep, args=(60,)).start()
    elif what == "thread pool":
        ThreadPoolExecutor(2).submit(time.sleep, 60)
    elif what == "print":
        print("kept")
    return "done"


def ends_its_group(ctx: ChildContext, number: int) -> list[bool]:
    mine = [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()]
    if all(mine):  # or it would strike the tests
        subprocess.run(["sh", "-c", f"trap '' {number}; kill -{number} 0"], check=False)
        time.sleep(10.0 if number in (1, 3) else 0.1)  # those end it, at once or after a core dump
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        mine.append(True)
    return mine


def lets_a_pool_go(ctx: ChildContext) -> int:
    return sum(ThreadPoolExecutor(4).map(abs, range(4)))


def _numpy() -> Any:
    """Give what stands for ``numpy.random``."""
    if "numpy.random" not in sys.modules:
        module, state = types.ModuleType("numpy.random"), random.Random()
        module.seed, module.set_state, module.random = state.seed, state.setstate, state.random  # type: ignore[attr-defined]
        sys.modules["numpy.random"] = module
    return sys.modules["numpy.random"]


def seeds(ctx: ChildContext, how: str) -> None:
    if how == "seed":
        random.seed(42)
    elif how == "state":
        random.setstate(random.Random(42).getstate())
    else:
        _numpy().seed(42)


def draws(ctx: ChildContext, numpy_too: bool = False) -> float:
    if numpy_too:
        return float(_numpy().random())
    return random.random()


def sets_at_import(ctx: ChildContext) -> str | None:
    return os.environ.get("SET_AT_IMPORT")


# --- forks -----------------------------------------------------------------------------------------------------------


def _code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def forks(ctx: ChildContext, how: str) -> int:
    ctx.checkpoint({"of": "the parent"})
    sys.stdout.write("before ")
    pid = os.fork()
    if pid:
        sys.stdout.write("parent\n")
        return _code(pid)
    print("in the copy")
    sys.stdout.write("without an end")
    ctx.heartbeat()
    ctx.progress(7, 7)
    with contextlib.suppress(ValueError):
        ctx.checkpoint({"of": "the copy"}, wait=True)
    if how == "raises":
        raise ValueError("in the copy")
    if how == "exits":
        sys.exit(7)
    if how == "says why":
        sys.exit("a reason")
    if how == "grandchild":
        inner = os.fork()
        if not inner:
            sys.exit(9)
        sys.exit(_code(inner))
    if how == "term":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    if how == "int":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    return 0


def _square(number: int) -> int:
    return number * number


def _say(text: str) -> None:
    print(text)
    sys.exit(5)


def many(ctx: ChildContext, method: str, how: str) -> Any:
    context: Any = multiprocessing.get_context(method)
    if how == "process":
        process = context.Process(target=_say, args=("from a process",))
        process.start()
        process.join()
        return process.exitcode
    if how == "pool":
        with context.Pool(2) as pool:  # whose end is terminate()
            return pool.map(_square, range(5))
    if how == "executor":
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            return list(pool.map(_square, range(5)))
    if how == "terminate":
        process = context.Process(target=time.sleep, args=(60,))
        process.start()
        process.terminate()
        process.join(10)
        return process.exitcode
    memory = shared_memory.SharedMemory(create=True, size=10)
    memory.close()
    return memory.name


def runs_async(ctx: ChildContext) -> str:
    async def talk() -> bytes:
        process = await asyncio.create_subprocess_exec("echo", "hello", stdout=subprocess.PIPE)
        return (await process.communicate())[0]

    return asyncio.run(talk()).decode()


def runs(ctx: ChildContext) -> str:
    return subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout
