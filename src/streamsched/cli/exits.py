"""How a command ends: whatever goes wrong becomes one line on stderr and an exit code.

====  ==========================================
0     well
1     the task did not succeed; an unexpected fault
2     wrong input
3     broker or log unreachable
4     no such task, or schedule
70    watchdog
130   interrupted
141   nobody reads what is printed any more
====  ==========================================

An error of streamsched's own carries its code (``domain/errors.py``). Imports nothing of weight.
"""

from __future__ import annotations

import errno
import io
import os
import sys

INTERRUPTED = 130
NOBODY_READS = 141


def explain(error: BaseException) -> int:
    """Say what went wrong, in one line, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return NOBODY_READS
    if "--debug" in sys.argv or os.environ.get("STREAMSCHED_DEBUG"):
        from traceback import format_exception

        _write("\n".join(map(_shown, "".join(format_exception(error)).splitlines())))
    # By name: most commands end without this module, and importing it here could fail as well.
    if any(cls.__name__ == "ClickException" for cls in type(error).__mro__):
        return _explain_usage(error)
    if (code := getattr(error, "exit_code", None)) is not None:
        return complain(str(error), code)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        return complain("there is no space left where the output goes, part of it is lost", 1)
    if isinstance(error, MemoryError):
        return complain("out of memory", 1)
    return complain(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1)


def _explain_usage(error: BaseException) -> int:
    """Show what the command line's parser says, which quotes words of the command line."""
    shown = io.StringIO()
    error.show(file=shown)  # type: ignore[attr-defined]
    _write("\n".join(map(_shown, shown.getvalue().splitlines())))
    code: int = error.exit_code  # type: ignore[attr-defined]
    return code


def complain(text: str, code: int) -> int:
    """Print one line on stderr; returns the code."""
    _write(f"streamsched: {_shown(' '.join(text.split()))}")
    return code


def _shown(text: str) -> str:
    from streamsched.domain.visible import visible

    return visible(text)


def _write(text: str) -> None:
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # full, closed, or none at all
        pass


def leave(code: int) -> None:
    """Exit, without a word about pipes that nobody reads."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or NOBODY_READS
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)
