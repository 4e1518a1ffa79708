"""Causes: why a task or a child is in its state, each a function of what is known; the first that applies answers."""
