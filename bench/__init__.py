"""Benchmarks: what streamsched does on this machine, as ratios to what the bare protocol does in the same run."""
