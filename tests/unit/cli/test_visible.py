"""What others wrote is shown, and obeyed by no terminal, wherever it is shown."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from streamsched.cli.log_lines import Lines
from streamsched.cli.printing import columns, whole
from streamsched.cli.watch_commands import _table
from streamsched.commands.request import check_task_id
from streamsched.domain import events as e
from streamsched.domain.errors import InputError
from streamsched.domain.ids import EventIds
from streamsched.domain.visible import is_visible, visible
from streamsched.files.schedule_file import _check_id
from streamsched.installation.settings import load_settings
from streamsched.installation.site import Installation
from streamsched.queries.status import ChildCounts, TaskStatus
from streamsched.runtime.clock import SystemClock
from streamsched.runtime.identity import Identity
from tests.support.cli import Cli

HOSTILE = (
    "\x1b[31m", "\x07", "\x00", "\x7f", "\x9b31m", "\x85", "\r", "\n", "\t", "\u202e", "\u202a", "\u2066", "\u2069",
    "\u200b", "\u200d", "\u200e", "\ufeff", "\u2028", "\u2029", "\u00ad", "\U000e0041", "\U000e0100", "\ufe0f",
    "\u3164", "\u115f", "\u2800", "\u034f", "\udcff", "\ue000", "\ud800", "\ufffe", "\u061c",
)  # fmt: skip
EVIL = "".join(HOSTILE)


@pytest.mark.parametrize("sign", HOSTILE, ids=ascii)
def test_each_of_them_is_written_as_its_escape(sign: str) -> None:
    shown = visible(f"a{sign}b")
    assert shown.isascii()
    assert shown.isprintable()
    assert shown[0] + shown[-1] == "ab"
    assert shown.encode().decode("unicode_escape") == f"a{sign}b"
    assert not is_visible(sign)


@pytest.mark.parametrize("text", ["", "plain", "é", "日本語", "\U0001f600", "a b", "c\\d", "١٢"])
def test_a_plain_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert is_visible(text)


def test_a_long_text_is_cut() -> None:
    assert visible("x" * 50, 10) == "xxxxxxx..."
    assert len(visible(EVIL * 1_000, 100)) < 1_200


def test_a_value_stays_json(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in ("utf-8", "ascii", "cp1252", "latin-1"):
        monkeypatch.setattr(sys, "stdout", open("/dev/null", "w", encoding=encoding))  # noqa: PTH123, SIM115
        text = whole({EVIL: ["é\U0001f600", EVIL]})
        sys.stdout.close()
        assert json.loads(text) == {EVIL: ["é\U0001f600", EVIL]}
        assert is_visible(text)
        text.encode(encoding)


def test_columns_are_as_wide_as_what_is_shown() -> None:
    rows = list(columns(("A", "B"), [("\x1b", "="), ("aaaa", "=")]))
    assert [row.index("=") for row in rows[1:]] == [6, 6]


def test_a_log_line_is_one_line() -> None:
    try:
        raise ValueError(EVIL)
    except ValueError:
        record = logging.LogRecord("n", logging.ERROR, "p", 1, "told: %s", (EVIL,), sys.exc_info())
    first, *traceback = Lines("%(levelname)s %(message)s").format(record).splitlines()
    assert first.startswith("ERROR told: \\x1b[31m")
    assert len(traceback) > 2
    assert all(map(is_visible, [first, *traceback]))


def test_an_error_that_quotes_is_one_line() -> None:
    assert is_visible(str(InputError(EVIL, EVIL, source=EVIL, field=EVIL)))


@pytest.mark.parametrize("sign", HOSTILE, ids=ascii)
def test_ids_with_them_are_refused_at_the_door(sign: str) -> None:
    with pytest.raises(InputError, match="invalid task id"):
        check_task_id(f"a{sign}b")
    with pytest.raises(InputError, match="invalid schedule id"):
        _check_id(f"a{sign}b", named=True)
    check_task_id("é")


# --- every command ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A folder whose journal holds what no door of ours lets in: another client wrote it."""
    cli = Cli(tmp_path_factory.mktemp("hostile"))
    cli("run", cli.template("count"), "--task-id", "plain")
    site = Installation(load_settings(None, data_dir=cli.folder / ".streamsched"), write=True)
    evil = "".join(sign for sign in HOSTILE if not "\ud800" <= sign <= "\udfff")
    me = Identity(evil, evil, SystemClock(), EventIds())
    task_id = "".join(sign for sign in evil if sign not in "\x1b\x00\x07\r\n\t\x7f")
    request = me.sign(
        e.TaskRequested, task_id=task_id, template_name=evil, template_version=evil, template="{}",
        params=json.dumps({EVIL: EVIL}), priority=0, origin=evil, traceparent=None,
    )  # fmt: skip
    refused = me.sign(e.TaskRefused, task_id=task_id, request=request.event_id, reason=evil, basis=0)
    made = me.sign(
        e.ScheduleSet, schedule_id=task_id[:100], expected=0, spec='{"cron":["0 3 * * *"]}', policy="{}",
        template_name=evil, template_version=evil, template="{}", params="{}", priority=0,
    )  # fmt: skip
    paused = me.sign(e.SchedulePaused, schedule_id=task_id[:100], paused=True, note=evil)
    site.log.append([site.records.journal(event, event.task_id) for event in (request, refused)])
    site.log.append([site.records.journal(event, event.schedule_id) for event in (made, paused)])
    site.close()
    cli.evil, cli.schedule = task_id, task_id[:100]  # type: ignore[attr-defined]
    return cli


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("list",), ("status", "EVIL"), ("children", "EVIL"), ("results", "EVIL"), ("watch", "EVIL"), ("replay",),
        ("replay", "--task", "EVIL"), ("audit", "verify"), ("schedule", "list"), ("schedule", "show", "SCHEDULE"),
        ("schedule", "ticks", "SCHEDULE"), ("status", "x\u202e\x1b"), ("cancel", "EVIL"), ("redrive", "EVIL"),
        ("list", "--state", "\x1b[31m"), ("\x1b[31m",), ("list", "--\x1b[31m"), ("dead-letters",), ("nodes",),
    ],
    ids=lambda words: ascii(" ".join(words)),
)  # fmt: skip
def test_every_command_shows_it(cli: Cli, words: tuple[str, ...]) -> None:
    named = {"EVIL": cli.evil, "SCHEDULE": cli.schedule}  # type: ignore[attr-defined]
    found = cli.here(*(named.get(word, word) for word in words), code=None)
    assert found.returncode in (0, 1, 2, 4)
    for text in (found.stdout, found.stderr):
        assert all(map(is_visible, text.replace("\t", "").split("\n"))), ascii(text)
    if {"EVIL", "SCHEDULE"} & set(words) or words in [("list",), ("replay",)]:
        assert "\\u202e" in found.stdout + found.stderr or words[-2] in ("children", "results", "ticks")


