"""What a job begins with: a template, its handler, a test, and the template's schema for editors."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from typing import Final

from streamsched.domain.errors import InputError
from streamsched.files.json_schema import json_schema, schema_text
from streamsched.files.source import read_document

SCHEMA: Final = "streamsched.schema.json"
_TEMPLATE: Final = f"""\
# yaml-language-server: $schema={SCHEMA}
# streamsched run NAME.yaml -p n=1000
name: NAME
params:
  n: {{type: integer, minimum: 0, default: 100, description: how many numbers to work on}}
split:
  range: {{first: 1, last: "${{n}}", size: 10}}
child:
  handler: NAME:work
  args: {{first: "${{child.first}}", last: "${{child.last}}"}}
  timeout: 10m
failure: {{tolerate: 0%}}
"""
_HANDLER: Final = '''\
"""What each child of NAME.yaml does."""

from __future__ import annotations

from streamsched import ChildContext


def work(ctx: ChildContext, first: int, last: int) -> dict[str, int]:
    """Work on the numbers ``first`` to ``last``. After a crash those before the last checkpoint are left out."""
    for number in ctx.resume(range(first, last + 1)):
        print(number)  # your work on one of them; doing it twice must not matter
    return {"count": last - first + 1}
'''
_TEST: Final = '''\
"""NAME.yaml and its handler, in this process. See docs/testing.md of streamsched."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamsched.testing import Cluster, assert_covers, crash_after, run_child

import NAME

TEMPLATE = Path(__file__).with_name("NAME.yaml")
ARGS = {"first": 1, "last": 3}


def numbers(args: dict[str, int]) -> range:
    return range(args["first"], args["last"] + 1)


def test_each_number_is_in_one_child() -> None:
    assert_covers(TEMPLATE, {"n": 25}, part=numbers)


def test_a_child_resumes(capsys: pytest.CaptureFixture[str]) -> None:
    died = run_child(NAME.work, ARGS, crash=crash_after("checkpoint", 2))
    again = run_child(NAME.work, ARGS, resume=died.state, attempt=2)
    assert again.result == {"count": 3}
    assert capsys.readouterr().out.split() == ["1", "2", "3"]


def test_a_task() -> None:
    with Cluster() as cluster:
        task = cluster.submit(TEMPLATE, {"n": 25})
        assert [result["count"] for result in cluster.results(task)] == [10, 10, 5]
'''


def write_job(folder: Path, name: str) -> list[Path]:
    """Write the files of a job; return their paths. Raise InputError, with nothing written, where one is there."""
    _check_name(name)
    texts = {
        f"{name}.yaml": _TEMPLATE.replace("NAME", name),
        f"{name}.py": _HANDLER.replace("NAME", name),
        f"test_{name}.py": _TEST.replace("NAME", name),
    }
    for path in map(folder.joinpath, texts):
        if path.exists() or path.is_symlink():
            raise InputError("is there already", "give another name, or move it away", source=str(path))
    if find_spec(name) is not None:
        reason = f"there is a module {name!r} already, and {name}.py would hide it"
        raise InputError(reason, "give another name", field="NAME")
    schema = folder / SCHEMA
    if schema.exists() and not _is_ours(schema):
        raise InputError("is there already, and is not of 'streamsched init'", "move it away", source=str(schema))
    _write(folder, texts)
    try:
        schema.write_text(schema_text("template"), encoding="utf-8")
    except OSError as error:
        raise _unwritten(schema, error) from None
    return [*map(folder.joinpath, texts), schema]


def _check_name(name: str) -> None:
    if not name.isidentifier() or not name.isascii() or iskeyword(name) or name.startswith("_") or len(name) > 100:
        remedy = "use letters, digits and underscores, a letter first, as in the name of a Python module"
        raise InputError(f"{name[:100]!r} is not the name of a module", remedy, field="NAME")


def _is_ours(path: Path) -> bool:
    value = read_document(path).value
    return isinstance(value, dict) and value.get("title") == json_schema("template")["title"]


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write all of these files, none of which is there, or none of them."""
    written: list[Path] = []
    for path, text in ((folder / name, text) for name, text in texts.items()):
        try:
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
        except OSError as error:
            for each in written:
                each.unlink(missing_ok=True)
            raise _unwritten(path, error) from None


def _unwritten(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot be written ({error.strerror})", "check the folder and your rights", source=str(path))
