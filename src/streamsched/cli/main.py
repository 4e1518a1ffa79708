"""The entry point: runs a command and exits with its code. It imports little before it can handle interrupts."""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys


def main() -> None:
    """Run the command line of this process and exit."""
    # An interrupt during imports ends the process: Python could lose it in a callback of the import system.
    # ``options.enable_keyboard_interrupt`` has it raise KeyboardInterrupt again.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from streamsched.cli.exits import BROKEN_PIPE, INTERRUPTED, complain, explain, leave

    atexit.register(gc.freeze)  # or Python's shutdown collects garbage in all imports, for 25 ms
    try:
        _fill_descriptors()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a file name need not be text
        from streamsched.cli.app import command
        from streamsched.cli.completion import join_words

        os.environ.update(join_words(os.environ))
        leave(command()(prog_name="streamsched", standalone_mode=False) or 0)
    except SystemExit as end:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # the parser of the command line met a broken pipe
            leave(BROKEN_PIPE)
        leave(end.code if isinstance(end.code, int) else 0 if end.code is None else complain(str(end.code), 1))
    except KeyboardInterrupt:
        leave(INTERRUPTED)
    except BaseException as error:
        leave(explain(error))


def _fill_descriptors() -> None:
    """Open /dev/null for closed standard streams: else the next open file would take their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(null, null == number)
            setattr(sys, name, open(null, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
