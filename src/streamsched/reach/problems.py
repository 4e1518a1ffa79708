"""The errors that a server answers, as those that the same command raises on the log itself."""

from __future__ import annotations

from http import HTTPStatus
from importlib import import_module
from typing import Final

from msgspec import MsgspecError, Struct

from streamsched.domain.errors import StreamschedError, Unavailable
from streamsched.domain.visible import visible
from streamsched.log.port import LogUnreachable
from streamsched.queries.documents import read

_HOMES: Final = ("commands.hold", "commands.limits", "commands.redrive", "commands.request", "commands.schedules",
                 "domain.refusal", "domain.selector", "log.codec", "queries.certificate")  # fmt: skip
"""Modules, below ``streamsched``, of the errors that a server may answer."""
_OF_SERVERS: Final = "streamsched.http."
"""Errors of this package are never made here: whether it is imported must not matter."""
_LONGEST: Final = 5_000
_GATEWAY: Final = (502, 503, 504)
WAIT: Final = ("not-ready", "behind")
"""Problems that pass by themselves: the request is sent again."""


class ServerUnreachable(LogUnreachable):
    """The server does not answer, or not yet."""


class WrongServer(Unavailable):
    """The answer is not one of a streamsched server, or of one of another version."""


class ServerRefused(StreamschedError):
    """The server refuses the request with an error that has no class here. Exit code and status are the server's."""

    remedy = ""
    code_told = ""


class Problem(Struct, frozen=True):
    """What is read of a problem document."""

    type: str
    detail: str
    hint: str = ""
    exit_code: int = 1

    @property
    def code(self) -> str:
        """The name of the error."""
        return self.type.rpartition("/")[2]


def problem_of(media_type: str, data: bytes) -> Problem | None:
    """Read a problem document; None for anything else."""
    if media_type != "application/problem+json":
        return None
    try:
        return read(data, Problem)
    except (MsgspecError, ValueError, RecursionError):
        return None


def error_of(server: str, status: int, problem: Problem | None) -> StreamschedError:
    """Return the error to raise: of the class that the problem names, with the problem's text."""
    if problem is None:
        return _unknown(server, status)
    if status == HTTPStatus.UNAUTHORIZED:
        text = f"{server} does not know who asks: {problem.detail}"
        return _refused(f"{text}: put a token into STREAMSCHED_TOKEN", status, problem)
    if problem.code in WAIT:
        return ServerUnreachable(visible(f"{server}: {problem.detail}"[:_LONGEST]))
    for home in _HOMES:
        import_module(f"streamsched.{home}")
    for kind in StreamschedError.kinds():
        if kind.code() == problem.code and not kind.__module__.startswith(_OF_SERVERS):
            return _made(kind, problem)
    return _refused(problem.detail, status, problem)


def _made(kind: type[StreamschedError], problem: Problem) -> StreamschedError:
    """Make an error without its own constructor, which would add to the text: the detail is already the whole."""
    text, remedy = visible(problem.detail[:_LONGEST]), visible(problem.hint[:_LONGEST])
    error = kind.__new__(kind, text)
    Exception.__init__(error, text)
    told = {"reason": text.removesuffix(remedy).removesuffix("; ") if remedy else text, "remedy": remedy}
    error.__dict__.update(told, source="", line=None, field="")
    return error


def _refused(text: str, status: int, problem: Problem) -> ServerRefused:
    error = ServerRefused(visible(text[:_LONGEST]))
    error.__dict__.update(exit_code=problem.exit_code, http_status=status, code_told=problem.code)
    error.remedy = visible(problem.hint[:_LONGEST])
    return error


def _unknown(server: str, status: int) -> StreamschedError:
    name = HTTPStatus(status).phrase if status in {each.value for each in HTTPStatus} else "unknown"
    if status in _GATEWAY:
        return ServerUnreachable(f"{server} does not answer: what stands before it says {status} ({name}); try again")
    remedy = "check STREAMSCHED_SERVER and what stands before the server"
    return WrongServer(f"{server} says {status} ({name}), and not as a server of streamsched does; {remedy}")
