"""streamsched: a distributed scheduler for long work cut into many pieces, event-sourced on Kafka."""

__version__ = "0.1.0"
