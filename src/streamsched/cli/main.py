"""The entry point: runs a command and turns whatever goes wrong into one line and an exit code.

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

Imports nothing of weight at the top: an interrupt is heard as early as can be.
"""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import signal
import sys

WRONG_INPUT = 2
UNREACHABLE = 3
NO_SUCH_TASK = 4
INTERRUPTED = 130
NOBODY_READS = 141


def main() -> None:
    """Run the command line of this process and exit."""
    atexit.register(gc.freeze)  # at its end Python looks for cycles in all that was imported: 25 ms, for nothing
    try:
        _fill_descriptors()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a file name need not be text
        # While modules are imported an interrupt ends the process: Python may lose one in a callback of its own there.
        # ``options.hear_interrupts`` has it raise KeyboardInterrupt again.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        from streamsched.cli.app import command

        leave(command()(prog_name="streamsched", standalone_mode=False) or 0)
    except SystemExit as end:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # the parser of the command line met a broken pipe
            leave(NOBODY_READS)
        leave(end.code if isinstance(end.code, int) else 0 if end.code is None else complain(str(end.code), 1))
    except KeyboardInterrupt:
        leave(INTERRUPTED)
    except BaseException as error:
        leave(explain(error))


def _fill_descriptors() -> None:
    """Put /dev/null where a standard stream was closed: the next file opened, a log's even, would take its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(null, null == number)
            setattr(sys, name, open(null, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


def explain(error: BaseException) -> int:
    """Say what went wrong, in one line, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return NOBODY_READS
    if "--debug" in sys.argv or os.environ.get("STREAMSCHED_DEBUG"):
        from traceback import format_exception

        _write("\n".join(map(_shown, "".join(format_exception(error)).splitlines())))
    names = {cls.__name__ for cls in type(error).__mro__}
    if "ClickException" in names:
        return _explain_usage(error)
    # By name: most commands end without these modules, and importing them here could fail as well.
    if names & {"InputError", "TemplateError", "ScheduleError"}:
        return complain(str(error), WRONG_INPUT)
    if "NoSuchTask" in names:
        return complain(str(error), NO_SUCH_TASK)
    if names & {"LogError", "Undecodable"}:
        return complain(str(error), UNREACHABLE)
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
