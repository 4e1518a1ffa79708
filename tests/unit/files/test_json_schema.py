"""The JSON Schemas of both kinds of files against what reads them: never stricter, and as strict as a schema can be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from streamsched.domain.calendar.spec import ScheduleSpec
from streamsched.domain.errors import InputError
from streamsched.files import schedule_file, template_model
from streamsched.files.json_schema import KINDS, json_schema
from streamsched.files.schedule_file import want_schedule
from streamsched.files.source import read_document, read_yaml
from streamsched.files.template_file import load_template
from tests.support.json_schema import CHECKS, Checker
from tests.unit.commands.schedule_case import TEMPLATE as JOB
from tests.unit.domain.test_schedule_spec import WRONG as WRONG_TIMES
from tests.unit.files.test_template_file import GOOD, LIST, PROGRAM, WRONG

ROOT: Final = Path(__file__).parents[3]
TEMPLATES: Final = Checker(json_schema("template"))
SCHEDULES: Final = Checker(json_schema("schedule"))
BEYOND: Final = {
    "101%", "minimum: 5, maximum: 4", '  s: {type: string, pattern: "("}\n  n: {',
    'list: {items: "${n}"}', 'grid: {axes: {a: "${n}"}}', 'grid: {axes: {a: ["${m}"]}}', 'size: "${files}"',
    'last: "${m}"', "up to ${nn}", "${child.frst}", "${child.item}", "${child.first", "${a b}", '    "${n}":',
    "dates: {start: 2024-02-30, end: 2025-01-01}", "dates: {start: 0024-01-01, end: 2025-01-01}",
    "dates: {start: 2024-01-01, end: 2025-01-01, zone: Europe/Berln}",
    'size: "${min(n, m)}"', 'size: "${max(n, files)}"', "${min(n, 2)}",
    'by: jobs:pieces\n  args: {a: "${m}"}', "list: {items: [a]}\n  args: {a: 1}", "list: {items: [a]}\n  timeout: 1m",
    "list: {items: [a]}\n  retry: {}", "files: {glob: a, count: 1, bytes: 1MB}", 'bytes: {files: "${m}"}',
    "command: [a]\n  concurrency: 5", "command: [a]\n  setup: a:b",
    ".nan", "9223372036854775808", "²m:f",
    'command: [""]', 'command: ["${n}"]', PROGRAM[1], f'command: ["{"x" * 999}"]', 'command: [x, "a\\0"]',
    'command: [x]\n  env: {A: "${child.frst}"}', 'command: [x]\n  env: {STREAMSCHED_A: ""}',
    'command: [x]\n  cwd: "${nn}"', 'command: ["x ${HOME}"]\n  shell: true', "  env: {A: b}\n  args:",
}  # fmt: skip
"""What is written in the rows of wrong templates that only the reader finds: other fields, other words, other files."""
BEYOND_TIMES: Final = re.compile(
    r"cron(\[1\])?(\.\w+)?: (?!is empty|5 is)|zone: there|interval\.\w+: \d|calendars: never"
    r"|end: is before|end: '2026-02|start: is not between|schedule: never|exclude\.cron"
)
"""The same for times: what a cron string says, which zones there are, what comes of fields together."""
GOOD_TEMPLATES: Final = [
    ("params:", "labels: {team: data, zone.a/b: '\"1\"'}\nparams:"),
    ("params:", "deadline: 6h\nparallelism: 50\nrate: 100/s\nparams:"),
    ("params:", "deadline: 0\nparallelism: 0\nrate:\nparams:"),
    ("", ""),
    ("split:\n", "split:\n  list:\n  grid: null\n"),
    ("params:", "schedule:\nparams:"),
    ("minimum: 1", "minimum: , maxLength: , pattern: , items: "),
    ("minimum: 1", "minimum: 0.5, maximum: 9, description: what, enum: [1, 2], default: 1"),
    ("  n: {", "  s: {type: string, minLength: 1, maxLength: 9, pattern: a, default: a}\n  n: {"),
    ("  n: {", "  x: {type: number, default: 1}\n  o: {type: object, default: {}}\n  b: {type: boolean}\n  n: {"),
    ("default: []", "default: [a], minLength: 1"),
    ("tolerate: 1%", "tolerate: 5"),
    ("tolerate: 1%", "tolerate: 0.57%\n  on: run_all"),
    ("tolerate: 1%", "tolerate: {count: 5, percent: }"),
    ("tolerate: 1%", "tolerate: {percent: 99.5}"),
    ("failure:\n  tolerate: 1%", "failure: {}"),
    ("failure:\n  tolerate: 1%", "failure: {rules: [{error: m.E, message: x, do: fail}, {reason: timeout, do: skip}]}"),
    ("failure:\n  tolerate: 1%", "failure: {rules: [{error: , exit_code: , message: , reason: error, do: retry}]}"),
    ("timeout: 10m", "timeout: 0"),
    ("timeout: 10m", "timeout: 0.5"),
    ("timeout: 10m", "timeout: 1d2h3m4.5s"),
    ("max_attempts: 4", "max_attempts: 0\n    max_interval: 500ms\n    non_retryable: [OSError]"),
    ("max_attempts: 4", "reset_on_progress: true"),
    ("backoff: 2.0", "backoff: 3"),
    ("package.module:function", "module:façade"),
    ("timeout: 10m", "concurrency: 50\n  setup: jobs:warm\n  reuse: 1000\n  memory: 2GB"),
    ("timeout: 10m", "concurrency: 1\n  setup:\n  reuse: 0\n  memory: 67108864"),
    ("timeout: 10m", "memory: 1.5 GiB"),
    ("failure:\n", "reduce: {handler: 'a:b', setup: 'a:c', reuse: 1, memory: 0}\nfailure:\n"),
    ('size: "${chunk}"', 'size: "${ceil_div( n,chunk )}"'),
    LIST,
    (PROGRAM[0], 'command: ["./x", "${child.first}", "${files}"]\n  env: {A: "${n}"}\n  cwd: "in/${n}"'),
    (PROGRAM[0], 'handler:\n  command: ["x $HOME"]\n  shell: true\n  exit_codes: {"75": retry, "3": fail}'),
    (PROGRAM[0], "handler: a:b\n  command:\n  env: {}\n  cwd: ''\n  shell: false\n  exit_codes: {}"),
    (LIST[0], 'list: {items: "${files}"}'),
    (LIST[0], "list: '@list.txt'"),
    (LIST[0], "list: {items: '@list.txt', size: '${n}'}"),
    (LIST[0], "by: jobs:pieces\n  args: {n: '${n}'}\n  timeout: 5m\n  retry: {max_attempts: 2}"),
    (LIST[0], "by: jobs:pieces\n  args:\n  retry:"),
    (LIST[0], "lines: {file: '${n}.txt', size: 100, empty: true, verify: false}"),
    (LIST[0], "files: {glob: 'in/**/*.png', count: '${chunk}'}"),
    (LIST[0], "files: {glob: '${files}', bytes: 1.5 GiB}"),
    (LIST[0], "files: {glob: [a, 's3://b/*'], bytes: 1000}"),
    (LIST[0], "bytes: {files: [big.jsonl], size: 64MB, format: jsonl}"),
    (LIST[0], "bytes: {files: a.csv, format: csv, one_line: true}"),
    (LIST[0], 'grid: {axes: {a: [1], b: {first: 1, last: "${n}"}, c: "${files}"}, size: "${n}"}'),
    (LIST[0], "dates: {start: 2024-01-01, end: 2025-01-01T06:00:00Z, every: week, zone: Europe/Berlin}"),
    (LIST[0], 'dates: {start: "${files}", end: "20${n}-01-01", every: "${n}", zone: "${n}"}'),
]  # fmt: skip
TIMES: Final = "cron: 0 2 * * *\n"
GOOD_SCHEDULES: Final = [
    f"{TIMES}template: job.yaml\n",
    f"schedule:\n  {TIMES}  template: job.yaml\n",
    f"{JOB}schedule:\n  {TIMES}  priority: 5\n",
    f"{TIMES}template:\n" + "".join(f"  {line}\n" for line in JOB.splitlines()),
    f"{TIMES}template: job.yaml\nparams: {{n: 2}}\npriority: -1\noverlap: buffer_all\ncatchup_window: 1h\n"
    "max_catchup_runs: 0\nlimited_runs: 7\npause_on_failure: true\njitter: 30s\n",
    "cron: ['@daily', '@every 5m']\ncalendars: [{hour: [3, 4], day_of_week: MON-FRI}, {day_of_week: 7}]\ninterval: 90\n"
    "exclude: {cron: '* * 24 12 *', calendars: {month: 8}}\n"
    "start: 2026-01-01T00:00:00Z\nend: 2199-01-01T01:00:00.5+01:00\n"
    "gap: shift\nfold: both\nday_match: or\ntemplate: job.yaml\n",
    "interval: [15m/3m, {every: 1h, phase: 60}]\ntemplate: job.yaml\n",
]
WRONG_SCHEDULES: Final = [
    TIMES,
    f"schedule:\n  {TIMES}",
    "template: job.yaml\n",
    f"{JOB}schedule:\n  {TIMES}  template: job.yaml\n",
    f"{JOB}schedule:\n",
    f"{JOB}schedule:\n  priority: 1\n",
    f"{TIMES}template: 5\n",
    f"{TIMES}template: {{}}\n",
    f"{TIMES}template: job.yaml\nparms: {{}}\n",
    f"{TIMES}template: job.yaml\nparams: [1]\n",
    *(f"{TIMES}template: job.yaml\npriority: {value}\n" for value in ("high", "1.5", "true", 2**31)),
    *(f"{TIMES}template: job.yaml\n{line}\n" for line in (
        "overlap: never", "catchup_window: soon", "max_catchup_runs: 10001", "limited_runs: -1", "pause_on_failure: 1",
    )),
    "[]",
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), GOOD_TEMPLATES, ids=str)
def test_a_good_template_is_as_its_schema_says(old: str, new: str, tmp_path: Path) -> None:
    assert old in GOOD
    path = tmp_path / "good.yaml"
    path.write_text(GOOD.replace(old, new, 1).replace("${child.first}", "${child.index}"))
    load_template(path)
    value = read_document(path).value
    assert TEMPLATES.accepts(value)


def test_the_examples_are_as_their_schema_says() -> None:
    found = [*ROOT.glob("examples/*.yaml")]
    assert found
    assert all(TEMPLATES.accepts(read_document(path).value) for path in found)


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.new.strip()[:40] or "empty")
def test_a_wrong_template_is_found_where_a_schema_can_know(case: Any) -> None:
    try:
        value = read_yaml(GOOD.replace(case.old, case.new, 1), "wrong.yaml").value
    except InputError:
        assert case.new not in BEYOND  # it is not even YAML
        return
    assert TEMPLATES.accepts(value) == (case.new in BEYOND)


@pytest.mark.parametrize(("value", "message"), WRONG_TIMES, ids=str)
def test_wrong_times_are_found_where_a_schema_can_know(value: Any, message: str) -> None:
    whole = {**value, "template": "job.yaml"} if isinstance(value, dict) else value
    assert SCHEDULES.accepts(whole) == bool(BEYOND_TIMES.match(message))


@pytest.mark.parametrize("text", GOOD_SCHEDULES + WRONG_SCHEDULES)
def test_a_schedule_is_read_where_its_schema_says_so(text: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    path = tmp_path / "nightly.yaml"
    path.write_text(text)
    try:
        want_schedule(path, now=0)
    except InputError:
        assert text in WRONG_SCHEDULES
    else:
        assert text in GOOD_SCHEDULES
    assert SCHEDULES.accepts(read_document(path).value) == (text in GOOD_SCHEDULES)


def test_the_schedules_of_the_docs_are_as_their_schema_says() -> None:
    texts = [(ROOT / name).read_text() for name in ("README.md", "docs/schedules.md")]
    blocks = [block for text in texts for block in re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]
    values: list[Any] = [read_yaml(block, "docs").value for block in blocks]
    found = [value.get("schedule", value) for value in values if {"cron", "schedule", "calendars"} & value.keys()]
    assert len(found) > 2
    assert all(SCHEDULES.accepts({"template": "job.yaml", **value}) for value in found)


def test_canonical_times_are_as_their_schema_says() -> None:
    for text in GOOD_SCHEDULES[4:]:
        value: Any = read_yaml(text, "good.yaml").value
        spec = ScheduleSpec.from_mapping({name: value[name] for name in schedule_file.TIMES if name in value})
        assert SCHEDULES.accepts({**json.loads(spec.to_json()), "template": "job.yaml"})


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_names_every_field_and_is_closed(kind: str) -> None:
    schema = json_schema(kind)
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    template = schema["$defs"]["template"]
    for path, fields in template_model._OBJECTS.items():
        place = template
        for name in path:
            inner = place.get("items", place.get("additionalProperties"))
            place = inner if name == "*" else place["properties"][str(name)]
            place = next((each for each in place.get("anyOf", ()) if "properties" in each), place)
        assert set(place["properties"]) == {str(field.get("validation_alias", name)) for name, field in fields.items()}
        assert place["additionalProperties"] is False
        assert all(shape for name, shape in place["properties"].items() if path[:1] == ("split",)), path
    names = {*schedule_file.TIMES, *schedule_file.POLICY, *schedule_file.TASKS}
    assert set(schema["$defs"]["schedule"]["properties"]) == names
    assert set(schema["$defs"]["schedule_of_template"]["properties"]) == names - {"template"}


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (1, {"type": "string"}), (True, {"type": "integer"}), (1, {"enum": [True, "1"]}), (1, {"const": 2}),
        (1, {"not": {"type": "number"}}), (1, {"anyOf": [{"const": 2}]}), (1, {"oneOf": [{}, {}]}),
        (1, {"allOf": [{}, {"const": 2}]}), (1, {"if": {}, "then": {"const": 2}}),
        (1, {"if": {"const": 2}, "else": {"const": 2}}), ({"a": 1}, {"properties": {"a": {"const": 2}}}),
        ({"a": 1}, {"additionalProperties": False}), ({"a": 1}, {"additionalProperties": {"const": 2}}),
        ({"a": 1}, {"propertyNames": {"const": "b"}}), ({}, {"required": ["a"]}), ({}, {"minProperties": 1}),
        ([1], {"items": {"const": 2}}), ([], {"minItems": 1}), (1, {"minimum": 2}), (3, {"maximum": 2}),
        ("a", {"pattern": "b"}), ("", {"minLength": 1}), (1, {"$ref": "#"}),
    ],
    ids=str,
)  # fmt: skip
def test_each_word_of_the_checker_can_refuse(value: object, schema: dict[str, Any]) -> None:
    root = {"$defs": {"none": {"not": {}}}, "$ref": "#/$defs/none"} if "$ref" in schema else schema
    assert not Checker(root).accepts(value)
    idle = {"$schema", "$defs", "title", "description", "default", "format", "then", "else"}
    assert schema.keys() <= CHECKS.keys() - idle | {"then", "else"}
