"""The commands through a server: what they print, say and exit with is what they do with the log itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest

from streamsched.http.access import Tokens
from streamsched.installation.settings import load_settings
from tests.support.cli import Cli
from tests.support.http_server import furnish, serving
from tests.unit.reach.test_ways import set_aside

TOKEN = "token-of-otto"  # noqa: S105


class Ways(NamedTuple):
    """The command line in one folder, with the log and through its server."""

    mine: Cli
    theirs: Cli


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    folder = tmp_path_factory.mktemp("ways")
    furnish(folder, folder / ".streamsched", 12)
    set_aside(folder / ".streamsched")
    users = folder / "tokens.txt"
    lines = {"otto": ("admin", TOKEN), "vera": ("viewer", "token-of-vera")}
    users.write_text(
        "".join(f"{name}:{role}:{sha256(it.encode()).hexdigest()}\n" for name, (role, it) in lines.items())
    )
    mine, theirs = Cli(folder), Cli(folder)
    mine.environment["STREAMSCHED_DATA_DIR"] = str(folder / ".streamsched")
    with serving(folder / ".streamsched", Tokens(users)) as http:
        theirs.environment |= {"STREAMSCHED_SERVER": f"http://127.0.0.1:{http.port}", "STREAMSCHED_TOKEN": TOKEN}
        yield Ways(mine, theirs)


@pytest.mark.parametrize(
    "words",
    [
        "status good", "status bad --json", "status nobody", "why idle", "why bad 1 --json", "why good 99",
        "list", "list --state failed --json", "list --label team=data --limit 1", "list --state merry",
        "list --state active --json",
        "children bad", "children good --where index=2..4 --json", "children good --where colour=red",
        "children bad 1", "children bad 1 --json", "children bad 9", "children bad 1/2",
        "children bad 1 --state failed", "children good 11 --output name",
        "failures bad", "failures bad --json", "failures good", "results good", "results good --json", "result good",
        "nodes", "nodes --json", "nodes --output name", "list --output name", "dead-letters --output name",
        "dead-letters show 0 --output name", "results good --output name", "schedule list --output name",
        "scaling", "scaling --queue default --json", "watch bad",
        "schedule list", "schedule list --json", "schedule show hourly", "schedule show nobody",
        "schedule ticks hourly", "schedule backfill hourly --start 2026-11-01 --end 2026-11-02 --dry-run",
        "schedule backfill hourly --start 2026-11-01 --end 2026-11-01T02:00Z --dry-run --newest-first --json",
        "schedule backfill hourly --start 2200-01-01", "schedule backfill hourly --cancel",
        "schedule backfill hourly --cancel --json",
        "pause good", "resume bad --json", "set good parallelism=3", "set idle colour=3",
        "cancel good", "terminate bad", "redrive good", "redrive bad --where index=0|2 --dry-run",
        "redrive bad --where index=7 --dry-run --json", "redrive idle --json", "replay --task bad",
        "replay --task hourly --json", "replay --task good --until 3", "replay --task nobody",
        "submit count.yaml -p n=5 --task-id idle", "submit count.yaml -p n=6 --task-id idle",
        "submit count.yaml -p m=6", "submit nobody.yaml", "plan count.yaml -p n=3",
        "dead-letters", "dead-letters --count --json", "dead-letters show 0", "dead-letters show 1 --json",
        "dead-letters show 7", "report bad --html bad.html", "report nobody --html bad.html",
        "dead-letters set-aside 0 99999 --reason rubbish", "dead-letters set-aside 0 0 --topic workers --reason x",
        "replay", "replay --json --until 2", "certify good", "certify bad --json", "certify idle", "certify nobody",
        "dead-letters --topic merry", "try count.yaml --child 0",
    ],
)  # fmt: skip
def test_a_command_is_the_same(ways: Ways, words: str) -> None:
    before, told, after = (cli.here(*words.split(), code=None) for cli in (ways.mine, ways.theirs, ways.mine))
    assert told.returncode == before.returncode
    assert told.stdout in (before.stdout, after.stdout)  # the next times of a schedule change with the hour
    said = [[line for line in each.stderr.splitlines() if "no process works" not in line] for each in (before, told)]
    assert said[0] == said[1]


def test_a_child_is_shown_with_its_attempts_and_its_traceback(ways: Ways) -> None:
    shown = ways.theirs.here("children", "bad", "1").stdout
    whole = ways.mine.json("children", "bad", "1")
    assert [each["outcome"] for each in whole["attempts"]] == ["failed", "failed"]
    assert whole["child"]["traceback"] == whole["attempts"][0]["traceback"] != ""
    about, attempts, traceback = shown.split("\n\n")
    assert 'arguments   {"times": 99}' in about.splitlines()
    assert [line.split()[:3] for line in attempts.splitlines()[1:]] == [["2", "2", "failed"], ["1", "1", "failed"]]
    assert traceback == whole["child"]["traceback"]


def test_what_is_steered_is_steered(ways: Ways) -> None:
    mine, theirs = ways
    task = theirs.here("submit", "count.yaml", "-p", "n=9", "--label", "who=me").stdout.strip()
    assert mine.json("status", task)["submitted_by"] == "otto"
    assert theirs.here("pause", task, "--reason", "lunch").stdout == f"task {task} is paused: 0 of 0 succeeded\n"
    assert mine.json("status", task)["state"] == "paused"
    assert "parallelism 3" in theirs.here("set", task, "parallelism=3", "deadline=6h").stdout
    assert theirs.here("resume", task).stdout == f"task {task} is requested: 0 of 0 succeeded\n"
    assert "cancellation was requested" in theirs.here("cancel", task).stdout
    (found,) = theirs.lines("list", "--label", "who=me")
    assert found["task_id"] == task


def test_schedules_are_made_and_changed(ways: Ways) -> None:
    mine, theirs = ways
    assert theirs.here("schedule", "create", "hourly.yaml", "--id", "mine").stdout.startswith("schedule mine created;")
    assert mine.here("schedule", "create", "hourly.yaml", "--id", "mine").stdout.endswith("same content\n")
    assert theirs.here("schedule", "update", "hourly.yaml", "--id", "mine", "-p", "n=7").stdout.startswith(
        "schedule mine"
    )
    assert "other parameters" in theirs.here("schedule", "create", "hourly.yaml", "--id", "mine", code=2).stderr
    assert theirs.here("schedule", "trigger", "mine").stdout.startswith("mine@")
    begun = theirs.here("schedule", "backfill", "mine", "--start", "2026-11-01").stdout
    assert begun == "backfill 1 of schedule mine is requested\n"
    assert (
        theirs.here("schedule", "backfill", "mine", "--cancel").stdout == "backfill 1 of schedule mine is cancelled\n"
    )
    assert theirs.here("schedule", "pause", "mine", "--note", "later").stdout == "schedule mine paused\n"
    assert theirs.here("schedule", "delete", "mine", "--note", "never").stdout == "schedule mine deleted\n"
    assert mine.json("schedule", "show", "mine")["note"] == "never"


@pytest.mark.parametrize(
    "words",
    [
        "run count.yaml", "up", "worker", "scheduler", "server", "topics check", "topic create orders",
        "topic consume orders",
        "audit verify", "audit export out.jsonl", "replay --view there --task good",
    ],
)  # fmt: skip
def test_what_needs_the_log_says_so_and_what_to_do(ways: Ways, words: str) -> None:
    said = ways.theirs.here(*words.split(), code=2)
    assert said.stdout == ""
    assert "needs the log itself, and not the server http://127" in said.stderr
    assert said.stderr.endswith("; give --brokers HOST:PORT or --data-dir DIR, or unset STREAMSCHED_SERVER\n")
    assert TOKEN not in said.stderr
    assert not (ways.theirs.folder / "there").exists()


def test_who_may_not_and_who_is_not_known(ways: Ways) -> None:
    vera = Cli(ways.theirs.folder)
    vera.environment |= {**ways.theirs.environment, "STREAMSCHED_TOKEN": "token-of-vera"}
    assert vera.here("status", "good").stdout == ways.mine.here("status", "good").stdout
    said = vera.here("pause", "idle", code=2).stderr
    assert "vera is viewer, and this needs operator; ask for that role" in said
    for token in ("", "token-of-nobody"):
        vera.environment["STREAMSCHED_TOKEN"] = token
        assert "put a token into STREAMSCHED_TOKEN" in vera.here("list", code=2).stderr


def test_a_token_comes_from_a_file_too_and_the_server_from_an_option(ways: Ways) -> None:
    cli = Cli(ways.theirs.folder)
    url, file = ways.theirs.environment["STREAMSCHED_SERVER"], ways.theirs.folder / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    (cli.folder / "client.toml").write_text(f'server = "http://127.0.0.1:1"\ntoken_file = "{file}"\n')
    expected = ways.mine.here("list", "--json").stdout
    assert cli.here("--config", "client.toml", "--server", url, "list", "--json").stdout == expected
    assert "nothing listens at http://127.0.0.1:1;" in cli.here("--config", "client.toml", "list", code=3).stderr
    assert cli.here("--config", "client.toml", "--data-dir", ".streamsched", "list", "--json").stdout == expected
    assert "keep --server" in cli.here("--server", url, "--data-dir", ".streamsched", "list", code=2).stderr


def test_help_names_the_variable(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    assert "STREAMSCHED_SERVER" in cli.here("--help").stdout
    assert "[env: STREAMSCHED_SERVER]" in " ".join(cli.here("status", "--help").stdout.split())


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"STREAMSCHED_SERVER": "jobs.example.com"}, "STREAMSCHED_SERVER: invalid address 'jobs.example.com'"),
        ({"STREAMSCHED_SERVER": "ftp://jobs.example.com"}, "write https://HOST"),
        ({"STREAMSCHED_SERVER": "https://jobs.example.com/?a=b"}, "write https://HOST"),
        ({"STREAMSCHED_SERVER": "https://me:secret@jobs.example.com"}, "has no user in it"),
        ({"STREAMSCHED_SERVER": "https://a", "STREAMSCHED_TOKEN": "a\nb: c"}, "characters that no token has"),
        ({"STREAMSCHED_SERVER": "https://a", "STREAMSCHED_TOKEN_FILE": "nowhere"}, "cannot be read"),
        ({"STREAMSCHED_SERVER": "https://a", "STREAMSCHED_TOKEN": "a", "STREAMSCHED_TOKEN_FILE": "b"}, "keep one"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_server_or_a_token_is_refused(tmp_path: Path, environ: dict[str, str], text: str) -> None:
    cli = Cli(tmp_path)
    cli.environment |= environ
    said = cli.here("list", code=2).stderr
    assert text in said
    assert "secret" not in said


def test_what_is_given_nearer_wins(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('server = "https://file"\n')
    server = {"STREAMSCHED_SERVER": "https://environment", "STREAMSCHED_TOKEN": "t"}
    found = load_settings(file, environ=server)
    assert (found.server, found.token, found.embedded) == ("https://environment", "t", False)
    assert "token" not in json.dumps(repr(found).replace("token=", "")) or "'t'" not in repr(found)
    assert load_settings(file, environ={"STREAMSCHED_BROKERS": "b:1"}).server == ""
    assert load_settings(file, environ={**server, "STREAMSCHED_BROKERS": "b:1"}).server == "https://environment"
    assert load_settings(file, environ=server, data_dir=tmp_path).server == ""
    assert (
        load_settings(file, environ={**server, "STREAMSCHED_DATA_DIR": "d"}, server="https://near/").server
        == "https://near"
    )
