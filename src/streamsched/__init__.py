"""streamsched: a distributed scheduler for long work cut into many pieces, event-sourced on Kafka."""

from __future__ import annotations

from streamsched.version import __version__

TYPE_CHECKING = False  # of typing it would cost the start of every command an import
if TYPE_CHECKING:
    from streamsched.api.client import Client as Client
    from streamsched.worker.context import ChildContext as ChildContext

__all__ = ["ChildContext", "Client", "__version__"]


def __getattr__(name: str) -> object:
    # Late, because every command and every executor imports this package.
    if name == "Client":
        from streamsched.api.client import Client

        return Client
    if name == "ChildContext":
        from streamsched.worker.context import ChildContext

        return ChildContext
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
