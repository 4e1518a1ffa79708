"""What people write: templates, schedules and parameters, read into what the domain knows."""
