"""The Python client and the one place that builds the object graph."""
