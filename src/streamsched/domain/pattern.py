"""Regular expressions of templates, matched in linear time, so that none can hold up a scheduler.

The engine is the one in pydantic's core (Rust's ``regex``). It knows neither backreferences nor look-around, and its
time is bounded by the size of the pattern times the length of the value. Both are chosen by users, so the product is
bounded here (``WORK_LIMIT``), by a weight that never lies below the size which the engine makes of a pattern.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

WORK_LIMIT: Final = 50_000_000
"""Weight times bytes, for all variables of one task: about half a second at worst."""
COMPILE_WORK: Final = 4_000
"""Work for each weight of a pattern before anything is matched: it has to be compiled."""
_KEPT_WEIGHT: Final = 25
"""Up to this weight a compiled pattern is kept: it has less than a megabyte."""
_TABLE_WEIGHT: Final = 8
"""Of a class for which the engine needs a table of Unicode."""
_CLASS_CHARACTERS: Final = 8
"""So many characters of a class in brackets weigh as much as one outside."""
_TOKEN: Final = re.compile(
    r"(?P<escape>\\(?:[pPxuUb]\{[^}]*\}|.))|(?P<count>\{\s*([0-9]*)\s*(,?)\s*([0-9]*)\s*\})"
    r"|(?P<group>\((?:\?P?<[^>=!]*>)?)|(?P<other>.)",
    re.DOTALL,
)
_TOO_LARGE: Final = (
    "with its repetitions written out it is too large; limit lengths with minLength and maxLength, and write "
    "[A-Za-z0-9_] for \\w"
)
_COMMENTED: Final = re.compile(r"\(\?[A-Za-z-]*x")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class PatternError(ValueError):
    """A pattern cannot be used; the text says why."""


def check(pattern: str) -> None:
    """Raise PatternError for what is not a regular expression, or cannot be matched in linear time."""
    if weigh(pattern) * COMPILE_WORK > WORK_LIMIT:
        raise PatternError(_TOO_LARGE)
    _compiled(pattern)


def work_of(pattern: str, value: str) -> int:
    """Return an upper bound of the work of matching a value, in the unit of ``WORK_LIMIT``. Raise PatternError."""
    return weigh(pattern) * (COMPILE_WORK + len(value.encode(errors="replace")))


def matches(pattern: str, value: str) -> bool:
    """Return whether the pattern is found in the value, with U+FFFD for lone surrogates. Raise PatternError."""
    return _compiled(pattern).isinstance_python(_SURROGATE.sub("\ufffd", value))


@lru_cache(maxsize=16)
def weigh(pattern: str) -> int:
    """Bound the size of a pattern with its repetitions written out. Raise PatternError for what has no such bound."""
    if _COMMENTED.search(pattern):
        raise PatternError("the flag x is not known here; write it without spaces and comments")
    groups, last, place, text = [0], 0, 0, ""
    while found := _TOKEN.match(pattern, place):
        place, before, text = found.end(), text, found[0]
        if text == "+" and before[-1:] in ("*", "+", "?", "}") and len(before) != 2:
            raise PatternError("possessive repetitions (a++) are not supported")
        if found["count"]:
            times = max(1, *(_count(digits) for digits in (found[3], found[5])))
            groups[-1] += last * (times - (0 if found[4] and not found[5] else 1))
            last *= times
        elif text == "{":
            raise PatternError("a { begins a repetition such as {2,5}; write \\{ for the sign")
        elif found["group"]:
            groups.append(0)
            last = 0
        elif text == ")" and len(groups) > 1:
            last = groups.pop() + 1
            groups[-1] += last
        elif text not in ("*", "+", "?"):
            if text == "[":
                last, place = _weigh_class(pattern, place)
            else:
                last = _TABLE_WEIGHT if text[:2] in ("\\w", "\\W", "\\p", "\\P", "\\b", "\\B") else 1
            groups[-1] += last
    return sum(groups)


def _count(digits: str) -> int:
    return 0 if not digits else int(digits) if len(digits) < 8 else 10_000_000


def _weigh_class(pattern: str, place: int) -> tuple[int, int]:
    """Weigh the class in brackets that begins before ``place``; also find its end. Classes may stand in classes."""
    begin, depth, table, fresh = place, 1, False, True
    while depth and (found := _TOKEN.match(pattern, place)):
        text = found[0] if found["escape"] else pattern[place]
        place += len(text)
        if text == "]" and not fresh:
            depth -= 1
        elif text == "[":
            depth += 1
        table = table or text[:2] in ("\\w", "\\W", "\\p", "\\P")
        # The first sign of a class may be a ] that belongs to it.
        fresh = text == "[" or (fresh and text in ("^", "-"))
    return (_TABLE_WEIGHT if table else 1) + (place - begin) // _CLASS_CHARACTERS, place


def _compiled(pattern: str) -> SchemaValidator:
    return _kept(pattern) if weigh(pattern) <= _KEPT_WEIGHT else _compile(pattern)


def _compile(pattern: str) -> SchemaValidator:
    from pydantic_core import SchemaError, SchemaValidator, core_schema  # late: few templates have a pattern

    if _SURROGATE.search(pattern):
        raise PatternError("it holds half of a character (a lone surrogate)")
    # Python's name of the end of a text; the engine has the other languages' one.
    known = re.sub(r"\\(.)", lambda pair: r"\z" if pair[1] == "Z" else pair[0], pattern, flags=re.DOTALL)
    try:
        return SchemaValidator(core_schema.str_schema(strict=True, pattern=known, regex_engine="rust-regex"))
    except SchemaError as error:
        text = str(error)
        if "size limit" in text:
            raise PatternError(_TOO_LARGE) from None
        reason = text.rpartition("error: ")[2] if "error: " in text else "it cannot be compiled"
        raise PatternError(" ".join(reason.split())[:200]) from None


_kept = lru_cache(maxsize=64)(_compile)
