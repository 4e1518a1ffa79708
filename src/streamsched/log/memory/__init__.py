"""The log in memory, for simulations and users' own tests."""
