"""The second thread of an executor: it reads the pool's orders, and about every 20 ms has sent what waits."""

from __future__ import annotations

import time
from typing import Final

from streamsched.worker import wire
from streamsched.worker.desk import Desk
from streamsched.worker.jobs import TopicTold
from streamsched.worker.link import Link
from streamsched.worker.output import Output
from streamsched.worker.telling import Teller

TICK_S: Final = 0.020
_monotonic_ns = time.monotonic_ns


class Listener:
    """Listens to the pool while the main thread runs handlers."""

    def __init__(self, desk: Desk, link: Link, teller: Teller, output: Output) -> None:
        self._desk = desk
        self._link = link
        self._teller = teller
        self._output = output

    def serve(self) -> None:
        """Obey orders as long as this process lives."""
        try:
            self._listen()
        except BaseException:  # an executor that hears nothing any more is worse than none
            import traceback

            self._link.lose(traceback.format_exc())

    def _listen(self) -> None:
        desk = self._desk
        while True:
            # Nothing is held, nothing can become due.
            with desk.lock:
                runs = desk.context is not None or (desk.lanes is not None and desk.lanes.running)
                held = runs or desk.queue or desk.page.waiting()
            if not self._link.wait(TICK_S if held else None):
                self._tick()
                continue
            for order in self._link.receive():
                self.obey(order)
            if _monotonic_ns() - self._teller.flushed > TICK_S * 1e9:
                self._tick()

    def _tick(self) -> None:
        # Where the main thread is writing, this one continues reading: the pool may be waiting for that.
        self._teller.flush_if_free()
        self._output.flush_if_writable()
        if self._desk.lanes is not None:
            self._desk.lanes.look(_monotonic_ns())

    def obey(self, order: wire.Order) -> None:
        """Do what the pool wants, or leave it on the desk for the main thread."""
        desk = self._desk
        if isinstance(order, wire.Begin):
            with desk.lock:
                if not desk.leaving:
                    desk.queue.extend(order.jobs)
            desk.work.release()
        elif isinstance(order, wire.Recall):
            self._teller.give_back(order.keys)
        elif isinstance(order, wire.Journal):
            desk.journal = order
        elif isinstance(order, TopicTold):
            if desk.directory is not None:
                desk.directory.told(order)
        elif isinstance(order, wire.Confirm):
            self._confirm(order)
        elif isinstance(order, wire.Stop):
            self._stop(order)
        elif isinstance(order, wire.Quit):
            desk.quitting = True
            desk.work.release()
        if desk.lanes is not None:
            desk.lanes.obey(order)

    def _confirm(self, order: wire.Confirm) -> None:
        desk = self._desk
        with desk.lock:  # or the next job could begin in between, and believe it
            if order.key == desk.key:
                desk.confirmed = max(desk.confirmed, order.number)
                if desk.context is not None and desk.context.outbox is not None:
                    desk.context.outbox.confirmed(order.number)
        with desk.news:
            desk.news.notify_all()

    def _stop(self, order: wire.Stop) -> None:
        desk = self._desk
        self._teller.give_back((order.key,))
        with desk.lock:
            if desk.context is not None and desk.key == order.key:
                desk.context.request_stop()
        with desk.news:
            desk.news.notify_all()
