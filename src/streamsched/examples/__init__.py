"""Handlers to try streamsched with."""
