"""``list``: filters, pages and labels, on an installation whose log is in a folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from streamsched.client import Client
from streamsched.commands.request import make_request, want
from streamsched.domain import events as e
from streamsched.domain.errors import InputError
from streamsched.domain.labels import LABELS_LIMIT, VALUE_LIMIT, check_labels
from streamsched.domain.refusal import TemplateError
from streamsched.domain.template import Template
from streamsched.installation.settings import load_settings
from streamsched.queries.listing import Filter, page_of
from streamsched.queries.status import status_of
from streamsched.testing.site import MemoryClient
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.clients import Disk, Site
from tests.support.journals import request, template
from tests.support.mini_cluster import TEMPLATE, MiniCluster

CODEC = MiniCluster().codec


def asked(number: int, **fields: Any) -> e.TaskRequested:
    made = replace(template(), labels={"team": "data"} if number % 2 else {})
    told = request(made, f"t-{number:02}", number)
    changed = {name: getattr(told, name) for name in e.TaskRequested.__struct_fields__}
    return e.TaskRequested(**{**changed, "at": 1_000 + number // 2, **fields})


@pytest.fixture
def view() -> View:
    made = View(MemoryStore(), CODEC)
    for number in range(10):
        made.apply(asked(number, labels=(e.Label("zone", str(number % 3)),), level=4), 0)
    made.apply(e.TaskRefused(bytes(16), 2_000, "s", "t-00", asked(0).event_id, "no", 0), 0)
    made.apply(e.TaskPlanned(bytes(16), 2_000, "s", "t-01", 0, 2, "{}", "", 0), 0)
    return made


def ids(view: View, **wanted: Any) -> list[str]:
    return [status.task_id for status in page_of(view, Filter(**wanted), status_of).items]


def test_the_newest_come_first_and_of_one_moment_by_their_ids(view: View) -> None:
    assert ids(view) == [f"t-{number:02}" for number in range(9, -1, -1)]


def test_each_filter_alone_and_together(view: View) -> None:
    assert ids(view, state="refused") == ["t-00"]
    assert ids(view, state="running") == ["t-01"]
    assert ids(view, template="other") == []
    assert len(ids(view, template="made-up")) == 10
    assert ids(view, since=1_004) == ["t-09", "t-08"]
    assert ids(view, labels={"team": "data"}) == ["t-09", "t-07", "t-05", "t-03", "t-01"]
    assert ids(view, labels={"team": "data", "zone": "0"}) == ["t-09", "t-03"]
    assert ids(view, labels={"team": "data", "zone": "0"}, since=1_002) == ["t-09"]
    assert ids(view, labels={"team": "dat"}) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 10])
def test_pages_together_are_the_whole_whatever_comes_between(view: View, limit: int) -> None:
    seen, after, pages = [], None, 0
    while pages == 0 or after is not None:
        page = page_of(view, Filter(limit=limit, after=after), status_of)
        assert len(page.items) <= limit
        seen += [status.task_id for status in page.items]
        after, pages = page.next, pages + 1
        view.apply(asked(10 + pages, at=9_000 + pages), 0)  # newer than all that was seen
    assert seen == [f"t-{number:02}" for number in range(9, -1, -1)]
    assert pages == -(-10 // limit)


class CountingStore(MemoryStore):
    """Notes the keys of what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        self.read.append(key)
        return super().get(key)

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        self.read.append(prefix)
        return super().scan(prefix, start)


def end(view: View, number: int, *, reduce: bool = False) -> None:
    """Fold what ends a task of one work child."""
    who = bytes(16), 2_000, "s", f"t-{number:02}"
    view.apply(asked(number), 0)
    view.apply(e.TaskPlanned(*who, 0, 1, "{}", "", 0, int(reduce)), 0)
    for child in range(1 + reduce):
        view.apply(e.ChildrenDispatched(*who, (e.Release(child, child, 1, 0),), 0), 0)
        view.apply(e.ChildCompleted(*who, child, 1, 1, 1, 900, 0, None), 0)
    view.apply(e.TaskSucceeded(*who, 0, "", 0), 0)


def test_a_list_reads_as_little_as_it_must() -> None:
    store = CountingStore()
    view = View(store, CODEC)
    view.apply(asked(0), 0)
    end(view, 1)
    end(view, 2, reduce=True)
    view.flush()

    store.read.clear()
    assert ids(view, state="requested") == ["t-00"]
    assert store.read == []  # active tasks are in memory

    page = page_of(view, Filter(), status_of)
    assert [(status.children.succeeded, status.reduce) for status in page.items] == [
        (1, "succeeded"), (1, UNSET), (0, UNSET),
    ]  # fmt: skip
    headers = [key for key in store.read if key.startswith(b"tt-")]
    assert headers == [b"tt-01\0", b"tt-02\0", b"tt-02\0"]  # the second time for the state of its reduce
    assert [key for key in store.read if key.startswith(b"c")] == [b"ct-02\0"]


