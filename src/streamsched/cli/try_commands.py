"""``plan`` and ``try``: look at a template without submitting anything."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streamsched.cli.exits import complain
from streamsched.cli.options import Json, Pairs, ParamsFile, Template, settings_of
from streamsched.cli.printing import note, out, out_json, plain, whole
from streamsched.domain import values
from streamsched.domain.command import call_of
from streamsched.domain.errors import InputError, StreamschedError
from streamsched.domain.routing import COMMAND, EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamsched.domain.splitting import ChildArguments
    from streamsched.domain.template import Template as JobTemplate
    from streamsched.files.template_file import Prepared
    from streamsched.log.adapter import LogAdapter
    from streamsched.worker.context import ChildContext, LocalTransport
    from streamsched.worker.handlers import Handler
    from streamsched.worker.jobs import Emitted, TopicTold
    from streamsched.worker.local import LocalResults
    from streamsched.worker.sources.local import LocalEntries

    Children = ChildArguments | LocalEntries

    Transports = Callable[[], LocalTransport]

RECORD_LIMIT: Final = 2 * 1024 * 1024
SHOWN_CHILDREN: Final = 3
"""Children shown at each end."""


def plan(
    context: typer.Context,
    template: Template,
    param: Pairs = None,
    params: ParamsFile = None,
    check: Annotated[
        bool, typer.Option("--check", help="Import the handlers too, and hold the arguments against their annotations.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Show how a task would be split, and write nothing.

    A splitter that looks into files or a topic, or is a function of yours, runs in this process.
    """
    prepared, arguments = _prepared(context, template, param or [], params)
    count = arguments.children
    shown = sorted({*range(min(SHOWN_CHILDREN, count)), *range(max(0, count - SHOWN_CHILDREN), count)})
    if check:
        _check(prepared, [arguments(child) for child in shown], template)
    if as_json:
        out_json({
            "template": prepared.template.name, "template_version": prepared.version,
            "params": values.read(prepared.params_json), "children": count, "digest": prepared.plan.digest,
            **_code(prepared.template),
            "shown": [{"child": child, "args": values.read(arguments(child))} for child in shown],
        })  # fmt: skip
        return 0
    out(f"template    {prepared.template.name}, version {prepared.version[:12]}")
    out(f"parameters  {plain(prepared.params_json, 500)}")
    for name, code in _code(prepared.template).items():
        out(f"{name:<11} {plain(code)}")
    if prepared.template.reduce is not None:
        out(f"reduce      {prepared.template.reduce.handler}")
    out(f"children    {count:,}")
    last = -1
    for child in shown:
        if child > last + 1:
            out("      ...")
        out(f"{child:>9,}  {plain(_shown(prepared.template, arguments(child)))}")
        last = child
    return 0


