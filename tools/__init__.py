"""Tools of the project's own work: not part of the package."""
