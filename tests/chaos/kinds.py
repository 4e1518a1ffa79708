"""The kinds of fault. Each strikes a busy installation and returns after how many seconds work went on, or None.

A new durable record shows that work goes on:

- after a worker was struck: a record of a child that it held, by a later owner;
- after a scheduler was struck: a decision of another one, about a task or about each schedule that it decided for;
- after a broker was struck: any record, once the broker answers again.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from streamsched.log.topics import Topics
from tests.chaos.ends import stays_open
from tests.chaos.node import Node
from tests.chaos.schedules import TWO_MINUTES, kill_schedulers
from tests.chaos.site import SPARE, Setting, Site, Stuck
from tests.chaos.surroundings import HOUR, Clock, SmallDisk
from tests.chaos.watch import DECISIONS, ChildKey
from tools.broker import Broker

Strike = Callable[[Site], float | None]
AFTER_TAKEOVER: Final = 2.0
"""Seconds that a frozen node stays frozen after others have taken over."""
DISK: Final = 8 * 1024 * 1024
TOLERATED_S: Final = 20
"""By how much a scheduler's clock is wrong in rounds in which it goes on deciding: a minute is allowed."""
BROKER_AWAY_S: Final = 13.0
"""How long a broker is away: longer than a transaction may take, and than a session."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault, and what it needs: ``cluster``, several brokers; ``disks``, small disks.

    ``prepare`` starts nodes of its own, before the ordinary ones are started.
    """

    name: str
    strike: Strike
    prepare: Callable[[Site], None] = lambda _: None
    setting: Setting = field(default_factory=Setting)
    cluster: bool = False
    disks: bool = False


# --- workers --------------------------------------------------------------------------------------------------------


def kill_worker(*, whole: bool) -> Strike:
    """Kill a worker's node, or all of its processes at once."""

    def strike(site: Site) -> float:
        victim, held = _worker(site)
        site.killed.add(victim.name)
        begun = time.monotonic()
        victim.strike(signal.SIGKILL, whole=whole)
        return _taken_over(site, begun, held)

    return strike


def in_transactions(site: Site) -> None:
    """Start a worker that can be held in a transaction."""
    path = [str(Path(__file__).parent / "hold"), *filter(None, [os.environ.get("PYTHONPATH")])]
    site.start_worker(env={"PYTHONPATH": os.pathsep.join(path), "CHAOS_HOLD": str(_hold(site))})


def kill_worker_in_transaction(site: Site) -> float:
    """Kill all of a worker while a transaction of its own is open: its records are written, and their end is not."""
    victim = site.workers()[0]
    site.killed.add(victim.name)
    _hold(site).touch()
    site.until(_hold(site).with_suffix(".held").exists, f"{victim.name} is in a transaction")
    if not stays_open(site.broker.address, f"{site.prefix}."):
        raise Stuck(f"{victim.name} is held in a transaction, and none is open")
    held = site.watch.held(victim.name)
    site.notes |= {"victim": victim.name, "held": len(held)}
    begun = time.monotonic()
    victim.strike(signal.SIGKILL, whole=True)
    return _taken_over(site, begun, held)


def freeze_worker(*, whole: bool, to_the_end: bool = False) -> Strike:
    """Freeze a worker until others have taken over, or until all is done; then thaw the zombie."""

    def strike(site: Site) -> float:
        victim, held = _worker(site)
        begun = time.monotonic()
        victim.strike(signal.SIGSTOP, whole=whole)
        seconds = _taken_over(site, begun, held)
        if to_the_end:
            site.until(lambda: site.over, "the tasks end without the frozen worker")
        time.sleep(AFTER_TAKEOVER)
        victim.strike(signal.SIGCONT, whole=whole)
        return seconds

    return strike


def freeze_worker_for(seconds: float) -> Strike:
    """Freeze a worker for so long: whether or not it loses its partitions, its children go on."""

    def strike(site: Site) -> float:
        victim, held = _worker(site)
        victim.strike(signal.SIGSTOP, whole=True)
        time.sleep(seconds)
        victim.strike(signal.SIGCONT, whole=True)
        return _go_on(site, time.monotonic(), held)

    return strike


def drain_worker(signals: int) -> Strike:
    """Tell a worker to stop, once or twice."""

    def strike(site: Site) -> float:
        victim, held = _worker(site)
        begun = time.monotonic()
        for _ in range(signals):
            victim.tell_to_stop()
            time.sleep(0.05)
        return _taken_over(site, begun, held)

    return strike


def kill_executor(site: Site) -> float:
    """Kill an executor in which a child runs."""
    victim, held = _worker(site)
    folder = site.nodes.folder / "notes"
    noted = [process for process in victim.executors() if list(folder.glob(f"*/{process.pid}.txt"))]
    site.executors_killed += 1
    begun = time.monotonic()
    site.random.choice(noted).kill()
    return _go_on(site, begun, held)


