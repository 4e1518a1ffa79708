"""States and results as JSON text, within their limit."""

from __future__ import annotations

from streamsched.domain import values
from streamsched.worker.errors import PayloadTooLarge, ResultNotSerialisable


def write_state(state: object, limit: int) -> bytes:
    """Write a state. Raise ``values.Refused`` (a TypeError), or ``PayloadTooLarge`` above ``limit`` bytes."""
    return _written(state, "state", "checkpoint", limit)


def write_result(result: object, limit: int) -> str | None:
    """Write what a handler returned. Raise ``ResultNotSerialisable``, or ``PayloadTooLarge`` above ``limit`` bytes."""
    if result is None:
        return None
    try:
        return _written(result, "result", "return", limit).decode()
    except values.Refused as error:
        raise ResultNotSerialisable(str(error)) from None


def _written(value: object, what: str, verb: str, limit: int) -> bytes:
    try:
        return values.write(value, what, limit)
    except values.TooLarge as error:
        raise PayloadTooLarge(
            f"the {what} is {error.size:,} bytes of JSON, above the limit of {limit:,}; "
            f"store it outside and {verb} a reference to it"
        ) from None
