"""The kinds of fault. Each strikes a busy installation and returns the seconds until work went on, where that is meant.

Work goes on when a new durable record shows it: of a child that the struck worker held, by a later owner; of a task
that the struck scheduler decided for, by another one; of each schedule, by another one; any record at all, made after a
struck broker answers again.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from streamsched.log.topics import Topics
from tests.chaos.node import Node
from tests.chaos.schedules import TWO_MINUTES, kill_schedulers
from tests.chaos.site import SPARE, Setting, Site, Stuck
from tests.chaos.surroundings import HOUR, Clock, SmallDisk
from tests.chaos.watch import DECISIONS, ChildKey
from tools.broker import Broker

Strike = Callable[[Site], float | None]
AFTER_TAKEOVER: Final = 2.0
"""Seconds that a frozen node stays frozen after others have taken over."""
FREEZES: Final = 40
"""How often a worker is frozen, too shortly to be missed, until it is in a transaction."""
DISK: Final = 8 * 1024 * 1024
BORNE: Final = 20
"""Seconds by which a scheduler's clock may be wrong, and less than the minute that two may differ."""
BROKER_AWAY: Final = 13.0
"""Seconds without a broker: longer than a transaction may take, and than a session."""


@dataclass(frozen=True)
class Kind:
    """A kind of fault. ``prepare`` starts those nodes that have to be special before all others.

    ``cluster``: it needs several brokers. ``disks``: it needs small disks.
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


def kill_worker_in_transaction(site: Site) -> float:
    """Kill all of a worker while a transaction of its own is open: it is frozen, and let go again, until one is."""
    victim, _ = _worker(site, site.workload.hot.task_id)
    site.killed.add(victim.name)
    for freeze in range(FREEZES):
        site.notes["frozen before"] = freeze
        victim.strike(signal.SIGSTOP, whole=True)
        held = site.watch.held(victim.name)
        if _left_open(site):
            begun = time.monotonic()
            victim.strike(signal.SIGKILL, whole=True)
            return _taken_over(site, begun, held)
        victim.strike(signal.SIGCONT, whole=True)
        time.sleep(0.1 + 0.1 * site.random.random())
    raise Stuck(f"{victim.name} was frozen {FREEZES} times, and never in a transaction")


def freeze_worker(*, whole: bool, to_the_end: bool = False) -> Strike:
    """Freeze a worker until others took over, or until all is done, and thaw the zombie."""

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
    """Freeze a worker for a moment: whether it loses its partitions or not, its children go on."""

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
    """Kill a process in which a child runs."""
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
    """Freeze a scheduler until another took over, and thaw the zombie."""
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
    """Stop the broker in order, for longer than a transaction may take."""
    site.lone.stop()
    time.sleep(BROKER_AWAY)
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
    """Kill one of several brokers; it comes back when work goes on without it."""

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
    """Add and stop workers and schedulers while the group is still about the ones before."""
    for _ in range(2):
        added = [site.start_worker(), site.start_scheduler()]
        time.sleep(site.random.random())
        site.busiest().tell_to_stop()
        time.sleep(site.random.random())
        site.decider()[0].tell_to_stop()
        site.await_ready(added)


def clocks_apart(site: Site) -> None:
    """Start workers whose clocks are hours apart, and schedulers that are as far apart as is borne."""
    for number, wrong_by in enumerate((BORNE, -BORNE)):
        site.start_scheduler(env=_clock(site, f"scheduler-{number}", wrong_by).env)
    for number, wrong_by in enumerate((2 * HOUR, -2 * HOUR, 0)):
        site.start_worker(env=_clock(site, f"worker-{number}", wrong_by).env)


def clocks_jump(site: Site) -> float:
    """Turn the clocks of a worker and of a scheduler by a day, one on and one back, and set the latter right again."""
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
    """Kill a worker whose clock, and its successors' clocks, are hours apart."""
    seconds = kill_worker(whole=True)(site)
    _check_clocks(site)
    return seconds


def _clock(site: Site, name: str, wrong_by: float) -> Clock:
    return Clock(site.nodes.folder / f"{name}.clock", wrong_by)


