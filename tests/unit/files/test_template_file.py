"""Wrong template files, one row each: the line, the field, and what the message must say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from streamsched.domain.errors import InputError
from streamsched.domain.policy import FailurePolicy, RetryPolicy
from streamsched.domain.refusal import TemplateError
from streamsched.domain.splitters.lists import ListSplit
from streamsched.domain.splitters.ranges import RangeSplit
from streamsched.domain.template import ChildSpec, Param, Template
from streamsched.files.template_file import load_template
from streamsched.files.template_model import duration_ms

EXAMPLES = Path(__file__).parents[3] / "examples"
GOOD = """\
name: good
params:
  n: {type: integer, minimum: 1}
  chunk: {type: integer, default: 10}
  files: {type: array, items: string, default: []}
split:
  range:
    first: 1
    last: "${n}"
    size: "${chunk}"
child:
  handler: package.module:function
  args:
    first: "${child.first}"
    note: "up to ${n}"
  timeout: 10m
  heartbeat: 30s
  retry:
    max_attempts: 4
    backoff: 2.0
failure:
  tolerate: 1%
"""
HANDLER = "handler: package.module:function"
LIST = ('range:\n    first: 1\n    last: "${n}"\n    size: "${chunk}"', "list: {items: [a, b], size: 2}")
PROGRAM = ("handler: package.module:function", 'command: [x, "${m}"]')


@dataclass(frozen=True, slots=True)
class Wrong:
    """The good text with ``old`` replaced by ``new``: refused at ``line`` and ``field``, saying ``said``."""

    old: str
    new: str
    line: int | None
    field: str
    said: tuple[str, ...]


def wrong(old: str, new: str, line: int | None, field: str, *said: str) -> Wrong:
    return Wrong(old, new, line, field, said)


WRONG = [
    # limits
    wrong("params:", "deadline: soon\nparams:", 2, "deadline", "'soon' is not a duration"),
    wrong("params:", "parallelism: -1\nparams:", 2, "parallelism", "must be a whole number, at least 0"),
    wrong("params:", "parallelism: 9999999999\nparams:", 2, "parallelism", "must be at most"),
    wrong("params:", "rate: 100\nparams:", 2, "rate", "must be a string"),
    wrong("params:", "rate: 0/s\nparams:", 2, "rate", "'0/s' is not a rate"),
    # labels
    wrong("params:", "labels: {team: 1}\nparams:", 2, "labels.team", "must be a string"),
    wrong("params:", "labels: [a]\nparams:", 2, "labels", "must be an object"),
    wrong("params:", 'labels: {team: ""}\nparams:', 2, "labels.team", "must be a text"),
    wrong("params:", "labels: {-a: b}\nparams:", 2, "labels", "'-a' is not a name of a label"),
    # keys
    wrong("params:", "parms:", 2, "parms", "unknown key parms", "did you mean params?"),
    wrong("minimum:", "minimun:", 3, "params.n.minimun", "did you mean minimum?"),
    wrong("    first: 1", "    fist: 1", 8, "split.range.fist", "did you mean first?"),
    wrong("handler:", "handlr:", 12, "child.handlr", "did you mean handler?"),
    wrong("backoff:", "back_of:", 20, "child.retry.back_of", "did you mean backoff?"),
    wrong("1%", "{count: 1, prcent: 2}", 22, "failure.tolerate.prcent", "did you mean percent?"),
    wrong(HANDLER, "command: [a]\n  concurrency: 5", 13, "child.concurrency", "for a handler"),
    wrong(HANDLER, "command: [a]\n  setup: a:b", 13, "child.setup", "for a handler", "remove it"),
    wrong("timeout: 10m", "concurrency: 0", 16, "child.concurrency", "at least 1"),
    wrong("timeout: 10m", "concurrency: 1001", 16, "child.concurrency", "at most 1000"),
    wrong("timeout: 10m", "setup: warm", 16, "child.setup", "write package.module:function"),
    wrong("timeout: 10m", "setup: jobs:_warm", 16, "child.setup", "private"),
    wrong("timeout: 10m", "reuse: -1", 16, "child.reuse", "at least 0"),
    wrong("timeout: 10m", "memory: much", 16, "child.memory", "'much' is not a size", "write 512MiB, 2GB or"),
    wrong("timeout: 10m", "memory: 1000000", 16, "child.memory", "needs some 64 MiB", "give more"),
    wrong("failure:\n", "reduce: {handler: 'a:b', concurrency: 5}\nfailure:\n", 21, "reduce.concurrency", "unknown"),
    wrong("name: good\n", "", 1, "name", "is missing", "add it"),
    wrong("params:", '"a\\e[1m\\nb":', 2, "a\x1b[1m\nb", r"unknown key a\x1b[1m\nb; known here"),
    wrong("params:", "p" * 900 + ":", 2, "p" * 900, "unknown key ppp", "...; known here"),
    wrong("  handler: package.module:function\n", "", 11, "child.handler", "is missing"),
    wrong("    last: \"${n}\"\n", "", 7, "split.range.last", "is missing"),
    wrong("name: good", "name: good\nname: other", 2, "name", "occurs twice (first in line 1)", "remove one"),
    wrong("    note:", "    first:", 15, "child.args.first", "occurs twice (first in line 14)"),
    wrong("name: good", "1: good", 1, "", "key 1 is not a string", "quotes"),
    wrong("name: good", "? [a]\n: good", 1, "", "is not a string"),
    # types
    wrong("name: good", "name: 5", 1, "name", "must be a string, not 5", "quotes"),
    wrong("name: good", "name: \"a b\"", 1, "name", "is not a name", "letters, digits"),
    wrong("max_attempts: 4", "max_attempts: \"4\"", 19, "child.retry.max_attempts",
          "a whole number, not '4'"),
    wrong("max_attempts: 4", "max_attempts: -1", 19, "child.retry.max_attempts", "at least 0, not -1"),
    wrong("backoff: 2.0", "backoff: 0.5", 20, "child.retry.backoff", "from 1 to 1000", "not 0.5"),
    wrong("backoff: 2.0", "non_retryable: ValueError", 20, "child.retry.non_retryable", "a list", "[a, b]"),
    wrong("backoff: 2.0", "non_retryable: [OSError, 1]", 20, "child.retry.non_retryable[1]", "a string, not 1"),
    wrong("max_attempts: 4", "max_attempts: true", 19, "child.retry.max_attempts", "a whole number, not True"),
    wrong("backoff: 2.0", "backoff: true", 20, "child.retry.backoff", "a number, not True"),
    wrong("{type: integer, minimum: 1}", "", 3, "params.n", "an object, not empty"),
    wrong("{type: integer, minimum: 1}", "{type: integer, enum: 1}", 3, "params.n.enum", "a list, not 1"),
    wrong("  tolerate: 1%", "  - 1", 21, "failure", "an object, not a list"),
    wrong("backoff: 2.0", "reset_on_progress: yes", 20, "child.retry.reset_on_progress", "true or false"),
    wrong("    first: \"${child.first}\"\n    note: \"up to ${n}\"", "    - 1", 13, "child.args",
          "an object, not a list"),
    wrong("timeout: 10m", "timeout: 10 minutes", 16, "child.timeout", "is not a duration", "1h30m"),
    wrong("timeout: 10m", "timeout: -5", 16, "child.timeout", "-5 is not a duration"),
    wrong("heartbeat: 30s", "heartbeat: 12:30", 17, "child.heartbeat", "'12:30' is not a duration"),
    wrong("1%", "some", 22, "failure.tolerate", "neither a count nor a percentage", "5", "1%"),
    wrong("1%", "101%", 22, "failure.tolerate", "not between 0% and 100%"),
    wrong("1%", "0.5", 22, "failure.tolerate", "whole number", "not 0.5"),
    wrong("1%", "{percent: -1}", 22, "failure.tolerate.percent", "from 0 to 100", "not -1"),
    # params
    wrong("{type: integer, minimum: 1}", "{type: integr}", 3, "params.n.type", "'integr' is not a type",
          "integer?"),
    wrong("{type: integer, minimum: 1}", "{minimum: 1}", 3, "params.n.type", "is missing"),
    wrong("default: 10", "default: ten", 4, "params.chunk.default", '"ten" is not an integer'),
    wrong("default: 10", "default: ", 4, "params.chunk.default", "null is not a value", "required"),
    wrong("minimum: 1", "minLength: 1", 3, "params.n.minLength", "no meaning", "type string or array"),
    wrong("minimum: 1", "minimum: 5, maximum: 4", 3, "params.n.minimum", "minimum 5 is above maximum 4"),
    wrong("minimum: 1", "minimum: one", 3, "params.n.minimum", "'one' is not a number"),
    wrong("items: string", "items: text", 5, "params.files.items", "'text' is not a type"),
    wrong("default: []", "default: [1]", 5, "params.files.default", "entry 0, 1, is not a string"),
    wrong("  n: {", "  child: {type: string}\n  n: {", 3, "params.child", "not a variable name", "reserved"),
    wrong("  n: {", "  s: {type: string, pattern: \"(\"}\n  n: {", 3, "params.s.pattern",
          "not a regular expression"),
    wrong("  n: {", "  s: {type: string, enum: [1]}\n  n: {", 3, "params.s.enum[0]", "1 is not a string"),
    # splitters
    wrong("  range:", "  ranje:", 7, "split.ranje", "unknown splitter ranje", "did you mean range?"),
    wrong("split:\n", "split:\n  list: {items: [1]}\n", 6, "split", "two splitters", "keep one"),
    wrong(LIST[0], "{}", 6, "split", "there is no splitter", "range, list, grid, dates, lines, files, bytes, topic"),
    wrong(LIST[0], "list: {items: \"${n}\"}", 7, "split.list.items", "type integer, not array"),
    wrong(LIST[0], "list: {items: \"x${n}\"}", 7, "split.list.items", "a list or one placeholder"),
    wrong(LIST[0], "grid: {axes: {}}", 7, "split.grid.axes", "at least one axis", "name: [a, b]"),
    wrong(LIST[0], "grid: {axes: [1]}", 7, "split.grid.axes", "at least one axis"),
    wrong(LIST[0], "grid: {axes: {a b: [1]}}", 7, "split.grid.axes.a b", "not a name"),
    wrong(LIST[0], "grid: {axes: {a: 1}}", 7, "split.grid.axes.a", "a list, a range or one placeholder"),
    wrong(LIST[0], "grid: {axes: {a: \"${n}\"}}", 7, "split.grid.axes.a", "type integer, not array"),
    wrong(LIST[0], "grid: {axes: {a: {first: 1}}}", 7, "split.grid.axes.a", "first and last, and nothing else"),
    wrong(LIST[0], "grid: {axes: {a: {first: 1, last: x}}}", 7, "split.grid.axes.a.last", "nor one placeholder"),
    wrong(LIST[0], "grid: {axes: {a: [\"${m}\"]}}", 7, "split.grid.axes.a[0]", "${m} is unknown in split"),
    wrong(LIST[0], "grid: {axes: {a: [1]}, size: 0}", 7, "split.grid.size", "at least 1, not 0"),
    wrong(LIST[0], "dates: {start: 2024-02-30, end: 2025-01-01}", 7,
          "split.dates.start", "'2024-02-30' is not a time"),
    wrong(LIST[0], "dates: {start: 2024, end: 2025-01-01}", 7,
          "split.dates.start", "must be a text, not 2024"),
    wrong(LIST[0], "dates: {start: 2024-01-01, end: tomorrow}", 7,
          "split.dates.end", "'tomorrow' is not a time"),
    wrong(LIST[0], "dates: {start: 0024-01-01, end: 2025-01-01}", 7,
          "split.dates.start", "from 1900 to 2198"),
    wrong(LIST[0], "dates: {start: 2024-01-01, end: 2025-01-01, every: days}", 7,
          "split.dates.every", "did you mean day?"),
    wrong(LIST[0], "dates: {start: 2024-01-01, end: 2025-01-01, zone: Europe/Berln}", 7,
          "split.dates.zone", "did you mean Europe/Berlin"),
    wrong(LIST[0], "dates: {start: 2024-01-01}", 7, "split.dates.end", "is missing"),
    wrong(LIST[0], "by: jobs", 7, "split.by", "not an import path", "package.module:function"),
    wrong(LIST[0], "by: jobs:_pieces", 7, "split.by", "is private"),
    wrong(LIST[0], "by: {function: jobs:pieces}", 7, "split.by", "must be a string, not an object"),
    wrong(LIST[0], "by: jobs:pieces\n  args: {a: \"${m}\"}", 8, "split.args.a", "${m} is unknown in split"),
    wrong(LIST[0], "list: [a]\n  args: {a: 1}", 7, "split.list", "an object, not a list"),
    wrong(LIST[0], "list: {items: [a]}\n  args: {a: 1}", 8, "split.args", "no meaning for list: it is for by"),
    wrong(LIST[0], "list: {items: [a]}\n  timeout: 1m", 8, "split.timeout", "the scheduler cuts it itself"),
    wrong(LIST[0], "list: {items: [a]}\n  retry: {}", 8, "split.retry", "the scheduler cuts it itself"),
    wrong(LIST[0], "by: jobs:pieces\n  retry: {backoff: 0}", 8, "split.retry.backoff", "from 1 to 1000"),
    wrong(LIST[0], "by: jobs:pieces\n  timeout: soon", 8, "split.timeout", "is not a duration"),
    wrong(LIST[0], "lines: {file: 5}", 7, "split.lines.file", "must be a path, not 5"),
    wrong(LIST[0], "lines: {file: a, size: 0}", 7, "split.lines.size", "at least 1, not 0"),
    wrong(LIST[0], "lines: {file: a, folder: b}", 7, "split.lines.folder", "unknown key folder"),
    wrong(LIST[0], "files: {glob: []}", 7, "split.files.glob", "not 1 to 1,000", "a pattern"),
    wrong(LIST[0], "files: {glob: [a, 5]}", 7, "split.files.glob[1]", "must be a path, not 5"),
    wrong(LIST[0], "files: {glob: a, count: 1, bytes: 1MB}", 7, "split.files.bytes", "stands beside count"),
    wrong(LIST[0], "files: {glob: a, count: 0}", 7, "split.files.count", "at least 1, not 0"),
    wrong(LIST[0], "files: {glob: a, bytes: 64 apples}", 7, "split.files.bytes", "'64 apples' is not a size", "64MB"),
    wrong(LIST[0], "files: {glob: a, verify: 1}", 7, "split.files.verify", "true or false"),
    wrong(LIST[0], "bytes: {files: a, size: 0}", 7, "split.bytes.size", "at least 1, not 0"),
    wrong(LIST[0], "bytes: {files: a, format: json}", 7, "split.bytes.format", "did you mean jsonl?"),
    wrong(LIST[0], "bytes: {files: \"${m}\"}", 7, "split.bytes.files", "${m} is unknown in split"),
    wrong("size: \"${chunk}\"", "size: 0", 10, "split.range.size", "at least 1, not 0"),
    wrong("size: \"${chunk}\"", "size: \"${chunk}0\"", 10, "split.range.size", "nor one placeholder"),
    wrong("size: \"${chunk}\"", "size: \"${files}\"", 10, "split.range.size", "type array, not integer"),
    wrong("    first: 1", "    first: 1.5", 8, "split.range.first", "whole number", "1.5"),
    # functions
    wrong("size: \"${chunk}\"", "size: \"${ceil_dv(n, 2)}\"", 10, "split.range.size", "ceil_dv is not a function",
          "did you mean ceil_div?"),
    wrong("size: \"${chunk}\"", "size: \"${min(n)}\"", 10, "split.range.size", "takes two values, not 1"),
    wrong("size: \"${chunk}\"", "size: \"${min(n, 1.5)}\"", 10, "split.range.size", "'1.5' is neither an integer"),
    wrong("size: \"${chunk}\"", "size: \"${min(max(1, n), 2)}\"", 10, "split.range.size", "'max(1' is neither"),
    wrong("size: \"${chunk}\"", "size: \"${min(n, m)}\"", 10, "split.range.size", "${m} is unknown in split"),
    wrong("size: \"${chunk}\"", "size: \"${max(n, files)}\"", 10, "split.range.size", "type array, not integer"),
    wrong("size: \"${chunk}\"", "size: \"1${min(n, 2)}\"", 10, "split.range.size", "not a placeholder"),
    wrong("up to ${n}", "${min(n, 2)}", 15, "child.args.note", "${min(n, 2)} is not a placeholder"),
    # placeholders
    wrong("last: \"${n}\"", "last: \"${m}\"", 9, "split.range.last", "${m} is unknown in split",
          "chunk, files, n"),
    wrong("last: \"${n}\"", "last: \"${child.last}\"", 9, "split.range.last", "unknown in split"),
    wrong("up to ${n}", "up to ${nn}", 15, "child.args.note", "${nn} is unknown", "did you mean n?"),
    wrong("${child.first}", "${child.frst}", 14, "child.args.first", "did you mean child.first?"),
    wrong("${child.first}", "${child.item}", 14, "child.args.first", "with a range splitter"),
    wrong("${child.first}", "${child.first", 14, "child.args.first", "not closed", "$${"),
    wrong("${child.first}", "${a b}", 14, "child.args.first", "${a b} is not a placeholder"),
    wrong("    note:", "    \"${n}\":", 15, "child.args.${n}", "key ${n} holds a placeholder"),
    wrong("\"up to ${n}\"", ".nan", 15, "child.args.note", "not a JSON number"),
    wrong("\"up to ${n}\"", "9223372036854775808", 15, "child.args.note", "beyond 64 bits"),
    # handler
    wrong("package.module:function", "package.module", 12, "child.handler", "import path",
          "module:function"),
    wrong("package.module:function", "package/module.py:function", 12, "child.handler", "import path"),
    wrong("package.module:function", "../x:f", 12, "child.handler", "import path"),
    wrong("package.module:function", "m:Class.method", 12, "child.handler", "not a function of a module"),
    wrong("package.module:function", "m:_hidden", 12, "child.handler", "private", "without an underscore"),
    wrong("package.module:function", "m:__init__", 12, "child.handler", "private"),
    wrong("package.module:function", "²m:f", 12, "child.handler", "import path"),
    wrong("package.module:function", "[a]", 12, "child.handler", "must be a string, not a list"),
    # programs
    wrong("handler: package.module:function", "command: ./x", 12, "child.command", "must be a list, not './x'"),
    wrong("handler: package.module:function", "command: []", 12, "child.command", "there is no program", "[PROGRAM,"),
    wrong("handler: package.module:function", 'command: [""]', 12, "child.command", "there is no program"),
    wrong("handler: package.module:function", "command: [x, 5]", 12, "child.command[1]", "must be a string, not 5"),
    wrong("handler: package.module:function", 'command: ["${n}"]', 12, "child.command[0]", "${n} holds a placeholder"),
    wrong(*PROGRAM, 12, "child.command[1]", "${m} is unknown in child.command with a range splitter"),
    wrong(PROGRAM[0], 'command: [x]\n  env: {A: "${child.frst}"}', 13, "child.env.A", "did you mean child.first?"),
    wrong(PROGRAM[0], 'command: [x]\n  env: {A: 5}', 13, "child.env.A", "must be a string, not 5", "quotes"),
    wrong(PROGRAM[0], 'command: [x]\n  env: {"A-B": ""}', 13, "child.env.A-B", "is not a name of a variable"),
    wrong(PROGRAM[0], 'command: [x]\n  env: {STREAMSCHED_A: ""}', 13, "child.env.STREAMSCHED_A", "is reserved"),
    wrong(PROGRAM[0], 'command: [x]\n  cwd: "${nn}"', 13, "child.cwd", "${nn} is unknown in child.cwd"),
    wrong(PROGRAM[0], "command: [x]\n  shell: 1", 13, "child.shell", "must be true or false"),
    wrong(PROGRAM[0], 'command: [x]\n  exit_codes: {"0": fail}', 13, "child.exit_codes.0", "is not an exit code"),
    wrong(PROGRAM[0], 'command: [x]\n  exit_codes: {"256": fail}', 13, "child.exit_codes.256", "is not an exit code"),
    wrong(PROGRAM[0], 'command: [x]\n  exit_codes: {3: fail}', 13, "child.exit_codes", "key 3 is not a string"),
    wrong(PROGRAM[0], 'command: [x]\n  exit_codes: {"3": stop}', 13, "child.exit_codes.3", "write retry or fail"),
    wrong("  args:", "  command: [x]\n  args:", 13, "child.command", "handler and command are both given", "keep one"),
    wrong("  args:", "  env: {A: b}\n  args:", 13, "child.env", "env is for a command, and there is none"),
    wrong("  args:", "  comand: [x]\n  args:", 13, "child.comand", "did you mean command?"),
    wrong(PROGRAM[0], f'command: ["{"x" * 999}"]', 12, "child.command", "has 1,001 characters, the limit is 1,000"),
    wrong(PROGRAM[0], 'command: [x, "a\\0"]', 12, "child.command", "without the character NUL"),
    wrong(PROGRAM[0], 'command: ["x ${HOME}"]\n  shell: true', 12, "child.command[0]", "${HOME} is unknown in"),
    # YAML
    wrong("  range:", "\trange:", 7, "", "a tab in the indentation", "spaces"),
    wrong("name: good", "name: [good", 2, "", "not valid YAML"),
    wrong("name: good", "name: &x good", 1, "name", "&x", "anchors and aliases are not allowed"),
    wrong("name: good", "name: *x", 1, "name", "*x", "anchors and aliases are not allowed"),
    wrong("name: good", "name: !!python/name:os.system x", 1, "name", "tag", "remove it"),
    wrong("name: good", "name: !x good", 1, "name", "tag !x", "remove it"),
    wrong("  tolerate: 1%\n", "  tolerate: 1%\n---\na: b\n", 23, "", "second document", "---"),
    wrong("up to ${n}", "\x07", 15, "", "control character '\\x07'"),
    wrong("\"up to ${n}\"", "[" * 60 + "]" * 60, 15, "child.args.note[0]", "more than 50 levels", "flatter"),
    wrong(GOOD, "[" * 100_000, 1, "[0][0][0][0]", "more than 50 levels"),
    wrong(GOOD, "a: " + "{b: " * 100_000, 1, "a.b.b.b", "more than 50 levels"),
    wrong(GOOD, "", None, "", "is empty", "docs/template.md"),
    wrong(GOOD, "# nothing\n", 1, "", "must be an object, not empty"),
    wrong(GOOD, "[a]", 1, "", "must be an object, not a list"),
    wrong(GOOD, "just words", 1, "", "must be an object"),
    wrong(GOOD, "a: b\n" * 300_000, None, "", "larger than 1 MiB", "paths"),
]  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.new.strip()[:40] or "empty")
def test_a_wrong_file_is_refused_at_its_line(case: Wrong, tmp_path: Path) -> None:
    assert case.old in GOOD
    path = tmp_path / "wrong.yaml"
    path.write_text(GOOD.replace(case.old, case.new, 1), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_template(path)
    error = caught.value
    message = str(error)
    assert (error.line, error.field) == (case.line, case.field), message
    for words in case.said:
        assert words in message
    place = f"{path}:{case.line}: " if case.line else f"{path}: "
    assert message.startswith(place)
    assert message.isprintable()
    assert len(message) < 1000
    assert error.reason
    assert error.remedy


def test_the_good_text_of_the_table_is_good(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD, encoding="utf-8")
    assert load_template(path).name == "good"


def test_a_file_is_read_anew_once_it_has_changed_and_belongs_to_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path("some.yaml")
    text = "name: {}\nsplit: {{lines: {{file: a.txt, size: 1}}}}\nchild: {{handler: m:f}}\n"
    found = []
    for folder, name in (("a", "one"), ("a", "two"), ("b", "two")):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        path.write_text(text.format(name), encoding="utf-8")
        template = load_template(path)
        found.append((template.name, getattr(template.split, "folder", None)))
    assert found == [("one", str(tmp_path / "a")), ("two", str(tmp_path / "a")), ("two", str(tmp_path / "b"))]


def test_a_bom_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_template(path).name == "good"


def test_chunks_have_no_single_item(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(GOOD.replace(*LIST).replace("${child.first}", "${child.item}"), encoding="utf-8")
    with pytest.raises(InputError, match=r"list\.yaml:11: child\.args\.first: child\.item is for chunks of size 1"):
        load_template(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: good\nother: \xff\n", ":2: is not UTF-8 (byte 0xff); save it as UTF-8"),
        (GOOD.encode("utf-16"), ":1: is not UTF-8"),
    ],
)
def test_other_encodings_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_template(path)
    assert said in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        load_template(tmp_path)
    with pytest.raises(InputError, match="there is no such file; check the path"):
        load_template(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        load_template(Path("\0"))


def test_a_file_of_50_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    with pytest.raises(InputError, match="larger than 1 MiB"):
        load_template(path)


def test_the_first_of_several_mistakes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(GOOD.replace("backoff", "bakoff").replace("minimum", "minimun"), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_template(path)
    assert caught.value.line == 3


def test_the_lines_of_the_reference_are_true(tmp_path: Path) -> None:
    reference = (EXAMPLES.parent / "docs" / "template.md").read_text(encoding="utf-8")
    said = []
    for case in WRONG:
        path = tmp_path / "job.yaml"
        path.write_text(GOOD.replace(case.old, case.new, 1), encoding="utf-8")
        with pytest.raises(InputError) as caught:
            load_template(path)
        said.append(str(caught.value).replace(str(path), "job.yaml"))
    lines = [line for line in reference.splitlines() if line.startswith("job.yaml:")]
    assert len(lines) > 5
    assert [line for line in lines if line not in said] == []


def test_scalars_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    args = "{a: no, b: 12:30, c: 010, d: 1_000, e: 2026-01-01, f: true, g: 1e3, h: '5', i: ~, j: 0x10}"
    text = GOOD.replace('\n    first: "${child.first}"\n    note: "up to ${n}"', f" {args}")
    path.write_text(text, encoding="utf-8")
    assert load_template(path).child.args == {
        "a": "no", "b": "12:30", "c": 10, "d": 1000, "e": "2026-01-01", "f": True, "g": 1000.0, "h": "5",
        "i": None, "j": "0x10",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [("500ms", 500), ("30s", 30_000), ("10m", 600_000), ("1h30m", 5_400_000), ("1d", 86_400_000),
     ("1.5s", 1500), ("1m500ms", 60_500), (30, 30_000), (0.25, 250), (0, 0)],
)  # fmt: skip
def test_durations(written: object, milliseconds: int) -> None:
    assert duration_ms(written) == milliseconds


@pytest.mark.parametrize(
    "written", ["", "10", "m", "1m1h", "-1s", "1 s", True, None, 0.0001, "9999d", float("nan"), 10**400, float("inf")]
)
def test_wrong_durations(written: object) -> None:
    with pytest.raises(TemplateError, match="is not a duration"):
        duration_ms(written)


def test_print_numbers_is_what_the_design_says() -> None:
    assert load_template(EXAMPLES / "print-numbers.yaml") == Template(
        name="print-numbers",
        params={
            "n": Param(type="integer", minimum=1),
            "chunk": Param(type="integer", minimum=1, default=1000),
        },
        split=RangeSplit(first=1, last="${n}", size="${chunk}"),
        child=ChildSpec(
            handler="streamsched.examples.numbers:print_numbers",
            args={"first": "${child.first}", "last": "${child.last}"},
            timeout_ms=600_000,
            heartbeat_ms=30_000,
            retry=RetryPolicy(max_attempts=4, initial_interval_ms=1000, backoff=2.0),
        ),
        failure=FailurePolicy(percent=0.0),
    )


def test_the_reference_shows_print_numbers() -> None:
    reference = (EXAMPLES.parent / "docs" / "template.md").read_text(encoding="utf-8")
    _, sample = (EXAMPLES / "print-numbers.yaml").read_text(encoding="utf-8").split("\n", 1)
    assert f"```yaml\n{sample}```" in reference


def test_checksum_files_cuts_a_list() -> None:
    template = load_template(EXAMPLES / "checksum-files.yaml")
    assert template.split == ListSplit(items="${files}")
    assert template.child.handler == "streamsched.examples.checksum:sha256_file"
    assert template.child.args == {"path": "${child.item}"}
