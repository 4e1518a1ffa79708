"""What an adapter of the log implements."""

from __future__ import annotations

from typing import Protocol

from streamsched.log.coordination import Coordination
from streamsched.log.port import Log
from streamsched.log.topic_admin import TopicAdmin


class LogAdapter(Log, Coordination, TopicAdmin, Protocol):
    """All three ports. What builds a node takes it, and hands each part the ports that the part needs."""