@pytest.mark.parametrize("words", [("list",), ("status", "EVIL"), ("replay",), ("schedule", "list")])
def test_json_is_ascii_and_whole(cli: Cli, words: tuple[str, ...]) -> None:
    evil: str = cli.evil  # type: ignore[attr-defined]
    shown = cli.here(*(evil if word == "EVIL" else word for word in words), "--json").stdout
    assert shown.isascii()
    assert any("\\u202e" in line for line in shown.splitlines())
    for line in shown.splitlines():
        json.loads(line)


# --- streams, encodings, words that are not text ----------------------------------------------------------------------

READS = (("status", "plain"), ("list",), ("results", "plain"), ("replay",), ("dead-letters", "--count"), ("--help",))


def run(cli: Cli, *words: str | bytes, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    script = f'"$@" {shell}'
    return subprocess.run(
        ["bash", "-c", f"{script}; exit ${{PIPESTATUS[0]}}", "-", sys.executable, "-m", "streamsched", *words],
        cwd=cli.folder, env={**cli.environment, **environment}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "codes"),
    [(">/dev/full", {1}), ("2>/dev/full", {0}), (">&-", {0}), ("<&- >&- 2>&-", {0}), ("| true", {0, 141})],
)
def test_streams_that_take_nothing(cli: Cli, shell: str, codes: set[int]) -> None:
    for words in READS:
        done = run(cli, *words, shell=shell)
        assert b"Traceback" not in done.stderr, done.stderr
        assert done.returncode in codes, (words, done)
        if shell == ">/dev/full":
            assert b"no space left" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"TZ": "X-167:59"}, {"TZ": "No/Where"},
        {"TZ": "A" * 5_000}, {"LANG": "nowhere"}, {"LOGNAME": "a\udcff\x1b", "TRACEPARENT": "\udcff"},
    ],
    ids=lambda environment: ascii(" ".join(f"{name}={value[:20]}" for name, value in environment.items())),
)  # fmt: skip
def test_odd_surroundings(cli: Cli, environment: dict[str, str]) -> None:
    for words in (("status", "plain"), ("list",), ("replay",)):
        done = run(cli, *words, **environment)
        assert (done.returncode, done.stderr) == (0, b""), done