# --- schedulers -----------------------------------------------------------------------------------------------------


def kill_scheduler(*, whole: bool) -> Strike:
    """Kill a scheduler's node, or all of its processes."""

    def strike(site: Site) -> float:
        victim, task_id = site.decider()
        site.killed.add(victim.name)
        begun = time.monotonic()
        victim.strike(signal.SIGKILL, whole=whole)
        return _decided(site, begun, task_id, victim)

    return strike


def freeze_scheduler(site: Site) -> float:
    """Freeze a scheduler until another has taken over; then thaw the zombie."""
    victim, task_id = site.decider()
    begun = time.monotonic()
    victim.strike(signal.SIGSTOP, whole=True)
    seconds = _decided(site, begun, task_id, victim)
    time.sleep(AFTER_TAKEOVER)
    victim.strike(signal.SIGCONT, whole=True)
    return seconds


def stop_scheduler(site: Site) -> float:
    """Tell a scheduler to stop."""
    victim, task_id = site.decider()
    begun = time.monotonic()
    victim.tell_to_stop()
    return _decided(site, begun, task_id, victim)


# --- the broker -----------------------------------------------------------------------------------------------------


def kill_broker(site: Site) -> float:
    """Kill the broker and start it at once."""
    site.lone.kill()
    site.lone.start()
    return _anything(site)


def stop_broker(site: Site) -> float:
    """Shut the broker down in order, for longer than a transaction may take."""
    site.lone.stop()
    time.sleep(BROKER_AWAY_S)
    site.lone.start()
    return _anything(site)


def freeze_broker_for(seconds: float) -> Strike:
    """Freeze the broker: connections stay open and nothing is answered."""

    def strike(site: Site) -> float:
        site.lone.pause()
        time.sleep(seconds)
        site.lone.resume()
        return _anything(site)

    return strike


def kill_leader(choose: Callable[[Site], Broker]) -> Strike:
    """Kill one of several brokers, and start it again once work goes on without it."""

    def strike(site: Site) -> float:
        victim = choose(site)
        victim.kill()
        seconds = _anything(site)
        victim.start()
        return seconds

    return strike


def _journal_leader(site: Site) -> Broker:
    task_id = site.random.choice([job.task_id for job in site.workload.jobs])
    home = Topics(site.prefix).journal_of(task_id)
    return site.cluster.leader(home.topic, home.partition)


def _worker_coordinator(site: Site) -> Broker:
    return site.cluster.group_coordinator(Topics(site.prefix).worker_group)


# --- nodes that come and go, clocks, disks --------------------------------------------------------------------------


def come_and_go(site: Site) -> None:
    """Start and stop workers and schedulers while their groups still rebalance."""
    for _ in range(2):
        added = [site.start_worker(), site.start_scheduler()]
        time.sleep(site.random.random())
        site.busiest().tell_to_stop()
        time.sleep(site.random.random())
        site.decider()[0].tell_to_stop()
        site.await_ready(added)


def clocks_apart(site: Site) -> None:
    """Start workers whose clocks are hours apart, and schedulers whose clocks differ as much as is tolerated."""
    for number, wrong_by in enumerate((TOLERATED_S, -TOLERATED_S)):
        site.start_scheduler(env=_clock(site, f"scheduler-{number}", wrong_by).env)
    for number, wrong_by in enumerate((2 * HOUR, -2 * HOUR, 0)):
        site.start_worker(env=_clock(site, f"worker-{number}", wrong_by).env)


def clocks_jump(site: Site) -> float:
    """Set the clocks of a worker and a scheduler a day forward and a day back; then set the scheduler's right."""
    victim, held = _worker(site)
    decider, _ = site.decider()
    days = site.random.sample((24 * HOUR, -24 * HOUR), 2)
    for node, wrong_by in zip((victim, decider), days, strict=True):
        _clock(site, node.name, wrong_by)
    site.until(lambda: "nothing is decided" in site.nodes.said(), "the scheduler notices its clock")
    _clock(site, decider.name, 0)
    begun = time.monotonic()
    seconds = _go_on(site, begun, held)
    _check_clocks(site)
    return seconds


def kill_among_wrong_clocks(site: Site) -> float | None:
    """Kill a worker whose clock is hours apart from its successors'."""
    seconds = kill_worker(whole=True)(site)
    _check_clocks(site)
    return seconds


def _clock(site: Site, name: str, wrong_by: float) -> Clock:
    return Clock(site.nodes.folder / f"{name}.clock", wrong_by)


def _check_clocks(site: Site) -> None:
    """Check that nodes noticed their wrong clocks, and that the times of all events are right nevertheless."""
    assert any("the clock of this machine is" in said for said in site.nodes.said_by_each()), "none said so"
    now = time.time() * 1000
    wrong = max(abs(now - seen.event.at) for seen in site.watch.seen) // 1000
    site.notes["times wrong by seconds at most"] = int(wrong)
    assert wrong < HOUR, f"an event bears a time that is {wrong} s off"


