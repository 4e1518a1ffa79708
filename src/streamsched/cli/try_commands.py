"""``plan`` and ``try``: look at a template without submitting anything."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streamsched.cli.exits import complain
from streamsched.cli.given import all_settings_of
from streamsched.cli.local_template import code_of, command_line, function_of, prepared_of, show_error
from streamsched.cli.options import Json, Pairs, ParamsFile, Template
from streamsched.cli.printing import note, out, out_json, plain, whole
from streamsched.cli.task_text import told_params
from streamsched.domain import values
from streamsched.domain.errors import InputError
from streamsched.domain.routing import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamsched.cli.local_template import Children
    from streamsched.files.template_file import Prepared
    from streamsched.worker.context import ChildContext, LocalTransport
    from streamsched.worker.handlers import Handler
    from streamsched.worker.jobs import Emitted, TopicTold
    from streamsched.worker.local import LocalResults
    from streamsched.worker.sources.local import LocalEntries

    Transports = Callable[[], LocalTransport]

RECORD_LIMIT: Final = 2 * 1024 * 1024


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
    from streamsched.commands.plan import shown_of

    prepared, arguments = prepared_of(context, template, param or [], params)
    count = arguments.children
    shown = shown_of(count)
    if check:
        _check(prepared, [arguments(child) for child in shown], template)
    if as_json:
        out_json({
            "template": prepared.template.name, "template_version": prepared.version,
            "params": values.read(prepared.params_json), "children": count, "digest": prepared.plan.digest,
            **code_of(prepared.template),
            "shown": [{"child": child, "args": values.read(arguments(child))} for child in shown],
        })  # fmt: skip
        return 0
    out(f"template    {prepared.template.name}, version {prepared.version[:12]}")
    for name, text in told_params(values.read(prepared.params_json), "add --json"):
        out(f"{name:<11} {text}")
    for name, code in code_of(prepared.template).items():
        out(f"{name:<11} {plain(code)}")
    if prepared.template.reduce is not None:
        out(f"reduce      {prepared.template.reduce.handler}")
    out(f"children    {count:,}")
    last = -1
    for child in shown:
        if child > last + 1:
            out("      ...")
        out(f"{child:>9,}  {plain(command_line(prepared.template, arguments(child)))}")
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
    """Run one child in this process, to debug its handler.

    With --reduce it runs the reduce, after the children that it reads. No log is needed. The handler's output and its
    result go to stdout. Checkpoints are not kept, and what it emits is shown on stderr and not written. An error of the
    handler, or of its module while that is imported, is shown with its own traceback, and the exit code is 1.
    """
    kept = {"only": child or 0} if reduce is None else {"first": reduce}
    prepared, arguments = prepared_of(context, template, param or [], params, **kept)
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
    from streamsched.worker.local import LocalResults
    from streamsched.worker.seekable import Result

    spec = prepared.template.reduce
    if spec is None:
        remedy = "add it (docs/template.md), or leave out --reduce"
        raise InputError("the template has no reduce", remedy, source=str(template))
    run, reducer = (
        _runner(prepared, arguments, template, transport, as_json=as_json),
        function_of(spec.handler, template),
    )
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
        function, _ = function_of(spec.handler, template), spec.setup and function_of(spec.setup, template)
        for text in given:
            try:
                checked(function, values.read(text), spec.concurrency)
            except BadArguments as error:
                remedy = "correct the arguments in the template, or the annotation in the handler"
                raise InputError(str(error), remedy, source=str(template), field=f"{stage}.args") from None


def _runner(
    prepared: Prepared, arguments: Children, template: Path, transport: Transports, *, as_json: bool
) -> Callable[[int], Any]:
    """Return what runs one child and returns its result; it raises typer.Exit where the child fails, which is shown."""
    handler = prepared.template.child.handler
    of = "" if prepared.plan.split else f" of {arguments.children:,}"
    if prepared.template.child.command is not None:
        return lambda child: _try_program(prepared, child, of, arguments(child), as_json)
    from streamsched.domain.splitting import ChildArguments

    function, spec = function_of(handler, template), prepared.template.child
    setup = function_of(spec.setup, template) if spec.setup else None

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
        raise typer.Exit(show_error(error, 2)) from None
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


def _try_program(prepared: Prepared, child: int, of: str, text: str, as_json: bool) -> Any:
    """Run the program of one child and return its result. Raise typer.Exit where it fails, which is said."""
    from streamsched.worker import descendants
    from streamsched.worker.command import run_command
    from streamsched.worker.context import PAYLOAD_LIMIT, ChildContext, LocalTransport
    from streamsched.worker.errors import ChildError

    spec = prepared.template.child
    note(f"child {child}{of}: {plain(command_line(prepared.template, text))}")
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

    settings = all_settings_of(context)

    def told(topic: str) -> TopicTold:
        return TopicTold(topic, 1, RECORD_LIMIT, refusal(topic, settings.emit, settings.prefix))

    return LocalTransport(told=told, take=_show_record)


def _show_record(record: Emitted) -> None:
    key = "" if record.key is None else f", key {plain(record.key.decode(errors='replace'))}"
    value = "a tombstone" if record.value is None else plain(record.value.decode(errors="replace"))
    note(f"emits to {record.topic}{key}: {value}")
