"""The log: a port, the adapters that fill it, the topics and the wire format."""
