"""Answers about tasks, schedules, nodes and dead letters, as plain data."""
