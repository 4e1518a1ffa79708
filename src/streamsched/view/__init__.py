"""The view: folded state in RocksDB or memory, and questions to it."""
