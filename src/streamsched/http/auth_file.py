"""The file of a kind of sign-in, YAML or JSON: read into a struct, each mistake told with its line and field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from streamsched.domain import duration
from streamsched.domain.errors import InputError
from streamsched.domain.refusal import suggest
from streamsched.domain.visible import is_visible
from streamsched.files.source import read_document
from streamsched.http.bodies import located
from streamsched.http.grants import Grant
from streamsched.installation.secret_files import read_secret

S = TypeVar("S", bound=Struct)
PAGE: Final = "see docs/http.md"


class AuthFile(Generic[S]):
    """A file that was read: ``given`` is what it holds. Paths in it are relative to its folder."""

    def __init__(self, path: Path, kind: type[S]) -> None:
        self._path = path
        self._document = read_document(path)
        if not isinstance(self._document.value, dict):
            raise self.refuse((), "must be an object", f"write name: value lines; {PAGE}")
        try:
            self.given: S = msgspec.convert(self._document.value, kind)
        except msgspec.ValidationError as error:
            raise self._misfit(error, kind) from None

    def refuse(self, place: tuple[str | int, ...], reason: str, remedy: str) -> InputError:
        """Return the error for one field."""
        return self._document.refuse(place, reason, remedy)

    def beside(self, path: str) -> Path:
        """Return a path that the file names."""
        return self._path.parent / path

    def check_name(self, place: tuple[str | int, ...], text: str | None, remedy: str) -> None:
        """Raise InputError for a text that is blank, or cannot be shown; None is no text."""
        if text is not None and (not text.strip() or not is_visible(text)):
            raise self.refuse(place, "is not a name", remedy)

    def secret(self, field: str, path: str, *, least: int = 1) -> str:
        """Read the secret of a file that is named in this field: visible ASCII without blanks. Raise InputError."""
        found = read_secret(self.beside(path), field.removesuffix("_file"), f"{self._path}: {field}")
        if not re.fullmatch(r"[!-~]+", found) or len(found) < least:
            reason = f"the secret in {path} is not {least} characters of ASCII or more, without blanks"
            raise self.refuse((field,), reason, "make another one, as with: openssl rand -hex 32")
        return found

    def seconds(self, field: str, value: str | float, least: float, most: float) -> float:
        """Read a duration within bounds, in seconds. Raise InputError."""
        found = duration.read(value)
        if found is None or not least * 1000 <= found <= most * 1000:
            bounds = f"{duration.write(round(least * 1000))} to {duration.write(round(most * 1000))}"
            raise self.refuse((field,), f"{value!r} is not a duration of {bounds}", f"write one, as {field}: 1m")
        return found / 1000

    def grants(self, roles: Sequence[Grant], *, has_groups: bool, field: str) -> tuple[Grant, ...]:
        """Check the lines of roles; ``field`` is the one that tells where groups come from. Raise InputError."""
        if not roles:
            raise self.refuse(("roles",), "there is no role in it", "write - {group: NAME, role: viewer}")
        for number, grant in enumerate(roles):
            place = ("roles", number)
            if grant.group is not None and grant.user is not None:
                raise self.refuse(place, "is for a group and for a user", "keep one of them")
            if grant.group is not None and not has_groups:
                raise self.refuse((*place, "group"), f"no groups are known without {field}", f"write {field} too")
            self.check_name((*place, "group"), grant.group, "write the name that is sent")
            self.check_name((*place, "user"), grant.user, "write the name that is sent")
            if number and roles[number - 1].group is roles[number - 1].user is None:
                reason = "is behind a line for everybody, which decides before it"
                raise self.refuse(place, reason, "put the line without group and user last")
        return tuple(roles)

    def _misfit(self, error: msgspec.ValidationError, kind: type[S]) -> InputError:
        reason, place = located(error)
        known = [each.encode_name for each in msgspec.structs.fields(Grant if place[:1] == ("roles",) else kind)]
        missing = re.search(r"missing required field `(.*)`", reason)
        if missing:
            return self.refuse((*place, missing[1]), "is missing", f"write it; {PAGE}")
        if "unknown field" in reason:
            return self.refuse(place, "is not a field here", suggest(str(place[-1]), known))
        return self.refuse(place, f"does not fit: {reason[:1].lower()}{reason[1:]}", f"correct it; {PAGE}")