def _check_clocks(site: Site) -> None:
    """The clocks were wrong, as their nodes said, and yet no event bears a time that is."""
    assert any("the clock of this machine is" in said for said in site.nodes.said_by_each()), "none said so"
    now = time.time() * 1000
    wrong = max(abs(now - seen.event.at) for seen in site.watch.seen) // 1000
    site.notes["times wrong by seconds at most"] = int(wrong)
    assert wrong < HOUR, f"an event bears a time that is {wrong} s off"


def on_small_disks(site: Site) -> None:
    """Start a scheduler and a worker whose data and log are on a disk of their own each."""
    for number, start in enumerate((site.start_scheduler, site.start_worker)):
        disk = SmallDisk(site.nodes.folder / f"disk-{number}", DISK)
        site.cleanup.callback(disk.unmount)
        node = start(env={"STREAMSCHED_DATA_DIR": str(disk.folder / "data")}, log=disk.folder / "node.log")
        site.cleanup.callback(shutil.copy, disk.folder / "node.log", site.nodes.folder / f"{node.name}.log")
        site.disks.append(disk)


def fill_disks(site: Site) -> float:
    """Fill the disks of a scheduler, with its view, and of a worker."""
    for disk in site.disks:
        disk.fill()
    return _anything(site)


# --- what is asked --------------------------------------------------------------------------------------------------


def _worker(site: Site, task_id: str = "") -> tuple[Node, dict[ChildKey, int]]:
    victim = site.busiest(task_id)
    held = site.watch.held(victim.name)
    site.notes |= {"victim": victim.name, "held": len(held)}
    return victim, held


def _taken_over(site: Site, since: float, held: Mapping[ChildKey, int]) -> float:
    """Wait for a durable word on one of these children by a later owner."""

    def later(event: Any) -> bool:
        child = (getattr(event, "task_id", ""), getattr(event, "child", -1))
        return child in held and getattr(event, "token", 0) > held[child]

    return site.recovered(since, later, "another worker has gone on with the victim's children")


def _go_on(site: Site, since: float, held: Mapping[ChildKey, int]) -> float:
    """Wait for a durable word on one of these children by whomever."""

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


def _left_open(site: Site) -> bool:
    """Tell whether a transaction stays open: a partition whose stable end stands still below its end."""
    admin = AdminClient({"bootstrap.servers": site.broker.address, "log_level": 0})
    places = [
        TopicPartition(name, partition)
        for name, topic in admin.list_topics(timeout=10).topics.items()
        if name.startswith(f"{site.prefix}.")
        for partition in topic.partitions
    ]
    before = _ends(admin, places, IsolationLevel.READ_COMMITTED)
    time.sleep(0.2)  # a live worker commits several times meanwhile
    after = _ends(admin, places, IsolationLevel.READ_COMMITTED)
    ends = _ends(admin, places, IsolationLevel.READ_UNCOMMITTED)
    return any(before[place] == after[place] < ends[place] for place in places)


def _ends(admin: AdminClient, places: Sequence[TopicPartition], isolation: IsolationLevel) -> dict[TopicPartition, int]:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = admin.list_offsets(dict.fromkeys(places, latest), isolation_level=isolation)
    return {place: answer.result(10).offset for place, answer in asked.items()}


ROOMY: Final = Setting(SPARE)

KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("worker-node-killed", kill_worker(whole=False), setting=ROOMY),
        Kind("worker-killed", kill_worker(whole=True), setting=ROOMY),
        Kind("worker-killed-in-transaction", kill_worker_in_transaction, setting=ROOMY),
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
        Kind("broker-frozen-13s", freeze_broker_for(BROKER_AWAY)),
        Kind("broker-frozen-3s", freeze_broker_for(3)),
        Kind("leader-killed", kill_leader(_journal_leader), cluster=True),
        Kind("coordinator-killed", kill_leader(_worker_coordinator), cluster=True),
        Kind("nodes-come-and-go", come_and_go),
        Kind("clocks-apart-worker-killed", kill_among_wrong_clocks, prepare=clocks_apart, setting=ROOMY),
        Kind("clocks-jump", clocks_jump, prepare=clocks_apart),
        Kind("disks-full", fill_disks, prepare=on_small_disks, disks=True),
    )
}
