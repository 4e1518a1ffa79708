"""The worker: runs children in executor processes and settles them in the log."""
