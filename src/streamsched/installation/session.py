"""What commands and queries are given: the open log, an identity, and a view that follows the journal."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation, Progress, user_name
from streamsched.installation.writing import connect
from streamsched.log.port import TopicPartition
from streamsched.runtime.identity import Identity

if TYPE_CHECKING:
    from streamsched.view.follow import Follower
    from streamsched.view.view import View

FLUSH_EVENTS: Final = 20_000
"""Events between writes of the view while following: written ones leave memory."""


class Session:
    """One user of an installation, in one thread. Parts of the embedded log are opened when first needed."""

    def __init__(self, settings: Settings, on_progress: Progress) -> None:
        self.settings = settings
        self.on_progress = on_progress
        if settings.brokers:
            self.site = connect(settings, create=False)

    @cached_property
    def site(self) -> Installation:
        """The open log."""
        return connect(self.settings, create=False)

    @cached_property
    def me(self) -> Identity:
        """The identity that signs what this session writes."""
        return self.site.identity("client", user_name())

    @cached_property
    def follower(self) -> Follower:
        """The follower that folds the journal into a view."""
        from streamsched.view.follow import Follower

        site = self.site
        return Follower(log=site.log, topics=site.topics, codec=site.codec, view=site.view("client"))

    def make(self) -> None:
        """Create the embedded log if it is missing."""
        if "site" not in self.__dict__:
            self.site = connect(self.settings, create=True)

    def folded(self, places: Collection[TopicPartition]) -> View:
        """Fold new records of these partitions and return the view."""
        self.follower.catch_up(places, self.on_progress)
        return self.follower.view

    def changes(self, places: Collection[TopicPartition], interval: float) -> Iterator[int]:
        """Fold new records; yield their number at least every ``interval`` seconds."""
        self.follower.include(places)
        unwritten = 0
        while True:
            folded = sum(1 for _ in self.follower.poll(interval))
            unwritten += folded
            if unwritten >= FLUSH_EVENTS:
                self.follower.view.flush()
                unwritten = 0
            yield folded

    def close(self) -> None:
        """Close the view and the log."""
        if "follower" in self.__dict__:
            self.follower.close()
            self.follower.view.close()
            del self.follower
        if "site" in self.__dict__:
            self.site.close()
