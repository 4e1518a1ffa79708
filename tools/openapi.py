"""Write the document of the HTTP API into ``schemas/openapi.json``, from the table of addresses.

python -m tools.openapi
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from streamsched.http.openapi import document

DOCUMENT: Final = Path(__file__).resolve().parent.parent / "schemas" / "openapi.json"


def text() -> str:
    """Write the document."""
    return json.dumps(document(), indent=1) + "\n"


def main() -> int:
    """Rewrite the file."""
    DOCUMENT.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
