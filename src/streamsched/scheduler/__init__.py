"""The scheduler: plans, dispatches, aggregates, keeps time."""
