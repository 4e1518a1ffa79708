"""The log in a folder of this machine: durable, without a broker; one process writes, others may read."""

from __future__ import annotations

from streamsched.log.embedded.log import EmbeddedLog

__all__ = ["EmbeddedLog"]
