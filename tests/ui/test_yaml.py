"""The reader of templates in the pages reads what the server's reader does, or refuses it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from streamsched.domain.errors import InputError
from streamsched.files.source import read_yaml
from tests.support.needs import node

ROOT = Path(__file__).parents[2]
SCALARS = [
    "", "~", "null", "Null", "NULL", "nUll", "true", "True", "TRUE", "tRue", "false", "False", "FALSE", "yes", "no",
    "on", "off", "y", "a", "a b", "${a}", "10m", "http://x/y#z", "x#y", "x #y", "=", "<", ".", "+", "12:30", "1:2:3",
    "2026-11-29", "1.2.3", "'7'", '"7"', "'it''s'", '"a\\tb\\u00e9\\n"', "''", '""',
    "0", "7", "-7", "+7", "-0", "010", "-010", "1_000", "1__0", "_1", "1_", "-1_0", "0x10", "0o17",
    "9007199254740991", "9007199254740992", "-9007199254740993", "+123456789012345678901234567890",
    "0.5", "-.5", "+.5", ".5", "5e-1", "25E-3", "1e-7", "1.0", "+1.0", "-0.0", "5.", "1e3", "1.5E+1", "1e22", "-1e300",
    "1.5e", "1_0.5", ".5e1x", "e3", ".e3", "1e", ".iNf", "1e-400", "0.1e1",
]  # fmt: skip
NOT_FINITE = ["1e400", "-1e400", ".inf", "-.Inf", "+.INF", ".nan", ".NaN", ".NAN"]
"""No JSON has them."""
PLACES = ["{}\n", "a: {}\n", "- {}\n", "a: [{}]\n", "a: {{b: {}}}\n", "{}: 1\n", "a: {{{}: 1}}\n"]
OWN = """a: |
  x
   y

  z
b: >
  one
  two

  three
c: 'it''s'
e: [1, -2.5, .5, true, null, ~, a b, 'x, y']
f: {a: {b: [c]}, "d e": 1}
g:
- a: 1
  b: 2
- - x
  - y
-
  k: v
k: [
  1, # one
  2
]
l:
m: {}
"1": one
"""


def documents() -> list[str]:
    """Return the templates of the documentation and of the examples."""
    texts = [path.read_text() for path in sorted((ROOT / "examples").glob("*.yaml"))]
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]):
        texts += re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(texts) > 10
    return [*texts, OWN]


def server(text: str) -> str | None:
    """Return what the server reads; None where it refuses."""
    try:
        return json.dumps(read_yaml(text, "x").value, sort_keys=True)
    except InputError:
        return None


def pages(texts: list[str]) -> list[str | None]:
    """Return what the pages read."""
    found = json.loads(node("yaml.check.mjs", given=json.dumps(texts)))
    return [json.dumps(each[0], sort_keys=True) if isinstance(each, list) else None for each in found]


def test_documents_are_read_the_same() -> None:
    texts = documents()
    for text, found in zip(texts, pages(texts), strict=True):
        assert found == server(text), text


def test_scalars_are_read_the_same_wherever_they_stand() -> None:
    texts = [place.format(scalar) for place in PLACES for scalar in SCALARS]
    read = zip(texts, pages(texts), map(server, texts), strict=True)
    assert [each for each in read if each[1] != each[2]] == []


def test_numbers_that_no_json_has_are_refused() -> None:
    texts = [place.format(number) for place in PLACES for number in NOT_FINITE]
    assert set(pages(texts)) == {None}