@pytest.mark.slow
def test_results_are_json_in_every_encoding(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    (tmp_path / "m.py").write_text("def f(ctx): return ['\\U0001f600\\xe9\\u202e\\x7f\\x1b', 'x' * 20000]\n")
    (tmp_path / "t.yaml").write_text("name: t\nsplit: {range: {first: 1, last: 1, size: 1}}\nchild: {handler: 'm:f'}\n")
    cli("run", "t.yaml", "--task-id", "t")
    wanted = ["\U0001f600é\u202e\x7f\x1b", "x" * 20000]
    for encoding in ("utf-8", "ascii", "cp1252", "latin-1"):
        done = run(cli, "results", "t", PYTHONIOENCODING=encoding)
        number, text = done.stdout.decode(encoding).rstrip("\n").split("\t")
        assert (number, json.loads(text)) == ("0", wanted)
        assert is_visible(text)
        (tried,) = run(cli, "try", "t.yaml", PYTHONIOENCODING=encoding).stdout.decode(encoding).splitlines()
        assert json.loads(tried) == wanted


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        b"status \xff", b"watch \xff", b"cancel plain --reason \xff", b"schedule show \xff", b"replay --task \xff",
        b"list --state \xff", b"dead-letters --topic \xff", b"run \xff.yaml", b"run count.yaml -p \xff=1",
        b"run count.yaml --task-id \xff", b"\xff", b"list --\xff", b"status x --data-dir \xff",
        b"status x --config \xff", b"status x --brokers \xff", b"worker --name \xff --brokers localhost:1",
        b"scheduler --name= --brokers localhost:1",
        b"worker --name \x1b[31m --brokers localhost:1", b"list --prefix \xff", b"list --log-level \xff",
        b"audit export \xff.jsonl --task \xff", b"schedule next --cron \xff", b"schedule create \xff",
        b"try count.yaml --params \xff",
    ],
    ids=ascii,
)  # fmt: skip
def test_words_that_are_no_text(cli: Cli, words: bytes) -> None:
    done = run(cli, *words.split())
    assert done.returncode in (1, 2, 3, 4), done
    assert b"unexpected" not in done.stderr
    assert done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert lines
    assert all(map(is_visible, lines))


def test_a_terminal_shows_markup_and_escapes_as_they_are() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=200, color_system=None)
    counts = ChildCounts(total=1, waiting=1, queued=0, running=0, succeeded=0, failed=0, cancelled=0)
    status = cast(
        TaskStatus,
        SimpleNamespace(
            task_id="[red]a\x1b[31m",
            template="[b]t",
            state="running",
            children=counts,
            reduce=None,
            split=None,
            splitting=False,
        ),
    )
    console.print(_table([status], 200))
    assert "[red]a\\x1b[31m" in shown.getvalue()
    assert "[b]t" in shown.getvalue()
    assert "\x1b[31m" not in shown.getvalue()


def test_a_cell_of_a_table_is_cut_where_it_is_long() -> None:
    assert max(map(len, columns(("A", "B"), [("x" * 500_000, "y"), ("z", "y")]))) < 300
