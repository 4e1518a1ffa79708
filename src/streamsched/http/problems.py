"""Errors as problem documents (RFC 9457): those of the domain in their own words, and those that HTTP alone has."""

from __future__ import annotations

import inspect
import logging
import re
from typing import ClassVar, Final

from starlette.responses import Response

from streamsched.domain.errors import InputError, StreamschedError
from streamsched.domain.visible import visible
from streamsched.http.encoding import encode
from streamsched.queries.documents import Document

MEDIA_TYPE: Final = "application/problem+json"
PAGES: Final = "/v1/errors/"
logger = logging.getLogger(__name__)


class Fault(Document, frozen=True):
    """What is wrong at one place of the body (a JSON pointer), or with one parameter or header."""

    pointer: str
    detail: str


class Problem(Document, frozen=True):
    """An error. ``type`` is its page, ``hint`` what to do about it, ``exit_code`` that of the command line."""

    type: str
    title: str
    status: int
    detail: str
    hint: str = ""
    exit_code: int = 1
    errors: tuple[Fault, ...] = ()


class ErrorPage(Document, frozen=True):
    """What an error means, wherever it is told."""

    name: str
    status: int
    exit_code: int
    meaning: str


class HttpError(StreamschedError):
    """An error that HTTP alone has."""

    exit_code = 2
    http_status = 400
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, reason: str, remedy: str, pointer: str | None = None) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy
        self.pointer = pointer


class BadRequest(HttpError):
    """The request cannot be read."""


class NotAuthenticated(HttpError):
    """The request does not say who sends it, or the token is not known."""

    http_status = 401
    headers: ClassVar = {"WWW-Authenticate": 'Bearer realm="streamsched"'}


class NotPermitted(HttpError):
    """Who sends the request may not do this."""

    http_status = 403


class NoSuchPage(HttpError):
    """There is nothing at this address."""

    exit_code = 4
    http_status = 404


class NoSuchMethod(HttpError):
    """What is at this address does not take this method."""

    http_status = 405


class TooSlow(HttpError):
    """The body did not arrive in time."""

    http_status = 408
    headers: ClassVar = {"Connection": "close"}


class StalePosition(HttpError):
    """The task has changed since the position that If-Match names, or may have."""

    exit_code = 1
    http_status = 412


class TooLarge(HttpError):
    """The body has too many bytes."""

    http_status = 413
    headers: ClassVar = {"Connection": "close"}


class WrongMediaType(HttpError):
    """The body is of a type that is not taken here."""

    http_status = 415


class WrongContent(HttpError):
    """The body, or a parameter, has fields or values that are not taken here."""

    http_status = 422


class NotReady(HttpError):
    """The server cannot do this now: it folds the journal, the log does not answer, too many streams, or it ends."""

    exit_code = 3
    http_status = 503
    headers: ClassVar = {"Retry-After": "1"}


class Behind(HttpError):
    """The server has not read the journal up to the position that is asked for."""

    exit_code = 3
    http_status = 503
    headers: ClassVar = {"Retry-After": "1"}


class PastNotReady(HttpError):
    """What a task was like is being worked out from its events: the next request goes on with that."""

    exit_code = 3
    http_status = 503
    headers: ClassVar = {"Retry-After": "1"}


class CertificateNotReady(HttpError):
    """The certificate of the task is being made, or another one is: ask again until it is there."""

    exit_code = 3
    http_status = 503
    headers: ClassVar = {"Retry-After": "1"}


class IssuerAway(HttpError):
    """The issuer, which knows the users, does not answer as it must."""

    exit_code = 3
    http_status = 503
    headers: ClassVar = {"Retry-After": "5"}


class Unexpected(StreamschedError):
    """The server has failed; its log says more."""


def problem_of(error: BaseException) -> tuple[Problem, dict[str, str]]:
    """Return the document of an error, and headers; one that is not streamsched's own is logged, and told by name."""
    if not isinstance(error, StreamschedError):
        logger.error("unexpected %s", type(error).__name__, exc_info=error)
        error = Unexpected(f"unexpected {type(error).__name__}; the server's log says more")
    kind = type(error)
    remedy = getattr(error, "remedy", "")
    problem = Problem(
        type=PAGES + kind.code(),
        title=_meaning(kind),
        status=kind.http_status,
        detail=visible(str(error)),
        hint=visible(remedy),
        exit_code=kind.exit_code,
        errors=_faults(error),
    )
    return problem, dict(getattr(error, "headers", {}))


def problem_answer(error: BaseException) -> Response:
    """Answer with the problem document of an error."""
    told, headers = problem_of(error)
    return Response(encode(told), told.status, headers, media_type=MEDIA_TYPE)


def pages() -> dict[str, ErrorPage]:
    """Return what each error means, by its name in addresses."""
    return {
        kind.code(): ErrorPage(kind.__name__, kind.http_status, kind.exit_code, inspect.getdoc(kind) or "")
        for kind in StreamschedError.kinds()
    }


def _faults(error: StreamschedError) -> tuple[Fault, ...]:
    if isinstance(error, HttpError) and error.pointer is not None:
        return (Fault(error.pointer, visible(error.reason)),)
    if isinstance(error, InputError) and (error.field or error.source):
        within = f"/{error.source}" if error.source in ("template", "schedule") else ""
        place = within + _pointer(error.field) if error.field else error.source.removeprefix("--")
        return (Fault(place, visible(error.reason)),)
    return ()


def _pointer(field: str) -> str:
    """Return the JSON pointer of a path such as ``child.args.files[2]``; what is none is left as it is."""
    if not re.fullmatch(r"[\w.\[\]-]+", field):
        return visible(field)
    return "/" + "/".join(re.findall(r"[^.\[\]]+", field))


def _meaning(kind: type[BaseException]) -> str:
    return (inspect.getdoc(kind) or kind.__name__).split("\n\n")[0].replace("\n", " ").removesuffix(".")
