"""Find the function that a template names, in the modules that this worker was told to allow."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, Final

from streamsched.domain.routing import COMMAND, EVERYTHING, allows, requirement_of
from streamsched.worker.errors import BadArguments, HandlerNotAllowed, HandlerNotFound, describe

Handler = Callable[..., Any]
_YIELDS: Final = 0x20
_LAZY: Final = {
    _YIELDS: ("a generator", "return a list"),
    0x200: ("an async generator", "write an async function that returns a list"),
}
"""What only returns an object when it is called, by the flag of its code (as in ``inspect``), and what to do."""
_ASYNC: Final = 0x80
AGAIN_S: Final = 1.0
"""Seconds before a module that could not be imported is tried again, or as many as it took to fail."""


class Handlers:
    """Resolves ``package.module:function``, once per process.

    A worker runs what a log tells it to, so a module is imported only where its name is allowed (``domain.routing``),
    and a function counts as its own module's: ``allowed.module:system`` does not reach ``os.system``. What a package
    exports from the modules below it is its own.
    """

    def __init__(self, allow: Sequence[str]) -> None:
        self._allow = tuple(allow)
        self._found: dict[tuple[str, bool], Handler] = {}
        self._failed: dict[str, tuple[float, str]] = {}
        """Until when a module is not tried again, and why."""

    def resolve(self, name: str, *, yields: bool = False) -> Handler:
        """Return the handler of this name, or raise ``HandlerNotAllowed`` or ``HandlerNotFound``.

        With ``yields`` it may be a generator: a function that splits.
        """
        handler = self._found.get((name, yields))
        if handler is None:
            handler = self._found[name, yields] = self._find(name, yields)
        return handler

    def _find(self, name: str, yields: bool) -> Handler:
        module_name, colon, function = name.partition(":")
        if not (colon and function.isidentifier() and all(p.isidentifier() for p in module_name.split("."))):
            raise HandlerNotFound(f"{name!r} does not name a handler: write package.module:function")
        if function.startswith("_"):
            raise HandlerNotFound(f"handler {name}: a name that begins with an underscore is private, and no handler")
        if not self._allowed(module_name):
            raise HandlerNotAllowed(refusal(name, module_name, self._allow))
        module = self._import(name, module_name)
        handler: Handler | None = getattr(module, function, None)
        handler = getattr(handler, "__streamsched_handler__", handler)  # of a job, its function
        if handler is None:  # perhaps an older copy of it
            raise HandlerNotFound(f"handler {name}: module {module_name} has no {function!r}", lack="import")
        if isinstance(handler, type) or not callable(handler):
            what = "a class" if isinstance(handler, type) else f"a {type(handler).__name__}"
            raise HandlerNotFound(f"handler {name} is {what}, not a function")
        body = body_of(handler)
        flags = body.__code__.co_flags if isinstance(body, FunctionType) else 0
        for flag, (what, remedy) in _LAZY.items():
            if flags & flag and not (yields and flag == _YIELDS):
                raise HandlerNotFound(f"handler {name} is {what}, whose body would not run: {remedy}")
        home = getattr(body, "__module__", None)
        home = home if isinstance(home, str) else ""
        if not (self._allowed(home) or home.startswith(f"{module_name}.")):
            raise HandlerNotAllowed(refusal(name, home, self._allow))
        return handler

    def _allowed(self, module: str) -> bool:
        return EVERYTHING in self._allow or allows(self._allow, module)

    def _import(self, name: str, module_name: str) -> ModuleType:
        until, why = self._failed.get(module_name, (0.0, ""))
        begun = time.monotonic()
        if begun < until:
            raise HandlerNotFound(why, lack="import")
        if why:
            importlib.invalidate_caches()  # its file may be there by now
        try:
            module = importlib.import_module(module_name)
        except BaseException as error:  # a module may raise anything, SystemExit too, while it is imported
            report = describe(error)
            why = f"handler {name}: importing {module_name} failed: {report.error_type}: {report.message}"
            ended = time.monotonic()
            self._failed[module_name] = (ended + max(AGAIN_S, ended - begun), why)
            raise HandlerNotFound(why, lack="import") from error
        self._failed.pop(module_name, None)
        return module


def body_of(handler: Handler) -> Any:
    """Return the function of a handler that is a ``partial``; else the handler."""
    return handler.func if isinstance(handler, partial) else handler


def function_of(handler: Handler) -> FunctionType | None:
    """Return the function that is called: of an object the one that it stands for, or its ``__call__``."""
    body = body_of(handler)
    if not isinstance(body, FunctionType):
        body = getattr(body, "__wrapped__", None) or type(body).__dict__.get("__call__")
    return body if isinstance(body, FunctionType) else None


def is_async(handler: Handler) -> bool:
    """Return whether a handler is an ``async def``."""
    function = function_of(handler)
    return function is not None and bool(function.__code__.co_flags & _ASYNC)


def not_async(name: str) -> BadArguments:
    """Return the error of a plain handler that is to run beside others."""
    return BadArguments(
        f"child.concurrency is for async handlers, and {name} is a plain function: "
        "write it as async def, or remove concurrency"
    )


def refusal(handler: str, module: str, allow: Sequence[str]) -> str:
    """Return the message for a handler whose module, or a program that, is not allowed."""
    if handler.startswith(COMMAND):
        needed, allowed = requirement_of(handler), ", ".join(allow) or "nothing"
        return f"this worker allows {allowed}, but not {needed.name}; start it with {needed.option} to allow it"
    allowed = ", ".join(allow) or "no modules at all"
    return (
        f"handler {handler} is from module {module or '(unknown)'}, but this worker allows {allowed}; "
        f"start it with --allow {module or 'MODULE'} to allow it"
    )
