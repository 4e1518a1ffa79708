"""The executor's two threads, at the moments when they could get in each other's way."""

from __future__ import annotations

import os
import socket
import threading

from streamsched.worker import page as pages
from streamsched.worker import wire
from streamsched.worker.executor import Executor
from streamsched.worker.link import Link
from streamsched.worker.output import Output
from streamsched.worker.sink import Sink
from tests.unit.worker.pool_case import make_job


class KeyAtTheLastMoment(int):
    """The key of a job that ends just when it was compared, and the next one begins."""

    meanwhile: threading.Thread

    def __eq__(self, other: object) -> bool:
        self.meanwhile.start()
        self.meanwhile.join(0.2)
        return True

    __hash__ = int.__hash__


def test_a_confirmation_never_reaches_the_job_after_the_one_that_it_was_for() -> None:
    ours, theirs = socket.socketpair()
    fd = pages.create()
    page = pages.Page(fd)
    setup = wire.Setup(link=0, page=0, allow=(), checkpoint_tick=0.05, payload_limit=1000)
    executor = Executor(setup, Link(theirs), page, Output(Sink(2)))
    first, second = make_job(), make_job()
    executor._listener.obey(wire.Begin([first, second]))
    executor._next(0)
    key = KeyAtTheLastMoment(first.key)
    key.meanwhile = threading.Thread(target=executor._next, args=(0,))
    executor._listener.obey(wire.Confirm(key, 7))
    key.meanwhile.join()
    assert page.state() == second.key
    assert executor._desk.confirmed == 0
    ours.close()
    theirs.close()
    page.close()
    os.close(fd)
