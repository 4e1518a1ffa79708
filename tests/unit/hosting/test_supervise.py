"""The parent of a node waits for all that ends below it, and keeps the node's exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from streamsched.hosting import supervise
from tests.support.needs import LINUX

pytestmark = [pytest.mark.slow, LINUX]
PATIENCE = 20.0

PARENT = """
import sys
from streamsched.hosting import supervise
supervise._COMMAND = (sys.executable, "-S", "-c")
sys.exit(supervise.supervise(sys.argv[1:]))
"""
ORPHANS = """
import os, signal, sys, time
signal.pthread_sigmask(signal.SIG_SETMASK, ())
def orphan(seconds):
    if not os.fork():
        if not os.fork():
            time.sleep(seconds)
            os._exit(0)
        os._exit(0)
for n in range(20): orphan(n * 0.01)
"""


def start(node: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PARENT, node], stdout=subprocess.PIPE, text=True)


def test_what_it_adopts_is_reaped() -> None:
    with start(ORPHANS + "time.sleep(0.5); print(os.getpid(), flush=True); sys.stdin.read(); time.sleep(60)") as parent:
        assert parent.stdout is not None
        node = int(parent.stdout.readline())
        assert [child.pid for child in psutil.Process(parent.pid).children()] == [node]
        parent.terminate()
        assert parent.wait(PATIENCE) == 128 + 15


@pytest.mark.parametrize("code", [0, 7])
def test_the_exit_code_is_the_nodes_own(code: int) -> None:
    for _ in range(5):
        with start(ORPHANS + f"sys.exit({code})") as parent:
            assert parent.wait(PATIENCE) == code


def test_what_a_node_leaves_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    node = f"""
import os, time
if not os.fork():
    os.closerange(3, 200)  # the node's line to its parent, which no executor has
    os.setsid()
    if not os.fork():
        open({str(note)!r}, "w").write(str(os.getpid()))
        time.sleep(300)
    os._exit(0)
os.wait()
while not os.path.exists({str(note)!r}) or not open({str(note)!r}).read(): time.sleep(0.01)
os.kill(os.getpid(), 9)
"""
    with start(node) as parent:
        assert parent.wait(PATIENCE) == 128 + 9
    assert not psutil.pid_exists(int(note.read_text()))


def test_a_signal_for_a_node_that_has_just_been_waited_for_goes_nowhere() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    children = object.__new__(supervise._Children)
    children._own, children._ended = ended.pid, {}  # before the end is noted
    children.signal(signal.SIGTERM)


def test_an_end_may_be_noted_while_another_one_is() -> None:
    class Interrupted(int):
        def __eq__(self, other: object) -> bool:
            if signals:
                children._note(signals.pop())  # a signal handler comes within any line
            return False

        __hash__ = int.__hash__

    signals = [{2: 256}]
    children = object.__new__(supervise._Children)
    children._own, children._ended = 2, {}
    children._note({Interrupted(1): 0})
    assert children._ended == {2: 256}
