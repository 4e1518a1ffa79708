"""The processes that work: nodes and their parents, and ``run`` and ``up``."""
