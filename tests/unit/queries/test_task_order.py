"""Pages that are read in the order of requests are those of the listing, whatever the filter."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from streamsched.domain import events as e
from streamsched.log.codec import Codec
from streamsched.queries import task_order
from streamsched.queries.listing import Filter, page_of
from streamsched.queries.status import TaskStatus, status_of
from streamsched.queries.task_order import TaskOrder
from streamsched.view.store import MemoryStore
from streamsched.view.view import View
from tests.support.journals import request, template


def requested(number: int, at: int) -> e.TaskRequested:
    made = request(template(), f"task-{number}", number)
    return e.TaskRequested(
        **{name: getattr(made, name) for name in made.__struct_fields__} | {"at": at, "template_name": f"t{number % 2}"}
    )


def put(view: View, event: Any, order: TaskOrder | None = None) -> None:
    view.apply(event, 0)
    view.moved(0, view.positions.get(0, 0) + 1)
    if order is not None:
        order.take(event)


@pytest.mark.parametrize("known", [0, 3, 8])
def test_the_pages_are_those_of_the_listing(known: int, monkeypatch: pytest.MonkeyPatch) -> None:
    view = View(MemoryStore(), Codec())
    requests = [requested(number, 5_000 - 100 * (number % 3)) for number in range(8)]
    for event in requests[:known]:
        put(view, event)
    view.flush()
    order = TaskOrder(view)
    for event in requests[known:]:
        put(view, event, order)
    put(view, requested(1, 9_000), order)  # the same id again is the same task
    put(view, e.TaskCancelRequested(b"c", 6_000, "me", "task-2", 0, "", False), order)
    monkeypatch.setattr(task_order, "LOOKED_AT", 2)
    for state, name, since, limit in product((None, "requested", "cancelling"), (None, "t0"), (None, 4_900), (1, 3)):
        wanted = Filter(state=state, template=name, since=since)
        found: list[TaskStatus] = []
        after: str | None = None
        for _ in range(20):
            page = order.page(Filter(state=state, template=name, since=since, limit=limit, after=after), status_of)
            assert len(page.items) <= limit
            found += page.items
            after = page.next
            if after is None:
                break
        assert after is None
        assert found == list(page_of(view, wanted, status_of).items)
