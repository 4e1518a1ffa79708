"""The log on Apache Kafka."""

from __future__ import annotations

from streamsched.log.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