def try_child(
    context: typer.Context,
    template: Template,
    param: Pairs = None,
    params: ParamsFile = None,
    child: Annotated[int | None, typer.Option(metavar="K", min=0, help="Which child, from 0 (default: 0).")] = None,
    reduce: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Run the first N children, then the reduce of their results."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Run one child in this process, without a log: for a debugger. Or the reduce, behind the children that it reads.

    The handler's output and its result go to stdout. Checkpoints are not kept, and what it emits is shown on stderr
    and not written. An error of the handler, or of its module while that is imported, is shown with its own traceback,
    and the exit code is 1.
    """
    kept = {"only": child or 0} if reduce is None else {"first": reduce}
    prepared, arguments = _prepared(context, template, param or [], params, **kept)
    transport = partial(_transport, context)
    if reduce is not None:
        if child is not None:
            raise InputError("runs one child, and --reduce the first ones", "give one of them", source="--child")
        return _try_reduce(prepared, arguments, reduce, template, transport, as_json=as_json)
    child = child or 0
    if child >= arguments.children:
        reason = f"there is no child {child}: the task has {arguments.children:,}, counted from 0"
        raise InputError(reason, "choose another", source="--child")
    result = _runner(prepared, arguments, template, transport, as_json=as_json)(child)
    if as_json:
        out_json({"child": child, "result": result})
    else:
        out(whole(result))
    return 0


def _try_reduce(
    prepared: Prepared, arguments: Children, most: int, template: Path, transport: Transports, *, as_json: bool
) -> int:
    """Run the first children, then the reduce over their results; the others count as missing."""
    from streamsched.domain.splitting import reduce_arguments
    from streamsched.worker.context import Result
    from streamsched.worker.local import LocalResults

    spec = prepared.template.reduce
    if spec is None:
        remedy = "add it (docs/template.md), or leave out --reduce"
        raise InputError("the template has no reduce", remedy, source=str(template))
    run, reducer = _runner(prepared, arguments, template, transport, as_json=as_json), _function(spec.handler, template)
    count = min(most, arguments.children)
    results = LocalResults([Result(each, run(each)) for each in range(count)], arguments.children - count)
    text = reduce_arguments(prepared.template, values.read(prepared.params_json))
    note(f"reduce of {count:,} results, {results.missing:,} missing: {spec.handler} {plain(text)}")
    result = _attempt("the reduce", reducer, {"handler": spec.handler, "stage": "reduce"}, text, transport, results)
    if as_json:
        out_json({"stage": "reduce", "results": count, "missing": results.missing, "result": result})
    else:
        out(whole(result))
    return 0


def _check(prepared: Prepared, texts: list[str], template: Path) -> None:
    """Import what a template names, and hold these arguments of children against the annotations. Raise InputError."""
    from streamsched.domain.splitting import reduce_arguments
    from streamsched.worker.errors import BadArguments
    from streamsched.worker.local import checked

    stages = [("child", prepared.template.child, texts)]
    if prepared.template.reduce is not None:
        text = reduce_arguments(prepared.template, values.read(prepared.params_json))
        stages.append(("reduce", prepared.template.reduce, [text]))
    for stage, spec, given in stages:
        if spec.command is not None:
            continue
        function, _ = _function(spec.handler, template), spec.setup and _function(spec.setup, template)
        for text in given:
            try:
                checked(function, values.read(text), spec.concurrency)
            except BadArguments as error:
                remedy = "correct the arguments in the template, or the annotation in the handler"
                raise InputError(str(error), remedy, source=str(template), field=f"{stage}.args") from None


def _function(handler: str, template: Path) -> Handler:
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
        raise typer.Exit(_show(*failed)) from None
    remedy = "correct the handler's name, or start where its module can be imported"
    return InputError(str(error), remedy, source=str(template))


def _runner(
    prepared: Prepared, arguments: Children, template: Path, transport: Transports, *, as_json: bool
) -> Callable[[int], Any]:
    """Return what runs one child and returns its result; it raises typer.Exit where the child fails, which is shown."""
    handler = prepared.template.child.handler
    of = "" if prepared.plan.split else f" of {arguments.children:,}"
    if prepared.template.child.command is not None:
        return lambda child: _try_program(prepared, child, of, arguments(child), as_json)
    from streamsched.domain.splitting import ChildArguments

    function, spec = _function(handler, template), prepared.template.child
    setup = _function(spec.setup, template) if spec.setup else None

    def run(child: int) -> Any:
        text = arguments(child)
        note(f"child {child}{of}: {handler} {plain(text)}")
        entries = None if isinstance(arguments, ChildArguments) else arguments
        named = {"handler": handler, "child_index": child}
        return _attempt(
            f"child {child}", function, named, text, transport, setup=setup, concurrency=spec.concurrency,
            entries=entries,
        )  # fmt: skip

    return run


def _attempt(
    what: str, function: Handler, named: dict[str, Any], text: str, transport: Transports,
    results: LocalResults | None = None, *, setup: Handler | None = None, concurrency: int = 1,
    entries: LocalEntries | None = None,
) -> Any:  # fmt: skip
    """Call a handler and return its result as others will see it. Raise typer.Exit where it fails, which is shown."""
    from streamsched.worker.context import PAYLOAD_LIMIT, ChildContext
    from streamsched.worker.errors import BadArguments, PayloadTooLarge, ResultNotSerialisable
    from streamsched.worker.local import call, checked
    from streamsched.worker.payload import write_result

    context = ChildContext(transport(), task_id="try", **named)
    try:
        given = checked(function, values.read(text), concurrency)
    except BadArguments as error:
        raise typer.Exit(complain(f"{what} fails: {type(error).__name__}: {error}", 1)) from None
    try:
        with _opened(context, entries):
            returned = call(function, context, given, results, setup=setup, check=False)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: on a worker it would fail the child
        raise typer.Exit(_show(error, 2)) from None
    try:
        kept = write_result(returned, PAYLOAD_LIMIT)
    except (PayloadTooLarge, ResultNotSerialisable) as error:
        raise typer.Exit(complain(f"{what} fails: {type(error).__name__}: {error}", 1)) from None
    return None if kept is None else values.read(kept)


def _opened(context: ChildContext, entries: LocalEntries | None) -> AbstractContextManager[object]:
    """Look at the files of a child, and let its context read records."""
    if entries is None:
        return nullcontext()
    from streamsched.worker.sources.inputs import opened

    inputs = entries.inputs(context.child_index)
    return opened(context, "{}", inputs, lambda: None, entries.open_log) if inputs else nullcontext()


def _code(template: JobTemplate) -> dict[str, str]:
    """Return what the children run, by the name of its field."""
    spec = template.child
    return {"handler": spec.handler} if spec.command is None else {"command": spec.code.removeprefix(COMMAND)}


def _shown(template: JobTemplate, text: str) -> str:
    """Return the arguments of a child; for a program the command line, as a shell reads it."""
    if template.child.command is None:
        return text
    call = call_of(template.child.code, text)
    given = [f"{name}={shlex.quote(value)}" for name, value in call.env.items()]
    line = " ".join([*given, shlex.join([call.program, *call.words])])
    return f"{line}  (in {call.cwd})" if call.cwd else line


def _try_program(prepared: Prepared, child: int, of: str, text: str, as_json: bool) -> Any:
    """Run the program of one child and return its result. Raise typer.Exit where it fails, which is said."""
    from streamsched.worker import descendants
    from streamsched.worker.command import run_command
    from streamsched.worker.context import PAYLOAD_LIMIT, ChildContext, LocalTransport
    from streamsched.worker.errors import ChildError

    spec = prepared.template.child
    note(f"child {child}{of}: {plain(_shown(prepared.template, text))}")
    descendants.adopt()
    streams = (sys.stderr.buffer if as_json else sys.stdout.buffer, sys.stderr.buffer)

    def write(data: bytes, stream: int) -> None:
        streams[stream].write(data)
        streams[stream].flush()

    ctx = ChildContext(LocalTransport(), task_id="try", child_index=child, handler=spec.code)
    sys.stdout.flush()
    try:
        kept = run_command(
            ctx, text, spec.command.exit_codes if spec.command else {}, allow=(EVERYTHING,), limit=PAYLOAD_LIMIT,
            write=write,
        )  # fmt: skip
    except (ChildError, OSError) as error:
        raise typer.Exit(complain(f"child {child} fails: {type(error).__name__}: {error}", 1)) from None
    return None if kept is None else values.read(kept)


def _transport(context: typer.Context) -> LocalTransport:
    """Make the transport of one child: without a log a topic has one partition, and what is emitted is shown."""
    from streamsched.worker.context import LocalTransport
    from streamsched.worker.jobs import TopicTold
    from streamsched.worker.outlet import refusal

    settings = settings_of(context)

    def told(topic: str) -> TopicTold:
        return TopicTold(topic, 1, RECORD_LIMIT, refusal(topic, settings.emit, settings.prefix))

    return LocalTransport(told=told, take=_show_record)


def _show_record(record: Emitted) -> None:
    key = "" if record.key is None else f", key {plain(record.key.decode(errors='replace'))}"
    value = "a tombstone" if record.value is None else plain(record.value.decode(errors="replace"))
    note(f"emits to {record.topic}{key}: {value}")


def _failed_import(error: BaseException) -> tuple[BaseException, int] | None:
    """Return what the handler's module raised, and how many frames lie above it; ``None``: there is no such module."""
    cause = error.__cause__
    if cause is None:
        return None
    above, frames = 0, cause.__traceback__
    while frames is not None and ("importlib" in frames.tb_frame.f_code.co_filename or above == 0):
        above, frames = above + 1, frames.tb_next
    return None if frames is None and isinstance(cause, ModuleNotFoundError) else (cause, above)


def _show(error: BaseException, above: int) -> int:
    """Print the error with its own traceback, without so many frames that lie above it; returns the exit code."""
    from streamsched.worker import traces

    frames = traces.frames_of(error)
    for _ in range(above):
        frames = frames.tb_next if frames is not None else None
    sys.stdout.flush()
    for line in traces.trace_of(error, frames).rstrip("\n").split("\n"):
        note(line)
    return 1


def _prepared(
    context: typer.Context, template: Path, pairs: list[str], file: Path | None, **kept: int
) -> tuple[Prepared, Children]:
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
        raise typer.Exit(_show(error, _own_frames(error))) from None


def _opens(context: typer.Context) -> Callable[[], LogAdapter]:
    """Return what opens the log, for reading a topic."""

    def opened() -> LogAdapter:
        from streamsched.installation.site import Installation

        return Installation(settings_of(context)).log

    return opened


def _own_frames(error: BaseException) -> int:
    """Count the frames of streamsched that called the user's code."""
    own, frames, here = 0, error.__traceback__, str(Path(__file__).parents[1])
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(here):
        own, frames = own + 1, frames.tb_next
    return own if frames is not None else 0
