"""How a command ends: an error becomes one line on stderr and an exit code (listed in ``app.HELP``).

An error of streamsched's own carries its code (``domain/errors.py``). Imports little.
"""

from __future__ import annotations

import errno
import io
import os
import sys

INTERRUPTED = 130
BROKEN_PIPE = 141
"""The reader of the output has closed its pipe."""
_hangs = False
"""Whether a thread hangs."""


def explain(error: BaseException) -> int:
    """Print one line about an error; returns the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    if "--debug" in sys.argv or os.environ.get("STREAMSCHED_DEBUG"):
        from traceback import format_exception

        _write("\n".join(map(_shown, "".join(format_exception(error)).splitlines())))
    # By name: most commands do not need click here, and importing it could fail as well.
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
    """Print the message of the command line's parser, with what it quotes made visible."""
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


def leave_threads() -> None:
    """Have ``leave`` wait for no thread: one hangs, on a broker for example, and nothing is left to write."""
    global _hangs
    _hangs = True


def leave(code: int) -> None:
    """Exit, without a message about broken pipes."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or BROKEN_PIPE
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if _hangs:
        os._exit(code)
    sys.exit(code)
