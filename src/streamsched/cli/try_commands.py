"""``plan`` and ``try``: look at a template without submitting anything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from streamsched.cli.exits import complain
from streamsched.cli.options import Json, Pairs, ParamsFile, Template
from streamsched.cli.printing import note, out, out_json, plain, whole
from streamsched.domain import values
from streamsched.domain.errors import InputError

if TYPE_CHECKING:
    from streamsched.domain.splitting import ChildArguments
    from streamsched.domain.template import ChildSpec
    from streamsched.files.template_file import Prepared

SHOWN_CHILDREN: Final = 3
"""Children shown at each end."""


def plan(
    template: Template,
    param: Pairs = None,
    params: ParamsFile = None,
    check: Annotated[
        bool, typer.Option("--check", help="Import the handlers too, and hold the arguments against their annotations.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Show how a task would be split, and write nothing."""
    prepared, arguments = _prepared(template, param or [], params)
    count = prepared.plan.children
    shown = sorted({*range(min(SHOWN_CHILDREN, count)), *range(max(0, count - SHOWN_CHILDREN), count)})
    if check and (code := _check(prepared, [arguments(child) for child in shown], template)):
        return code
    if as_json:
        out_json({
            "template": prepared.template.name, "template_version": prepared.version,
            "params": values.read(prepared.params_json), "children": count, "digest": prepared.plan.digest,
            "handler": prepared.template.child.handler,
            "shown": [{"child": child, "args": values.read(arguments(child))} for child in shown],
        })  # fmt: skip
        return 0
    out(f"template    {prepared.template.name}, version {prepared.version[:12]}")
    out(f"parameters  {plain(prepared.params_json, 500)}")
    out(f"handler     {prepared.template.child.handler}")
    if prepared.template.reduce is not None:
        out(f"reduce      {prepared.template.reduce.handler}")
    out(f"children    {count:,}")
    last = -1
    for child in shown:
        if child > last + 1:
            out("      ...")
        out(f"{child:>9,}  {plain(arguments(child))}")
        last = child
    return 0


def try_child(
    template: Template,
    param: Pairs = None,
    params: ParamsFile = None,
    child: Annotated[int, typer.Option(metavar="K", min=0, help="Which child, from 0.")] = 0,
    as_json: Json = False,
) -> int:
    """Run one child in this process, without a log: for a debugger.

    The handler's output and its result go to stdout. Checkpoints are not kept. An error of the handler, or
    of its module while that is imported, is shown with its own traceback, and the exit code is 1.
    """
    from streamsched.worker.context import PAYLOAD_LIMIT
    from streamsched.worker.errors import BadArguments, PayloadTooLarge, ResultNotSerialisable
    from streamsched.worker.payload import write_result

    prepared, arguments = _prepared(template, param or [], params)
    if child >= prepared.plan.children:
        reason = f"there is no child {child}: the task has {prepared.plan.children:,}, counted from 0"
        raise InputError(reason, "choose another", source="--child")
    spec = prepared.template.child
    handler, text = spec.handler, arguments(child)
    function = _found(handler, "child.handler", template)
    if isinstance(function, int):
        return function
    setup = _found(spec.setup, "child.setup", template) if spec.setup else None
    if isinstance(setup, int):
        return setup
    note(f"child {child} of {prepared.plan.children:,}: {handler} {plain(text)}")
    try:
        given = _checked(function, spec, text)
    except BadArguments as error:
        return complain(f"child {child} fails: {type(error).__name__}: {error}", 1)
    returned, failure = _run(function, setup, {"task_id": "try", "child_index": child, "handler": handler}, given)
    if failure is not None:
        return _show(failure, 1)
    try:
        kept = write_result(returned, PAYLOAD_LIMIT)
    except (PayloadTooLarge, ResultNotSerialisable) as error:
        return complain(f"child {child} fails: {type(error).__name__}: {error}", 1)
    result = None if kept is None else values.read(kept)  # as others will see it
    if as_json:
        out_json({"child": child, "result": result})
    else:
        out(whole(result))
    return 0


def _check(prepared: Prepared, texts: list[str], template: Path) -> int:
    """Import what a template names, and hold these arguments of children against the annotations. Raise InputError."""
    from streamsched.domain.splitting import reduce_arguments
    from streamsched.worker.errors import BadArguments

    stages = [("child", prepared.template.child, texts)]
    if prepared.template.reduce is not None:
        reduced = reduce_arguments(prepared.template, values.read(prepared.params_json))
        stages.append(("reduce", prepared.template.reduce, [reduced]))
    for stage, spec, given in stages:
        function = _found(spec.handler, f"{stage}.handler", template)
        setup = _found(spec.setup, f"{stage}.setup", template) if spec.setup else None
        for found in (function, setup):
            if isinstance(found, int):
                return found
        for text in given:
            try:
                _checked(function, spec, text)
            except BadArguments as error:
                remedy = "correct the arguments in the template, or the annotation in the handler"
                raise InputError(str(error), remedy, source=str(template), field=f"{stage}.args") from None
    return 0


def _found(name: str, field: str, template: Path) -> Any:
    """Import a function; return the exit code where its module raises, which is shown. Raise InputError."""
    from streamsched.worker.errors import HandlerNotAllowed, HandlerNotFound
    from streamsched.worker.handlers import Handlers

    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        return Handlers([name.partition(":")[0]]).resolve(name)
    except (HandlerNotFound, HandlerNotAllowed) as error:
        if (failed := _failed_import(error)) is not None:
            return _show(*failed)
        remedy = f"correct {field}, or start where its module can be imported"
        raise InputError(str(error), remedy, source=str(template)) from error


def _checked(function: Any, spec: ChildSpec, text: str) -> dict[str, Any]:
    """Return the arguments of a child as its handler gets them. Raise BadArguments."""
    from streamsched.worker.arguments import arguments_of
    from streamsched.worker.handlers import is_async, not_async

    if spec.concurrency > 1 and not is_async(function):
        raise not_async(spec.handler)
    given: dict[str, Any] = values.read(text)
    check = arguments_of(function)
    return given if check is None else check(given)


def _run(
    function: Any, setup: Any, named: dict[str, Any], args: dict[str, Any]
) -> tuple[object, BaseException | None]:  # fmt: skip
    """Call a handler behind its setup, async or not; return what it returned or raised, SystemExit too."""
    from streamsched.worker.context import ChildContext, LocalTransport
    from streamsched.worker.handlers import is_async

    if not is_async(function) and not (setup is not None and is_async(setup)):
        try:
            if setup is not None:
                setup()
            return function(ChildContext(LocalTransport(), **named), **args), None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return None, error
    import asyncio

    from streamsched.worker.async_context import AsyncChildContext

    async def run() -> tuple[object, BaseException | None]:
        try:
            if setup is not None:
                await setup() if is_async(setup) else setup()
            if not is_async(function):
                return function(ChildContext(LocalTransport(), **named), **args), None
            return await function(AsyncChildContext(LocalTransport(), **named), **args), None
        except asyncio.CancelledError:  # Ctrl-C
            raise
        except BaseException as error:
            return None, error

    return asyncio.run(run())


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


def _prepared(template: Path, pairs: list[str], file: Path | None) -> tuple[Prepared, ChildArguments]:
    from streamsched.files.params_input import load_params
    from streamsched.files.template_file import load_template, prepare

    loaded = load_template(template)
    prepared = prepare(loaded, load_params(loaded, pairs, file), template)
    return prepared, prepared.arguments()
