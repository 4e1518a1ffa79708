"""An installation as a process finds it: its settings, its data folder, its open log, and how a client writes there."""