def on_small_disks(site: Site) -> None:
    """Start a scheduler and a worker, each with its data and its log file on a small disk of its own."""
    for number, start in enumerate((site.start_scheduler, site.start_worker)):
        disk = SmallDisk(site.nodes.folder / f"disk-{number}", DISK)
        site.cleanup.callback(disk.unmount)
        node = start(env={"STREAMSCHED_DATA_DIR": str(disk.folder / "data")}, log=disk.folder / "node.log")
        site.cleanup.callback(shutil.copy, disk.folder / "node.log", site.nodes.folder / f"{node.name}.log")
        site.disks.append(disk)


def fill_disks(site: Site) -> float:
    """Fill these disks: the scheduler can no longer write its view."""
    for disk in site.disks:
        disk.fill()
    return _anything(site)


# --- whether work goes on -------------------------------------------------------------------------------------------


def _hold(site: Site) -> Path:
    """Return the file that holds a worker in its next transaction while it is there."""
    return site.nodes.folder / "hold"


def _worker(site: Site) -> tuple[Node, dict[ChildKey, int]]:
    victim = site.busiest()
    held = site.watch.held(victim.name)
    site.notes |= {"victim": victim.name, "held": len(held)}
    return victim, held


def _taken_over(site: Site, since: float, held: Mapping[ChildKey, int]) -> float:
    """Wait for a record of one of these children by a later owner."""

    def later(event: Any) -> bool:
        child = (getattr(event, "task_id", ""), getattr(event, "child", -1))
        return child in held and getattr(event, "token", 0) > held[child]

    return site.recovered(since, later, "another worker has gone on with the victim's children")


def _go_on(site: Site, since: float, held: Mapping[ChildKey, int]) -> float:
    """Wait for a record of one of these children, by whatever owner."""

    def word(event: Any) -> bool:
        return (getattr(event, "task_id", ""), getattr(event, "child", -1)) in held and hasattr(event, "token")

    return site.recovered(since, word, "the children go on")


def _decided(site: Site, since: float, task_id: str, victim: Node) -> float:
    """Wait for a decision about this task by another scheduler."""
    site.notes |= {"victim": victim.name, "task": task_id}

    def decision(event: Any) -> bool:
        return isinstance(event, DECISIONS) and event.task_id == task_id and event.by != victim.name

    return site.recovered(since, decision, "another scheduler decides")


def _anything(site: Site) -> float:
    """Wait for a record that was made after now."""
    since, now = time.monotonic(), time.time() * 1000
    return site.recovered(since, lambda event: event.at >= now, "work goes on")


ROOMY: Final = Setting(SPARE)
"""Workers have free slots, so that it is seen how soon others continue what a struck one ran."""

KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("worker-node-killed", kill_worker(whole=False), setting=ROOMY),
        Kind("worker-killed", kill_worker(whole=True), setting=ROOMY),
        Kind("worker-killed-in-transaction", kill_worker_in_transaction, prepare=in_transactions, setting=ROOMY),
        Kind("worker-frozen", freeze_worker(whole=True), setting=ROOMY),
        Kind("worker-node-frozen", freeze_worker(whole=False), setting=ROOMY),
        Kind("worker-thawed-after-the-end", freeze_worker(whole=True, to_the_end=True), setting=ROOMY),
        Kind("worker-frozen-1s", freeze_worker_for(1), setting=ROOMY),
        Kind("worker-frozen-3s", freeze_worker_for(3), setting=ROOMY),
        Kind("worker-drained", drain_worker(1), setting=ROOMY),
        Kind("worker-drained-twice", drain_worker(2)),
        Kind("executor-killed", kill_executor),
        Kind("scheduler-node-killed", kill_scheduler(whole=False)),
        Kind("scheduler-killed", kill_scheduler(whole=True)),
        Kind("scheduler-frozen", freeze_scheduler),
        Kind("scheduler-stopped", stop_scheduler),
        Kind("schedule-schedulers-killed", kill_schedulers(TWO_MINUTES)),
        Kind("broker-killed", kill_broker),
        Kind("broker-stopped-13s", stop_broker),
        Kind("broker-frozen-13s", freeze_broker_for(BROKER_AWAY_S)),
        Kind("broker-frozen-3s", freeze_broker_for(3)),
        Kind("leader-killed", kill_leader(_journal_leader), cluster=True),
        Kind("coordinator-killed", kill_leader(_worker_coordinator), cluster=True),
        Kind("nodes-come-and-go", come_and_go),
        Kind("clocks-apart-worker-killed", kill_among_wrong_clocks, prepare=clocks_apart, setting=ROOMY),
        Kind("clocks-jump", clocks_jump, prepare=clocks_apart),
        Kind("disks-full", fill_disks, prepare=on_small_disks, disks=True),
    )
}
