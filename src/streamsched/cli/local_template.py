"""A template in this process, for ``plan`` and ``try``: its children, its handlers, errors of the user's own code."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from streamsched.cli.given import all_settings_of
from streamsched.cli.printing import note
from streamsched.domain import values
from streamsched.domain.command import call_of
from streamsched.domain.errors import InputError, StreamschedError
from streamsched.domain.routing import COMMAND

if TYPE_CHECKING:
    from streamsched.domain.splitting import ChildArguments
    from streamsched.domain.template import Template
    from streamsched.files.template_file import Prepared
    from streamsched.log.adapter import LogAdapter
    from streamsched.worker.handlers import Handler
    from streamsched.worker.sources.local import LocalEntries

    Children = ChildArguments | LocalEntries


def prepared_of(
    context: typer.Context, template: Path, pairs: list[str], file: Path | None, **kept: int
) -> tuple[Prepared, Children]:
    """Read a template, and split it here where a split child would: ``kept`` says which children are wanted."""
    from streamsched.files.params_input import load_params
    from streamsched.files.template_file import load_template, prepare

    loaded = load_template(template)
    prepared = prepare(loaded, load_params(loaded, pairs, file), template)
    if not prepared.plan.split:
        return prepared, prepared.arguments()
    return prepared, _entries(prepared, template, _opens(context), **kept)


def _entries(
    prepared: Prepared, template: Path, open_log: Callable[[], LogAdapter], **kept: int
) -> LocalEntries:  # fmt: skip
    """Split here. Raise InputError; typer.Exit where the user's function raised, which is shown."""
    from streamsched.worker.errors import BadArguments, HandlerNotAllowed, HandlerNotFound, PayloadTooLarge
    from streamsched.worker.sources.errors import SourceError
    from streamsched.worker.sources.local import LocalEntries

    params, kind = values.read(prepared.params_json), prepared.template.split.kind
    try:
        return LocalEntries(prepared.template, params, prepared.plan.document, open_log=open_log, **kept)
    except (HandlerNotFound, HandlerNotAllowed) as error:
        raise _not_found(error, template) from error
    except (SourceError, PayloadTooLarge, BadArguments) as error:
        raise InputError(str(error), "nothing was written", source=str(template), field=f"split.{kind}") from error
    except (KeyboardInterrupt, StreamschedError):
        raise
    except BaseException as error:
        if kind != "by":
            reason = f"{type(error).__name__}: {error}"
            raise InputError(reason, "nothing was written", source=str(template), field=f"split.{kind}") from error
        raise typer.Exit(show_error(error, _own_frames(error))) from None


def _opens(context: typer.Context) -> Callable[[], LogAdapter]:
    """Return what opens the log, for reading a topic."""

    def opened() -> LogAdapter:
        from streamsched.installation.site import Installation

        return Installation(all_settings_of(context)).log

    return opened


def function_of(handler: str, template: Path) -> Handler:
    """Import a handler. Raise InputError; typer.Exit where its module raised an error, which is shown."""
    from streamsched.worker.errors import HandlerNotAllowed, HandlerNotFound
    from streamsched.worker.handlers import Handlers

    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        return Handlers([handler.partition(":")[0]]).resolve(handler)
    except (HandlerNotFound, HandlerNotAllowed) as error:
        raise _not_found(error, template) from error


def _not_found(error: Exception, template: Path) -> InputError:
    """Return what to raise for a handler that is not there. Raise typer.Exit where its module raised, as shown."""
    if (failed := _failed_import(error)) is not None:
        raise typer.Exit(show_error(*failed)) from None
    remedy = "correct the handler's name, or start where its module can be imported"
    return InputError(str(error), remedy, source=str(template))


def _failed_import(error: BaseException) -> tuple[BaseException, int] | None:
    """Return what the handler's module raised, and how many frames lie above it; ``None``: there is no such module."""
    cause = error.__cause__
    if cause is None:
        return None
    above, frames = 0, cause.__traceback__
    while frames is not None and ("importlib" in frames.tb_frame.f_code.co_filename or above == 0):
        above, frames = above + 1, frames.tb_next
    return None if frames is None and isinstance(cause, ModuleNotFoundError) else (cause, above)


def show_error(error: BaseException, above: int) -> int:
    """Print the error with its own traceback, without so many frames that lie above it; returns the exit code."""
    from streamsched.worker import traces

    frames = traces.frames_of(error)
    for _ in range(above):
        frames = frames.tb_next if frames is not None else None
    sys.stdout.flush()
    for line in traces.trace_of(error, frames).rstrip("\n").split("\n"):
        note(line)
    return 1


def _own_frames(error: BaseException) -> int:
    """Count the frames of streamsched that called the user's code."""
    own, frames, here = 0, error.__traceback__, str(Path(__file__).parents[1])
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(here):
        own, frames = own + 1, frames.tb_next
    return own if frames is not None else 0


def code_of(template: Template) -> dict[str, str]:
    """Return what the children run, by the name of its field."""
    spec = template.child
    return {"handler": spec.handler} if spec.command is None else {"command": spec.code.removeprefix(COMMAND)}


def command_line(template: Template, text: str) -> str:
    """Return the arguments of a child; for a program the command line, as a shell reads it."""
    if template.child.command is None:
        return text
    call = call_of(template.child.code, text)
    given = [f"{name}={shlex.quote(value)}" for name, value in call.env.items()]
    line = " ".join([*given, shlex.join([call.program, *call.words])])
    return f"{line}  (in {call.cwd})" if call.cwd else line
