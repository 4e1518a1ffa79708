"""The client for asyncio: the same methods, one thread, and awaits that may be cancelled at any moment."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import streamsched
from streamsched import AsyncClient, AsyncTask, Client, NoSuchTask, Task, TaskConflict
from streamsched.hosting.run import work_on
from streamsched.installation.settings import load_settings
from streamsched.queries.status import TaskStatus
from tests.support.cli import TEMPLATES

COUNT: dict[str, Any] = {
    "name": "count",
    "params": {"n": {"type": "integer", "default": 4}},
    "split": {"range": {"first": 1, "last": "${n}", "size": 1}},
    "child": {"handler": TEMPLATES["count"][0], "args": {"first": "${child.first}", "last": "${child.last}"}},
}
Body = Callable[[AsyncClient], Coroutine[Any, Any, None]]


@pytest.fixture
def on(tmp_path: Path) -> Callable[[Body], None]:
    """Run a coroutine function with a client of a fresh folder; no thread of it is left."""

    async def main(body: Body) -> None:
        async with AsyncClient(data_dir=tmp_path) as client:
            await body(client)

    def run(body: Body) -> None:
        before = threading.active_count()
        asyncio.run(main(body))
        for thread in threading.enumerate():
            if thread.name.startswith("streamsched-client"):
                thread.join(30)
        assert threading.active_count() <= before

    return run


def work(folder: Path, task_id: str, n: int = 4) -> None:
    work_on(streamsched.request(COUNT, {"n": n}, task_id=task_id), load_settings(data_dir=folder), slots=1)


def public(kind: type) -> dict[str, Any]:
    classes = reversed(kind.__mro__[:-1])
    return {name: value for each in classes for name, value in vars(each).items() if not name.startswith("_")}


def test_it_has_each_method_of_the_client_with_its_parameters() -> None:
    own, others = public(AsyncClient), public(Client)
    assert own.keys() - {"call", "each"} == others.keys()
    for name, method in others.items():
        if not isinstance(method, property):
            wanted = inspect.signature(method).parameters
            assert list(inspect.signature(own[name]).parameters) == list(wanted), name
    assert public(AsyncTask).keys() == public(Task).keys() - {"owning", "close"}


def test_it_submits_follows_and_reads(on: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(client: AsyncClient) -> None:
        assert client.embedded
        task = await client.submit(COUNT, {"n": 250}, task_id="a")
        assert (task.first, repr(task), (await task.status()).state) == (True, "AsyncTask('a')", "requested")
        await asyncio.to_thread(work, tmp_path, "a", 250)
        assert (await task.wait(60)).state == "succeeded"
        assert [status.done async for status in client.follow("a")] == [True]
        assert [child.result async for child in task.results()] == [{"count": 1}] * 250
        assert [child.child async for child in task.children("failed")] == []
        assert await task.failures() == await client.failures("a") == []
        with pytest.raises(streamsched.NoResult):
            await task.result()
        assert (await task.redrive(everything=True)).status.redrive == 1
        assert (await task.cancel()).redrive == 1
        assert [status.task_id for status in await client.tasks()] == ["a"]
        assert len([event async for event in client.history("a")]) > 250
        with pytest.raises(NoSuchTask):
            await client.status("b")
        with pytest.raises(NoSuchTask):
            [child async for child in client.children("b")]
        assert not (await (await client.task("a")).status()).done

    on(body)


def test_logs_are_followed_and_others_are_answered_meanwhile(on: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(client: AsyncClient) -> None:
        await client.submit(COUNT, task_id="a")

        async def followed(task_id: str) -> list[str]:
            return [line.text async for line in client.logs(task_id, follow=True)]

        following = asyncio.create_task(followed("a"))
        assert [line.text async for line in client.logs("a")] == []
        assert (await client.status("a")).state == "requested"
        await asyncio.to_thread(work, tmp_path, "a")
        assert sorted(await following) == ["1", "2", "3", "4"]
        await client.submit(COUNT, task_id="b")
        idle = asyncio.create_task(followed("b"))
        await client.status("b")
        idle.cancel()
        with pytest.raises(asyncio.CancelledError):
            await idle

    on(body)


def test_it_submits_many(on: Callable[[Body], None]) -> None:
    async def body(client: AsyncClient) -> None:
        wanted = [streamsched.request(COUNT, task_id=task_id) for task_id in (None, "a", "a")]
        assert [task.first for task in await client.submit_many(wanted)] == [True, True, False]
        with pytest.raises(TaskConflict):
            await client.submit(COUNT, {"n": 9}, task_id="a")
        async for active in client.follow_active():
            assert len(active) == 2
            break

    on(body)


def test_a_wait_that_is_over_says_what_the_task_is(on: Callable[[Body], None]) -> None:
    async def body(client: AsyncClient) -> None:
        task = await client.submit(COUNT, task_id="a")
        with pytest.raises(TimeoutError, match=r"task 'a' is requested after 0\.2 s"):
            await task.wait(0.2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task.wait(), 0.2)
        seen: list[str] = []

        async def follow() -> None:
            async for status in client.follow("a"):
                seen.append(status.state)  # noqa: PERF401 - what it saw until it was cancelled

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(follow(), 0.5)
        assert {*seen} == {"requested"}
        assert (await task.status()).state == "requested"

    on(body)


def test_many_wait_at_once_in_one_thread(on: Callable[[Body], None], tmp_path: Path) -> None:
    async def body(client: AsyncClient) -> None:
        tasks = await client.submit_many(streamsched.request(COUNT, task_id=f"t{n}") for n in range(30))
        waits = [asyncio.create_task(task.wait(120)) for task in tasks]
        for task in tasks:
            await asyncio.to_thread(work, tmp_path, task.task_id)
            if task is tasks[2]:
                break
        assert {(await wait).state for wait in waits[:3]} == {"succeeded"}
        for wait in waits:
            wait.cancel()
        ended = await asyncio.gather(*waits, return_exceptions=True)
        assert {type(each) for each in ended} <= {asyncio.CancelledError, TaskStatus}

    on(body)


@asynccontextmanager
async def held(client: AsyncClient) -> AsyncIterator[None]:
    """Let the client's thread stand still in the meantime."""
    begun, go = threading.Event(), threading.Event()

    def stand(_: Client) -> None:
        begun.set()
        go.wait(60)

    call = asyncio.create_task(client.call(stand))
    await asyncio.to_thread(begun.wait, 60)
    try:
        yield
    finally:
        go.set()
        await call


