"""The audit: asks the topics themselves whether the invariants hold."""
