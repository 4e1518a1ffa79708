"""Which language of templates a template needs, by its fields alone."""

from __future__ import annotations

from typing import Any, Final

FIELDS: Final = {
    4: ("queue", "labels", "deadline_ms", "parallelism", "rate", "fairness", "needs", "rules"),
    3: ("reduce", "by", "command", "concurrency", "setup", "reuse"),
    1: ("on",),
}
"""The fields that templates of a history may have, by the oldest language that has them."""


def level_of(body: dict[str, Any]) -> int:
    """Return the oldest language that has all fields of a template."""
    stages = [body["child"], body.get("reduce", {})]
    named = {name for part in (body, body["split"], body["failure"], *stages) for name in part}
    return max((level for level, names in FIELDS.items() if named.intersection(names)), default=0)
