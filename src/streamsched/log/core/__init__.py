"""One log over a small key-value store, with Kafka's semantics: shared by embedded and memory."""

from __future__ import annotations

from streamsched.log.core.cluster import SESSION_TIMEOUT_MS, TAIL_BYTES, TRANSACTION_TIMEOUT_MS, Cluster, Faults
from streamsched.log.core.connection import Connection
from streamsched.log.core.store import CLUSTER_KEY, FORMAT, FORMAT_KEY, Store

__all__ = [
    "Cluster",
    "Connection",
    "Faults",
    "Store",
    "CLUSTER_KEY",
    "FORMAT",
    "FORMAT_KEY",
    "SESSION_TIMEOUT_MS",
    "TAIL_BYTES",
    "TRANSACTION_TIMEOUT_MS",
]
