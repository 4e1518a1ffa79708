"""The fixture of the kit, as a user's ``conftest.py`` takes it."""

from __future__ import annotations

from streamsched.testing import cluster  # noqa: F401
