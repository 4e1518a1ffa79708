"""Put on PYTHONPATH by the chaos runner: while a file is there, a worker stays in its next transaction with records."""

import os
import time
from pathlib import Path
from typing import Any

from streamsched.log.kafka import writer

_asked = Path(os.environ["CHAOS_HOLD"])
_producer: Any = vars(writer)["Producer"]


class _Held(_producer):  # type: ignore[misc]
    _wrote = False

    def produce(self, *arguments: Any, **options: Any) -> Any:
        self._wrote = True
        return super().produce(*arguments, **options)

    def commit_transaction(self, *arguments: Any) -> Any:
        while self._wrote and _asked.exists():
            _asked.with_suffix(".held").touch()
            time.sleep(0.01)
        self._wrote = False
        return super().commit_transaction(*arguments)


vars(writer)["Producer"] = _Held
