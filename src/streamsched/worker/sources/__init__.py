"""What split children find in files, and how children read them. An executor imports it with its first such child."""
