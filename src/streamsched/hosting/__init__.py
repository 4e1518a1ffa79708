"""The processes that work: nodes and their parents, ``run`` and ``up``."""
