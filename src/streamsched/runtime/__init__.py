"""What every role shares: ownership of partitions, the commit, the loop."""
