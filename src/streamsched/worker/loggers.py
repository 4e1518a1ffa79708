"""What a child may change of logging, and how that is set back; a part of ``isolation``."""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from typing import Any, Final

_UNTOUCHED: Final = -271828
"""A key in the cache of the root logger: any change of a logger's level empties that cache."""


class Loggers:
    """Levels, handlers and switches of all loggers, and the signs that one was changed."""

    def __init__(self) -> None:
        self._root = logging.getLogger()
        self._manager = self._root.manager
        self._disabled = self._manager.disable
        self._count = len(logging._handlerList)  # type: ignore[attr-defined] # noqa: SLF001 - all handlers there are
        self._noted = {logger: _settings_of(logger) for logger in self._all()}
        self._handlers = list(self._root.handlers)
        self._made_by = logging.getLogRecordFactory(), logging.getLoggerClass(), warnings.showwarning
        self._names = dict(logging._levelToName)  # noqa: SLF001 - there is no public way
        self._cache: dict[int, bool] = getattr(self._root, "_cache", {})
        self._cache[_UNTOUCHED] = True

    def _all(self) -> list[logging.Logger]:
        found = [logger for logger in self._manager.loggerDict.values() if isinstance(logger, logging.Logger)]
        return [self._root, *found]

    def are_untouched(self) -> bool:
        """Look at the signs: what is set through a logger empties a cache of the root's."""
        return (
            _UNTOUCHED in self._cache
            and self._root.handlers == self._handlers
            and len(logging._handlerList) <= self._count  # type: ignore[attr-defined] # noqa: SLF001
            and self._manager._disable == self._disabled  # type: ignore[attr-defined] # noqa: SLF001 - past a property
            and (logging._logRecordFactory, logging._loggerClass, warnings.showwarning) == self._made_by  # type: ignore[attr-defined] # noqa: SLF001
            and logging._levelToName == self._names  # noqa: SLF001
        )

    def set_back(self) -> None:
        """Set back all loggers, also those that came meanwhile."""
        for logger in self._all():
            level, handlers, filters, propagate, disabled = self._noted.get(logger, (0, [], [], True, False))
            for handler in logger.handlers:
                if handler not in handlers:
                    with suppress(Exception):
                        handler.flush()
            logger.handlers[:], logger.filters[:] = handlers, filters
            logger.propagate, logger.disabled = propagate, disabled
            if logger.level != level:
                logger.setLevel(level)
        if self._manager.disable != self._disabled:
            logging.disable(self._disabled)
        factory, kind, show = self._made_by
        logging.setLogRecordFactory(factory)
        logging._loggerClass = kind  # type: ignore[attr-defined] # noqa: SLF001 - setLoggerClass would ask its class
        if warnings.showwarning is not show:
            logging.captureWarnings(False)
            warnings.showwarning = show
        if logging._levelToName != self._names:  # noqa: SLF001
            for level, name in self._names.items():
                logging.addLevelName(level, name)
        self._count = max(self._count, len(logging._handlerList))  # type: ignore[attr-defined] # noqa: SLF001
        self._cache[_UNTOUCHED] = True


def _settings_of(logger: logging.Logger) -> tuple[int, list[logging.Handler], list[Any], bool, bool]:
    return logger.level, list(logger.handlers), list(logger.filters), logger.propagate, logger.disabled
