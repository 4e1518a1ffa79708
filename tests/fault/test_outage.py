"""An outage of the broker or of the network that is shorter than two minutes costs waiting: nothing starts again."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from streamsched.domain import events as e
from tests.fault.test_eviction import kill_tree
from tests.support import brokers
from tests.support.nodes import until
from tests.support.site import Site
from tools.broker import Broker, Seat, free_port

pytestmark = pytest.mark.kafka
CHILDREN = 8
WORKER = ("worker", "--slots", str(CHILDREN), "--allow", "tests.support.handlers", "--checkpoint-interval", "0.1")
EVICTED_WITHIN_S = 30.0
"""The bound of a test on a busy machine; what it took is printed."""


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Start a stock broker that tests freeze and stop; each leaves it running."""
    own = brokers.start(tmp_path_factory.mktemp("fragile"), stock_timeouts=True)
    yield own
    own.stop()


@pytest.fixture
def outage(fragile: Broker, tmp_path: Path) -> Iterator[Site]:
    opened = Site(tmp_path, fragile.address)
    yield opened
    opened.end()


@contextmanager
def frozen(broker: Broker) -> Iterator[None]:
    broker.pause()
    try:
        yield
    finally:
        broker.resume()


@contextmanager
def stopped(broker: Broker) -> Iterator[None]:
    broker.stop()
    try:
        yield
    finally:
        broker.start()


def begun(site: Site) -> dict[int, int]:
    """Count how often each child began, by the handlers' own notes."""
    return {int(path.name[6:]): len(path.read_text().splitlines()) for path in site.notes.glob("begun-*")}


def all_run(site: Site) -> None:
    """Start the task, and wait until all of its children run."""
    until(lambda: len(begun(site)) == CHILDREN, 90, site.nodes.said)
    site.until_noted(2 * CHILDREN)


def nothing_began_again(site: Site) -> None:
    """Finish, and find each child begun once and dispatched once."""
    site.finish()
    assert begun(site) == dict.fromkeys(range(CHILDREN), 1), site.nodes.said()
    completed = [event for event in site.journal() if isinstance(event, e.ChildCompleted)]
    assert [event.ordinal for event in completed] == [1] * CHILDREN
    assert len({event.token for event in completed}) == 1
    assert site.evicted() == [], site.nodes.said()


def live_through(site: Site, broken: Callable[[], object], seconds: float, *protocol: str) -> None:
    """Have children run for longer than an outage lasts."""
    site.start("scheduler", *protocol, name="s1")
    site.start(*WORKER, *protocol, name="w1")
    site.submit(CHILDREN, steps=round(10 * (seconds + 8)), handler="counted")
    all_run(site)
    watching = site.nodes.start("watch", "job")
    until(lambda: "running:" in site.nodes.said_by(watching), 60, site.nodes.said)  # it has found the broker
    before = site.noted()
    with broken():  # type: ignore[attr-defined]
        time.sleep(seconds)
        assert site.noted() > before + CHILDREN * seconds, "the children stood still as well"
    nothing_began_again(site)
    assert watching.wait(60) == 0, site.nodes.said_by(watching)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("protocol", "seconds"),
    [
        ("classic", 13.0),
        pytest.param("consumer", 13.0, marks=pytest.mark.long),
        pytest.param("classic", 25.0, marks=pytest.mark.long),
        pytest.param("consumer", 25.0, marks=pytest.mark.long),
    ],
)
def test_a_frozen_broker(outage: Site, fragile: Broker, protocol: str, seconds: float) -> None:
    live_through(outage, lambda: frozen(fragile), seconds, *group(outage, protocol))


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_broker_frozen_for_a_minute_and_a_half(outage: Site, fragile: Broker) -> None:
    live_through(outage, lambda: frozen(fragile), 90.0)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_broker_that_is_away_for_a_minute(outage: Site, fragile: Broker, protocol: str) -> None:
    live_through(outage, lambda: stopped(fragile), 60.0, *group(outage, protocol))


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_nobody_is_evicted_after_it(outage: Site, fragile: Broker, protocol: str) -> None:
    """Nodes find back one after the other, and each scheduler judges."""
    options = group(outage, protocol)
    for name in ("s1", "s2", "s3"):
        outage.start("scheduler", *options, name=name)
    for name in ("w1", "w2", "w3"):
        outage.start(*WORKER, *options, name=name)
    outage.submit(2 * CHILDREN, steps=350, handler="counted")
    until(lambda: len(begun(outage)) == 2 * CHILDREN, 90, outage.nodes.said)
    time.sleep(5.0)  # the group has shared its partitions out
    before = begun(outage)
    with frozen(fragile):
        time.sleep(22.0)
    outage.finish()
    assert outage.evicted() == []
    assert begun(outage) == before


def group(site: Site, protocol: str) -> tuple[str, str]:
    """Write a file of settings with this group protocol."""
    config = site.folder / "settings.toml"
    config.write_text(f'[kafka]\n"group.protocol" = "{protocol}"\n')
    return "--config", str(config)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [25.0, 60.0])
def test_a_worker_that_is_killed_meanwhile_is_evicted_after_it(outage: Site, fragile: Broker, seconds: float) -> None:
    outage.start("scheduler", name="s1")
    doomed = outage.start(*WORKER, name="w1")
    outage.submit(CHILDREN, steps=round(10 * (seconds + 8)), handler="counted")
    all_run(outage)
    outage.start(*WORKER, name="w2")
    time.sleep(3.0)  # some partitions move
    with frozen(fragile):
        time.sleep(seconds / 2)
        kill_tree(doomed)
        time.sleep(seconds / 2)
    thawed = time.monotonic()
    until(lambda: outage.evicted() == ["worker w1"], EVICTED_WITHIN_S, outage.nodes.said)
    print(f"evicted {time.monotonic() - thawed:.1f} s after the outage")  # noqa: T201  # what was measured
    outage.finish()
    assert outage.evicted() == ["worker w1"]


class Link:
    """A network that can be cut: what it carries to the broker stands still, and nothing is refused or closed."""

    def __init__(self, address: str, port: int) -> None:
        host, _, number = address.rpartition(":")
        self._target = (host, int(number))
        self._open = threading.Event()
        self._open.set()
        self._over = False
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def cut(self) -> Iterator[None]:
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def close(self) -> None:
        self._over = True
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._over:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        self._open.wait()
        with suppress(OSError), near, socket.create_connection(self._target) as far:
            while not self._over:
                readable, _, _ = select.select([near, far], [], [], 0.5)
                self._open.wait()
                for one in readable:
                    data = one.recv(1 << 16)
                    if not data:
                        return
                    (far if one is near else near).sendall(data)


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seconds", [25.0, 90.0])
def test_a_network_that_is_cut(tmp_path: Path, seconds: float) -> None:
    """The broker lives on, and hears nobody meanwhile."""
    port, own, inner, controller = (free_port() for _ in range(4))
    seat = Seat(1, {1: controller})
    listeners = {  # the broker's word to itself does not take the link
        "listeners": f"PLAINTEXT://127.0.0.1:{own},INNER://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},INNER://127.0.0.1:{inner}",
        "inter.broker.listener.name": "INNER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INNER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }
    broker = Broker(tmp_path / "broker", port=own, seat=seat, stock_timeouts=True, settings=listeners)
    with broker:
        link = Link(broker.address, port)
        site = Site(tmp_path, f"127.0.0.1:{port}")
        try:
            live_through(site, link.cut, seconds)
        finally:
            site.end()
            link.close()
