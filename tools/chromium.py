"""Where Chromium is, for the tests, the pictures and the benchmark of pages."""

from __future__ import annotations

import os
import shutil
from typing import Final

WHERE: Final = "STREAMSCHED_CHROMIUM"
"""The variable that names its program, where it is not on PATH."""


def find() -> str | None:
    """Return the path of Chromium, or None if it is not found."""
    return os.environ.get(WHERE) or shutil.which("chromium")
