"""Which frames of a traceback are of the user's code: neither Python's, nor streamsched's, nor of what was installed.

Where the handler itself is of one of these, that is the user's code. Nothing of the frames is trusted: their names are
what the user's code says.
"""

from __future__ import annotations

import os
import re
from collections import deque
from types import TracebackType
from typing import Final

INNERMOST: Final = 3
"""Frames that are told."""
NAME_LIMIT: Final = 100
"""Characters of the name of a file or a function."""
_PYTHON: Final = os.path.dirname(os.__file__)  # noqa: PTH120 - as code names its file
_OURS: Final = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
_INSTALLED: Final = re.compile(r"[/\\](?:site|dist)-packages[/\\]([^/\\]{1,100})")


def user_frames(frames: TracebackType | None) -> tuple[str, ...]:
    """Return the innermost frames of the user's code, the outermost first, as ``FILE:LINE in FUNCTION``.

    ``frames`` begins with that of the handler. A recursion may have left hundreds of thousands.
    """
    if frames is None:
        return ()
    own = ("", _library(frames))
    known: dict[str, bool] = {}
    last: deque[TracebackType] = deque(maxlen=INNERMOST)
    at: TracebackType | None = frames
    while at is not None:
        name = at.tb_frame.f_code.co_filename
        theirs = known.get(name)
        if theirs is None:
            theirs = known[name] = _library(at) in own
        if theirs:
            last.append(at)
        at = at.tb_next
    return tuple(map(_told, last))


def _library(at: TracebackType) -> str:
    """Return of which library this frame is; empty where it is of none."""
    name = at.tb_frame.f_code.co_filename
    if found := _INSTALLED.search(name[:4096]):
        return found[1]
    if name.startswith((f"{_PYTHON}{os.sep}", "<frozen ")):
        return "python"
    return "streamsched" if name.startswith(f"{_OURS}{os.sep}") else ""


def _told(at: TracebackType) -> str:
    code = at.tb_frame.f_code
    file = code.co_filename[-4096:].replace("\\", "/").rpartition("/")[2]
    return f"{_short(file)}:{at.tb_lineno or 0} in {_short(code.co_qualname)}"


def _short(name: str) -> str:
    return name[:NAME_LIMIT].encode("utf-8", "backslashreplace").decode()[:NAME_LIMIT]
