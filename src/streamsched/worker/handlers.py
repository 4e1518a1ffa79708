"""Find the function that a template names, in the modules that this worker was told to allow."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from streamsched.worker.errors import HandlerNotAllowed, HandlerNotFound

Handler = Callable[..., Any]
EVERYTHING: Final = "*"
"""Allows every module: for a log that its user alone can write, as the embedded one in a folder of his."""


class Handlers:
    """Resolves ``package.module:function``, once per process.

    A worker runs what a log tells it to, so only modules that equal an allowed name or lie below one are
    imported, and a function counts as its own module's: ``allowed.module:system`` does not reach
    ``os.system``.
    """

    def __init__(self, allow: Sequence[str]) -> None:
        self._allow = tuple(allow)
        self._found: dict[str, Handler] = {}

    def resolve(self, name: str) -> Handler:
        """Return the handler of this name, or raise ``HandlerNotAllowed`` or ``HandlerNotFound``."""
        handler = self._found.get(name)
        if handler is None:
            handler = self._found[name] = self._find(name)
        return handler

    def _find(self, name: str) -> Handler:
        module_name, colon, function = name.partition(":")
        if not (colon and function.isidentifier() and all(p.isidentifier() for p in module_name.split("."))):
            raise HandlerNotFound(f"{name!r} does not name a handler: write package.module:function")
        if not self._allowed(module_name):
            raise HandlerNotAllowed(self._refusal(name, module_name))
        try:
            module = importlib.import_module(module_name)
        except BaseException as error:  # a module may raise anything, SystemExit too, while it is imported
            raise HandlerNotFound(
                f"handler {name}: importing {module_name} failed: {type(error).__name__}: {error}"
            ) from error
        handler: Handler | None = getattr(module, function, None)
        if handler is None:
            raise HandlerNotFound(f"handler {name}: module {module_name} has no {function!r}")
        if not callable(handler):
            raise HandlerNotFound(f"handler {name} is a {type(handler).__name__}, not a function")
        home = getattr(handler, "__module__", None) or ""
        if not self._allowed(home):
            raise HandlerNotAllowed(self._refusal(name, home))
        return handler

    def _allowed(self, module: str) -> bool:
        return EVERYTHING in self._allow or any(module == name or module.startswith(name + ".") for name in self._allow)

    def _refusal(self, name: str, module: str) -> str:
        allowed = ", ".join(self._allow) or "no modules at all"
        return (
            f"handler {name} is from module {module or '(unknown)'}, but this worker allows {allowed}; "
            f"start it with --allow {module or 'MODULE'} to allow it"
        )
