"""Looks up the topics that handlers write to, beside the loop of a worker."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from streamsched.installation.settings import Settings
from streamsched.installation.site import Installation
from streamsched.log.port import LogError, TopicFacts, TopicMismatch, TopicSpec
from streamsched.log.topic_admin import TopicAdmin
from streamsched.worker.outlet import Outlet


def outlet(site: Installation) -> Outlet:
    """Build what says where the handlers of a node may write to."""
    settings = site.settings
    look = TopicLookup(settings).begin if settings.brokers else lambda topic: lambda: made(site.log, topic)
    return Outlet(patterns=settings.emit, prefix=settings.prefix, look=look, now=site.clock.monotonic)


def made(log: TopicAdmin, topic: str) -> TopicFacts:
    """Say what a topic is; make it where it is used first, in a log of one user's."""
    with suppress(TopicMismatch):
        return log.facts(topic)
    log.create_topics([TopicSpec(topic, 1, {})])
    return log.facts(topic)


class TopicLookup:
    """Asks a log of its own in a thread: the answer may take long, and a log is used by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._site: Installation | None = None
        self._thread = ThreadPoolExecutor(1, "topics")

    def begin(self, topic: str) -> Callable[[], TopicFacts | None]:
        """Begin to look a topic up; returns what gives the answer, or None while there is none, or raises LogError."""
        answer = self._thread.submit(self._look, topic)

        def get(answer: Future[TopicFacts] = answer) -> TopicFacts | None:
            return answer.result() if answer.done() else None

        return get

    def _look(self, topic: str) -> TopicFacts:
        try:
            if self._site is None:
                self._site = Installation(self._settings)
            return self._site.log.facts(topic)
        except LogError:
            raise
        except Exception as error:
            raise LogError(f"cannot look up topic {topic}: {error}") from error
