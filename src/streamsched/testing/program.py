"""A child that is a program: it is run below a copy of this process, for whatever is below its parent ends with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NoReturn

from streamsched.domain.routing import EVERYTHING
from streamsched.testing.copies import run_in_copy
from streamsched.worker import descendants, errors
from streamsched.worker.command import run_command
from streamsched.worker.context import PAYLOAD_LIMIT, ChildContext, LocalTransport

Ended = tuple[str | None, errors.ErrorReport | None]
"""The result as JSON, or how it failed."""


def run_program(context: ChildContext, arguments: str, exit_codes: Mapping[str, str]) -> Ended:
    """Run the program that is the handler of this context to its end. It hears of no stop."""

    def work(leave: Callable[[Ended], NoReturn]) -> Ended:
        descendants.adopt()
        context.continue_with(LocalTransport())
        try:
            result = run_command(context, arguments, exit_codes, allow=(EVERYTHING,), limit=PAYLOAD_LIMIT, write=_write)
        except (errors.ChildError, OSError) as error:
            return None, errors.describe(error)
        return result, None

    return run_in_copy(work, Ended)


def _write(data: bytes, stream: int) -> None:
    os.write(1 + stream, data)