def test_a_call_that_is_cancelled_before_it_began_is_not_made(on: Callable[[Body], None]) -> None:
    async def body(client: AsyncClient) -> None:
        await client.submit(COUNT, task_id="a")
        async with held(client):
            submit = asyncio.create_task(client.submit(COUNT, task_id="b"))
            await asyncio.sleep(0)
            submit.cancel()
            with pytest.raises(asyncio.CancelledError):
                await submit
        assert [status.task_id for status in await client.tasks()] == ["a"]

    on(body)


def test_a_call_that_is_cancelled_after_it_began_is_finished_and_the_next_one_waits(on: Callable[[Body], None]) -> None:
    async def body(client: AsyncClient) -> None:
        begun, go = threading.Event(), threading.Event()

        def slow(of: Client) -> None:
            begun.set()
            go.wait(60)
            of.submit(COUNT, task_id="a")

        call = asyncio.create_task(client.call(slow))
        await asyncio.to_thread(begun.wait, 60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        following = asyncio.create_task(client.status("a"))
        go.set()
        assert (await following).state == "requested"

    on(body)


def test_an_iterator_that_is_left_or_cancelled_is_closed_in_its_thread(on: Callable[[Body], None]) -> None:
    async def body(client: AsyncClient) -> None:
        closed: list[str] = []

        def numbers(_: Client) -> Any:
            try:
                yield from range(1_000_000)
            finally:
                closed.append(threading.current_thread().name)

        async def read() -> None:
            async for _ in client.each(numbers):
                pass

        seen = client.each(numbers)
        assert [await anext(seen) for _ in range(150)] == list(range(150))
        await seen.aclose()
        reading = asyncio.create_task(read())
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await client.call(lambda _: None)
        assert len(closed) == 2
        assert all(name.startswith("streamsched-client") for name in closed)

    on(body)


def test_closing_waits_for_what_was_begun(tmp_path: Path) -> None:
    async def main() -> None:
        client = AsyncClient(data_dir=tmp_path)
        begun, go = threading.Event(), threading.Event()
        done: list[int] = []

        def slow(of: Client) -> None:
            begun.set()
            go.wait(60)
            of.submit(COUNT)
            done.append(len(of.tasks()))

        call = asyncio.create_task(client.call(slow))
        await asyncio.to_thread(begun.wait, 60)
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(call, closing)
        assert done == [1]
        with pytest.raises(RuntimeError, match="after shutdown"):
            await client.tasks()
        await AsyncClient(data_dir=tmp_path).close()

    asyncio.run(main())
