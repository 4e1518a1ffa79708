"""Sizes in bytes as people write them: ``64MB``, ``1.5 GiB``, or a number of bytes."""

from __future__ import annotations

import re
from typing import Final

TEXT: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})? ?([kKMGT]i?B|B)?", re.ASCII)
_UNITS: Final = {
    "": 1, "B": 1,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip


def read(value: object) -> int | None:
    """Return the whole bytes that a value names: an integer, or a text; None for anything else.

    ``kB``, ``MB``, ``GB`` and ``TB`` are powers of 1000, ``KiB`` and so on of 1024.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str) or not TEXT.fullmatch(value):
        return None
    number = value.rstrip("kKMGTiB ")
    return int(float(number) * _UNITS[value[len(number) :].strip().upper()])
