"""The version, apart from the package: what imports it imports nothing else."""

__version__ = "0.1.0"