def test_a_page_that_ends_with_the_last_task_has_no_next(view: View) -> None:
    assert page_of(view, Filter(limit=10), status_of).next is None
    assert page_of(view, Filter(limit=9), status_of).next is not None


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"state": "asleep"}, "unknown state 'asleep'"),
        ({"limit": 0}, "a page of 0 tasks"),
        ({"limit": 10**9}, "a page of 1000000000 tasks"),
        ({"after": "x"}, "'x' is not the next of a page"),
        ({"after": "12/"}, "'12/' is not the next"),
        ({"after": "9" * 40 + "/t"}, "is not the next"),
    ],
)
def test_filters_that_can_be_none_are_refused(wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Filter(**wanted)


LONG = {f"n{number}": "v" for number in range(LABELS_LIMIT + 1)}


@pytest.mark.parametrize(
    "labels",
    [
        [], "team", LONG, {"": "a"}, {"-a": "b"}, {"a b": "c"}, {"x" * 64: "a"}, {"a": ""}, {"a": 1}, {"a": None},
        {"a": "x" * (VALUE_LIMIT + 1)}, {"a": "\x1b[31m"}, {"a": "\ud800"}, {1: "a"},
    ],
)  # fmt: skip
def test_labels_that_no_task_may_have(labels: Any) -> None:
    with pytest.raises(TemplateError) as caught:
        check_labels(labels)
    assert caught.value.path[0] == "labels"
    with pytest.raises(TemplateError):
        Template(name="n", split=TEMPLATE.split, child=TEMPLATE.child, labels=labels or {"": ""})


def test_labels_of_template_and_request_are_joined_and_bounded_together() -> None:
    made = replace(TEMPLATE, labels={"team": "data", "zone": "a"})
    mini = MiniCluster()
    wanted = want(made, {}, labels={"zone": "b", "by": "me"})
    told = make_request(mini.me, wanted, "test")
    assert (told.level, told.labels) == (4, (e.Label("by", "me"), e.Label("zone", "b")))
    made_view = View(MemoryStore(), CODEC)
    made_view.apply(told, 0)
    task = made_view.task(told.task_id)
    assert task is not None
    assert status_of(task).labels == {"team": "data", "zone": "b", "by": "me"}
    with pytest.raises(InputError, match="at most 32 labels, these are 34"):
        want(made, {}, labels={f"n{number}": "v" for number in range(LABELS_LIMIT)})
    with pytest.raises(InputError, match="'a b' is not a name of a label"):
        want(TEMPLATE, {}, labels={"a b": "c"})


def test_a_request_without_labels_is_written_as_before() -> None:
    mini = MiniCluster()
    plain = make_request(mini.me, want(TEMPLATE, {}, task_id="t"), "test")
    labelled = make_request(mini.me, want(TEMPLATE, {}, task_id="t", labels={"a": "b"}), "test")
    assert plain.labels == ()
    assert mini.codec.encode(plain)[2:10] != mini.codec.encode(labelled)[2:10]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Client(settings=load_settings(data_dir=tmp_path / "data")) as made:
        yield made


def test_a_client_lists_what_it_has_submitted(client: Client) -> None:
    for number in range(3):
        client.submit(TEMPLATE, task_id=f"t-{number}", priority=number, labels={"odd": str(number % 2)})
    page = client.list(labels={"odd": "0"}, limit=1)
    assert [status.task_id for status in page.items] == ["t-2"]
    assert page.items[0].priority == 2
    rest = client.list(labels={"odd": "0"}, limit=1, after=page.next)
    assert ([status.task_id for status in rest.items], rest.next) == (["t-0"], None)
    assert client.list(state="succeeded").items == ()
    assert set(page.document()) == {"items", "next"}


def test_all_active_tasks_are_worked_out_once_an_interval_whatever_happens_meanwhile() -> None:
    mini = MiniCluster()
    names = map(str, itertools.count())

    def pause(_: float) -> None:
        mini.clock.advance(0.25)
        mini.submit(next(names))

    site = Site(mini.cluster.connect(), mini.topics, CODEC, mini.me, Disk(), pause)
    rounds = MemoryClient(site).follow_active(1.0)
    assert [len(next(rounds)) for _ in range(3)] == [0, 4, 8]
