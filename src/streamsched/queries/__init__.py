"""What is known of tasks, schedules, nodes and dead letters, as plain data."""
