"""Labels of a task: names with values that people find it by. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from streamsched.domain.errors import InputError
from streamsched.domain.refusal import TemplateError
from streamsched.domain.visible import is_visible

LABELS_LIMIT: Final = 32
"""Labels that a task may have, those of its template and of its request together."""
LABEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
VALUE_LIMIT: Final = 200
"""Characters of a value."""


def read_labels(pairs: Iterable[str], option: str) -> dict[str, str]:
    """Read NAME=VALUE pairs of an option, which ends as it stands before a pair. Raise InputError."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or name in found:
            reason = f"{name!r} is given twice" if equals else f"{pair!r} has no ="
            raise InputError(reason, f"write {option}NAME=VALUE, each name once", source=option.rstrip(" ="))
        found[name] = value
    return found


def check_labels(labels: object) -> dict[str, str]:
    """Return labels that a task may have, sorted by name. Raise TemplateError."""
    if not isinstance(labels, Mapping):
        raise TemplateError("must be names with values", "write {team: data}", path=("labels",))
    for name, value in labels.items():
        if not isinstance(name, str) or not LABEL_NAME.fullmatch(name):
            remedy = "use letters, digits, dot, dash, underscore and slash, at most 63, a letter or digit first"
            raise TemplateError(f"{str(name)[:100]!r} is not a name of a label", remedy, path=("labels",))
        path = ("labels", name)
        if not isinstance(value, str) or not value:
            raise TemplateError(f"must be a text, not {value!r:.100}", "put it in quotes", path=path)
        if len(value) > VALUE_LIMIT or not is_visible(value):
            remedy = f"use 1 to {VALUE_LIMIT} visible characters"
            raise TemplateError(f"{value[:100]!r} is not a value of a label", remedy, path=path)
    if len(labels) > LABELS_LIMIT:
        reason = f"a task has at most {LABELS_LIMIT} labels, these are {len(labels)}"
        raise TemplateError(reason, "remove some", path=("labels",))
    return dict(sorted(labels.items()))
