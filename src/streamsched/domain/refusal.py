"""Why a template, a variable, a split or a schedule cannot be used: where, for what reason, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from streamsched.domain.errors import WrongInput

FieldPath = tuple[str | int, ...]
_WORD_CHARACTERS: Final = 100
_WORDS: Final = 1_000
_SHOWN: Final = 50


class TemplateError(WrongInput, ValueError):
    """A template, a variable or a split is refused; nothing has been written.

    ``path`` leads to the field in the template file (keys and list positions). ``variable`` is set when a parameter's
    value is wrong, not the template.
    """

    def __init__(
        self, reason: str, remedy: str, *, path: FieldPath = (), template: str = "", variable: str = ""
    ) -> None:
        self.reason = reason
        self.remedy = remedy
        self.path = path
        self.template = template
        self.variable = variable
        super().__init__(self._text())

    def _text(self) -> str:
        where = [f"template {self.template}"] if self.template else []
        if self.variable:
            where.append(f"variable {self.variable}")
        elif self.path:
            where.append(f"field {dotted(self.path)}")
        return f"{', '.join(where) or 'template'}: {self.reason}; {self.remedy}"

    def of(self, template: str) -> TemplateError:
        """Name the template, where the error was found before its name was known."""
        return TemplateError(self.reason, self.remedy, path=self.path, template=template, variable=self.variable)


class ScheduleError(WrongInput, ValueError):
    """A schedule's times are refused. ``path`` leads to the field (keys and list positions), empty for the whole."""

    def __init__(self, reason: str, remedy: str, *, path: FieldPath = ()) -> None:
        self.reason = reason
        self.remedy = remedy
        self.path = path
        super().__init__(f"{dotted(path) or 'schedule'}: {reason}; {remedy}")


@contextmanager
def within(*path: str | int) -> Iterator[None]:
    """Put a path before that of a ScheduleError from inside."""
    try:
        yield
    except ScheduleError as error:
        raise ScheduleError(error.reason, error.remedy, path=(*path, *error.path)) from None


def check_whole(value: object, path: FieldPath, minimum: int, maximum: int = (1 << 63) - 1) -> None:
    """Refuse what is not an integer from ``minimum`` to ``maximum``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        reason = f"must be a whole number, at least {minimum}, not {number_text(value)}"
        raise TemplateError(reason, f"give {minimum} or more", path=path)
    if value > maximum:
        raise TemplateError(f"must be at most {maximum}", f"give {maximum} or less", path=path)


def number_text(value: object) -> str:
    """Write what should be a number."""
    try:
        return repr(value)
    except ValueError:  # Python writes integers of up to 4,300 digits
        return "a number of thousands of digits"


def dotted(path: FieldPath) -> str:
    """Write a path as people do: ``child.args.files[2]``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown word: the nearest known one, or all of them. Long words are not compared."""
    from difflib import get_close_matches  # late: an executor never needs it

    words = sorted(known)
    if len(word) <= _WORD_CHARACTERS and len(words) <= _WORDS:
        near = get_close_matches(word, [each for each in words if len(each) <= _WORD_CHARACTERS], n=1)
        if near:
            return f"did you mean {near[0]}?"
    shown = [each if len(each) <= _WORD_CHARACTERS else f"{each[:_WORD_CHARACTERS]}..." for each in words[:_SHOWN]]
    more = f" and {len(words) - _SHOWN:,} more" if len(words) > _SHOWN else ""
    return f"known here: {', '.join(shown)}{more}" if words else "none is known here, remove it"
