"""What a pool believes of an executor, which runs the code of users: they can write to its link and to its page.

A *fault* is what our own code never does. It ends that executor. The job that ran there pays with its attempt where it
was the only one that the executor held; else all of them come back, and the pool sends each alone for a while.
"""

from __future__ import annotations

import math
import time
from typing import Final

from streamsched.worker.cancelling import named
from streamsched.worker.jobs import REPORTS, JobReturned, News, Running, TopicAsked
from streamsched.worker.kill_reason import KillReason, death_ending
from streamsched.worker.page import CLOSING, IDLE, LANES, LEAVING, Current
from streamsched.worker.process import ExecutorProcess
from streamsched.worker.wire import Said

AHEAD_MS: Final = 60_000
"""How far ahead of this clock an ending may lie: the clock may have been set back since."""
QUIET_NS: Final = 30_000_000_000
"""How long an executor may hold jobs of which none runs."""
_MOST_AT_ONCE: Final = 1 << 24
"""Jobs that one executor can have ended between two looks."""

_MOST_ASKED: Final = 100
"""Topics that one executor may ask about before it hears of the first."""


def believe(executor: ExecutorProcess, news: list[Said]) -> list[News]:
    """Return the news of jobs that it holds, up to the first that cannot be true: that is its fault."""
    held = executor.held
    latest = time.time_ns() // 1_000_000 + AHEAD_MS
    believed: list[News] = []
    for item in news:
        key, ends = item.key, not isinstance(item, REPORTS)
        if key not in held:  # dropped, or told twice: sent just before a kill and still on the page
            if key not in executor.dropped and key != executor.last_ended:
                executor.fault = f"it reported a job that it does not hold, {key}"
                break
            if ends:
                executor.dropped.discard(key)
                executor.cancelled.pop(key, None)
            continue
        if fault := _fault_of(executor, item, latest):
            executor.fault = fault
            break
        if isinstance(item, TopicAsked):
            executor.asked.append(item.topic)
            continue
        believed.append(_ended(executor, item) if ends else item)
    return believed


def _fault_of(executor: ExecutorProcess, item: Said, latest: int) -> str:
    """Return why this cannot be true of a job that it holds; notes what has ended."""
    if isinstance(item, JobReturned):
        back = executor.asked_back or executor.page.state() in (CLOSING, LEAVING)
        return "" if back else "it returned a job that was not asked back"
    if item.key != next(iter(executor.held)) and not (executor.asked_back or executor.lanes > 1):
        return "it reported a job out of order"
    if isinstance(item, TopicAsked):
        return "it asks about topics without end" if len(executor.asked) >= _MOST_ASKED else ""
    if not isinstance(item, REPORTS):
        if item.finished_at > latest:
            return "it reported an ending in the future"
        executor.last_ended = item.key
    return ""


def _ended(executor: ExecutorProcess, item: News) -> News:
    del executor.held[item.key]
    if executor.stopping:
        executor.stopping.pop(item.key, None)
    executor.asked_back = executor.asked_back and bool(executor.held)
    return named(executor, item) if executor.cancelled else item


def running(executor: ExecutorProcess, now: int) -> list[Running]:
    """Return the jobs that run there, with their progress."""
    current = executor.look(now)
    if current is None:
        return []
    found = in_lanes(executor, now) if executor.has_lanes else [current]
    return [_running(each) for each in found if each.key in executor.held]


def _running(current: Current) -> Running:
    sound = math.isfinite(current.done) and math.isfinite(current.total)
    done, total = (current.done, current.total) if sound else (0.0, 0.0)
    return Running(key=current.key, started_at=current.started_at, done=done, total=total)


def measure(executor: ExecutorProcess) -> tuple[int, int]:
    """Return how many jobs it ended since the last call, and how long they ran, in nanoseconds."""
    count, busy = executor.page.finished()
    count_before, busy_before = executor.measured
    if not 0 <= count - count_before < _MOST_AT_ONCE or busy < busy_before:
        executor.fault = executor.fault or "its page has impossible counts"
        return 0, 0
    executor.measured = (count, busy)
    return count - count_before, busy - busy_before


def is_lost(executor: ExecutorProcess, current: Current | None, now: int, awake: int) -> bool:
    """Return whether to end it for a fault, such as holding jobs for long with none running.

    Silence counts from ``awake`` on.
    """
    owes = executor.held or executor.dropped
    if executor.ready and (state := executor.page.state()) < IDLE and state not in (LEAVING, LANES, CLOSING):
        executor.fault = executor.fault or "its page has an impossible state"
    elif not (executor.ready and owes) or (current is not None and current.key in executor.held):
        executor.quiet_since = 0
    elif not executor.quiet_since or awake > executor.quiet_since:
        executor.quiet_since = now
    elif now - executor.quiet_since > QUIET_NS:
        executor.fault = executor.fault or "it holds jobs and runs none of them"
    return bool(executor.fault)


def blame(executor: ExecutorProcess, now: int, *, careful: bool) -> News | None:
    """End the job that ran when this executor died; None where none did, or where it could be any of several.

    ``careful``: that happened a short while ago. If the only job of an executor dies again then, that job is to blame.
    """
    held, kill_reason, current = executor.held, executor.kill_reason, executor.look(now)
    ran = in_lanes(executor, now) if executor.has_lanes else [] if current is None else [current]
    ran = [each for each in ran if each.key in held]
    if not held:
        return None
    first, named = next(iter(held)), executor.page.state()
    alone = len(held) == 1 and named != executor.last_ended
    executor.fault = executor.fault or _fault_of_death(executor, first, named)
    pays = None
    if executor.fault:
        pays, kill_reason = (first if alone else None), KillReason(first, "protocol", executor.fault)
    elif ran:
        to_blame = [each.key for each in ran if kill_reason is None or kill_reason.key == each.key]
        pays = to_blame[0] if len(to_blame) == 1 else None  # else it began before the kill, or could be any
    elif alone and careful and kill_reason is None and executor.ready:
        pays = first
    if pays is None:
        return None
    started_at = ended_at = time.time_ns() // 1_000_000
    for current in ran:
        if current.key == pays:
            started_at = current.started_at
            ended_at = started_at + (now - current.started) // 1_000_000
    if kill_reason is None and executor.starved:
        kill_reason = KillReason(pays, "oom", executor.starved)
    del held[pays]
    return death_ending(kill_reason, pays, started_at, ended_at, executor.cause())


def in_lanes(executor: ExecutorProcess, now: int) -> list[Current]:
    """Return the async jobs that run there, or ran when it died."""
    return [each for each in executor.look_at_lanes(now) if each.key in executor.held] if executor.has_lanes else []


def _fault_of_death(executor: ExecutorProcess, first: int, named: int) -> str:
    if executor.lost_link:
        return "its end of it is closed"
    if executor.stood_still:
        return "it was stopped for long"
    if named in executor.held and named != first and not executor.asked_back:
        return "its page names a job that does not run"
    return ""
