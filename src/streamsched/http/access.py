"""Who may do what: users with a role, by their tokens. A kind of sign-in is a class with ``user_of``."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from starlette.requests import Request

from streamsched.domain.errors import InputError, NoSuchTask
from streamsched.http.problems import NotAuthenticated, NotPermitted

LONGEST: Final = 1024 * 1024
"""Characters of a file of tokens."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LINE: Final = "write NAME:ROLE:SHA256, or NAME:ROLE:SHA256:TEMPLATE-PREFIX, a line for each token"
logger = logging.getLogger(__name__)


class Role(IntEnum):
    """What users may do; each role may do what those before it may."""

    NONE = 0
    """Not even look: for addresses that answer everybody."""
    VIEWER = 1
    OPERATOR = 2
    """Pause, cancel, redrive, change limits, trigger, backfill."""
    ADMIN = 3
    """Bring new templates and schedules, set records aside."""


@dataclass(frozen=True, slots=True)
class User:
    """Who sends a request. ``within`` bounds what is seen and done to templates whose names begin so."""

    name: str
    role: Role
    within: str = ""

    def need(self, role: Role) -> None:
        """Raise NotPermitted where the user has less than this role."""
        if self.role < role:
            reason = f"{self.name or 'this user'} is {self.role.name.lower()}, and this needs {role.name.lower()}"
            raise NotPermitted(reason, "ask for that role")

    def need_all(self) -> None:
        """Raise NotPermitted where the user is bounded to some templates."""
        if self.within:
            raise NotPermitted(f"{self.name} sees templates that begin with {self.within!r} alone", "use another token")

    def sees(self, template: str) -> bool:
        """Return whether the user may see what is of this template."""
        return template.startswith(self.within)

    def need_template(self, template: str) -> None:
        """Raise NotPermitted where the user may not bring this template."""
        if not self.sees(template):
            self.need_all()

    def need_sight(self, template: str) -> None:
        """Raise NoSuchTask where the user may not see it."""
        if not self.sees(template):
            raise NoSuchTask("it is another's")

    @contextmanager
    def sight(self, what: str) -> Iterator[None]:
        """Have what a bounded user may not see, and what is not there, answered with the same words."""
        try:
            yield
        except NoSuchTask as error:
            if not self.within:
                raise
            raise type(error)(f"no {what} among the templates that begin with {self.within!r}") from None


NOBODY: Final = User("", Role.NONE)


class Flow(Protocol):
    """The sign-in of a browser at another place, from which it comes back with a code."""

    title: str
    """The name of that place, for people."""
    secure: bool
    """Whether cookies are for https alone."""
    lasts_s: float
    """How long a session lasts that begins so, in seconds."""

    async def begin(self, to: str) -> tuple[str, str]:
        """Return the address of the sign-in, and a value to keep; ``to`` is where to go on. Raise HttpError."""

    async def finish(self, kept: str, state: str, code: str, error: str) -> tuple[User, str]:
        """Return who came back with this, and where to go on; ``error`` is in place of a code. Raise HttpError."""


class Access(Protocol):
    """A kind of sign-in."""

    kind: str
    hosts: Collection[str]
    """Names of the server that are known by it."""
    flow: Flow | None

    async def user_of(self, token: str | None, request: Request) -> User:
        """Return who has this bearer token, or sends this request. Raise NotAuthenticated, NotPermitted."""


class Plain:
    """A kind of sign-in that knows no names of the server, and no other place to sign in."""

    hosts: Collection[str] = ()
    flow: Flow | None = None


class Open(Plain):
    """Everybody who can connect may do everything, as with the command line on this machine."""

    kind = "none"

    def __init__(self, name: str) -> None:
        self._user = User(name, Role.ADMIN)

    async def user_of(self, token: str | None, request: Request) -> User:
        """Return the user of this process."""
        return self._user


class Tokens(Plain):
    """Users by the digests of their tokens, from a file that is read again when it changes."""

    kind = "tokens"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._users, self._seen = _read(path), _mark(path)

    async def user_of(self, token: str | None, request: Request) -> User:
        """Return who has this token. Raise NotAuthenticated."""
        self._refresh()
        given = sha256((token or "").encode(errors="replace")).hexdigest()
        found = None
        for digest, user in self._users.items():  # all of them: the time tells nothing
            if hmac.compare_digest(digest, given):
                found = user
        if found is None or not token:
            reason = "the token is not known" if token else "a token is missing"
            raise NotAuthenticated(reason, "send Authorization: Bearer TOKEN")
        return found

    def _refresh(self) -> None:
        mark = _mark(self._path)
        if mark == self._seen:
            return
        self._seen = mark
        try:
            self._users = _read(self._path)
        except InputError as error:
            logger.error("the tokens stay as they were: %s", error)


def _mark(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return found.st_mtime_ns, found.st_size


def _read(path: Path) -> dict[str, User]:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(reason, "give a readable file of tokens", source=str(path)) from None
    if len(text) > LONGEST:  # a line that is cut could give more than it says
        raise InputError(f"it has more than {LONGEST:,} characters", "give a file of tokens", source=str(path))
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, role, digest, within = [*line.strip().split(":", 3), "", "", ""][:4]
        digest = digest.lower()
        if not _NAME.fullmatch(name) or not _DIGEST.fullmatch(digest):
            raise InputError("not a name, a role and a SHA-256 in hex", _LINE, source=str(path), line=number)
        if role.upper() not in Role.__members__ or role.upper() == Role.NONE.name:
            raise InputError(f"unknown role {role!r}", "write viewer, operator or admin", source=str(path), line=number)
        if digest in users:
            raise InputError("the token is there twice", "keep one of its lines", source=str(path), line=number)
        users[digest] = User(name, Role[role.upper()], within)
    if not users:
        raise InputError("there is no token in it", _LINE, source=str(path))
    return users
