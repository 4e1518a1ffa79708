"""Checks and repairs of topics, positions and hanging transactions."""
