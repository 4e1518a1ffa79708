"""Logging in an executor: what a module sets up when imported stays, what a handler changes ends with its child."""

from __future__ import annotations

import logging
from typing import Any, Final

FORMAT: Final = "%(levelname)s %(name)s: %(message)s"


class Logs:
    """Sends all logging from INFO on to ``stream``, and puts back what handlers change of that."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._own = logging.StreamHandler(stream)
        logging.basicConfig(level=logging.INFO, handlers=[self._own], format=FORMAT)
        self._root = logging.getLogger()
        self._manager = self._root.manager
        # A new configuration disables all loggers that exist, unless told otherwise: this one shows it.
        self._witness = logging.getLogger("streamsched.worker.witness")
        self._chains: dict[str, list[logging.Logger]] = {}
        self._states: dict[logging.Logger, Any] = {}
        self._keep()

    def restore(self) -> None:
        """Put back the root logger, and what disables others."""
        if self._manager.disable != self._disable:
            logging.disable(self._disable)
        if _state(self._root) != self._state:
            _put_back(self._root, self._state)
        for handler, level, filters in self._handlers:
            if handler.level != level:
                handler.setLevel(level)
            if handler.filters != filters:
                handler.filters = list(filters)
        if self._own.stream is not self._stream:
            self._own.setStream(self._stream)
        if self._witness.disabled:
            for logger in self._loggers():
                logger.disabled = logger.name in self._disabled

    def resolved(self, handler: str) -> None:
        """Put back the loggers of the handler's name. The first time, keep how they and the root logger are."""
        chain = self._chains.get(handler)
        if chain is None:
            self._keep()
            chain = []
            logger: logging.Logger | None = logging.getLogger(handler.replace(":", "."))
            while logger is not None and logger is not self._root:
                chain.append(logger)
                self._states.setdefault(logger, _state(logger))
                logger = logger.parent
            self._chains[handler] = chain
        for logger in chain:
            if _state(logger) != self._states[logger]:
                _put_back(logger, self._states[logger])

    def _keep(self) -> None:
        self._disable = self._manager.disable
        self._state = _state(self._root)
        self._handlers = [(handler, handler.level, list(handler.filters)) for handler in self._root.handlers]
        self._witness.disabled = False
        self._disabled = {logger.name for logger in self._loggers() if logger.disabled}

    def _loggers(self) -> list[logging.Logger]:
        return [found for found in list(self._manager.loggerDict.values()) if isinstance(found, logging.Logger)]


def _state(logger: logging.Logger) -> Any:
    return logger.level, logger.propagate, logger.disabled, list(logger.handlers), list(logger.filters)


def _put_back(logger: logging.Logger, state: Any) -> None:
    level, logger.propagate, logger.disabled, handlers, filters = state
    logger.handlers, logger.filters = list(handlers), list(filters)
    logger.setLevel(level)
