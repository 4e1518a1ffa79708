"""``schedule next``: a preview that needs neither broker nor log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Cli

AFTER = ("--after", "2026-10-24T12:00:00Z")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def test_times_are_printed_with_their_offset(cli: Cli) -> None:
    done = cli("schedule", "next", "--cron", "30 2 * * *", "--zone", "Europe/Berlin", *AFTER, "--count", "2")
    assert done.stdout == "2026-10-25T02:30:00+02:00\n2026-10-26T02:30:00+01:00\n"
    assert done.stderr == ""
    assert list(cli.folder.iterdir()) == []


def test_json_is_one_object_a_line(cli: Cli) -> None:
    first, second = cli.lines(
        "schedule", "next", "--every", "15m/3m", *AFTER, "--count", "2", "--zone", "Asia/Kathmandu"
    )
    assert first == {
        "nominal": "2026-10-24T17:48:00+05:45",
        "utc": "2026-10-24T12:03:00Z",
        "nominal_ms": 1_792_843_380_000,
        "zone": "Asia/Kathmandu",
    }
    assert second["utc"] == "2026-10-24T12:18:00Z"


def test_several_options_are_one_schedule(cli: Cli) -> None:
    done = cli.here("schedule", "next", "--cron", "0 6 * * *", "--cron", "0 7 * * *", "--every", "1d", *AFTER)
    assert [line[8:13] for line in done.stdout.splitlines()] == ["25T00", "25T06", "25T07", "26T00", "26T06"]


def test_a_file_says_its_schedule(cli: Cli) -> None:
    (cli.folder / "nightly.yaml").write_text(
        "schedule:\n  cron: 30 2 * * *\n  zone: Europe/Berlin\n  fold: second\n"
        "  exclude: {calendars: {day_of_month: 26}}\n"
    )
    done = cli.here("schedule", "next", "--file", "nightly.yaml", *AFTER, "--count", "2")
    assert done.stdout == "2026-10-25T02:30:00+01:00\n2026-10-27T02:30:00+01:00\n"


def test_now_is_where_it_begins_without_after(cli: Cli) -> None:
    assert len(cli.here("schedule", "next", "--cron", "@daily").stdout.splitlines()) == 5


def test_what_does_not_fire_any_more_is_said(cli: Cli) -> None:
    done = cli.here("schedule", "next", "--cron", "0 0 1 1 * 2027", *AFTER)
    assert done.stdout == "2027-01-01T00:00:00Z\n"
    assert done.stderr == "it does not fire after that\n"
    done = cli.here("schedule", "next", "--cron", "0 0 1 1 * 2020", *AFTER)
    assert (done.stdout, done.stderr) == ("", "it never fires again\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "schedule next: there are no times; give --cron, --every or --file"),
        (["--cron", "60 * * * *"], "--cron: minute: 60 is not between 0 and 59; correct the number"),
        (["--cron", "@dayly"], "--cron: '@dayly' is not a short form; did you mean @daily?"),
        (["--every", "1ms"], "--every: every: 1ms is under a second; write 1s or more"),
        (["--cron", "@daily", "--zone", "Europe/Berln"], "--zone: there is no zone 'Europe/Berln'; did you mean"),
        (["--cron", "@daily", "--zone", ""], "--zone: there is no zone ''; write an IANA name"),
        (
            ["--cron", "@daily", "--after", "noon"],
            "--after: 'noon' is not a time with an offset (RFC 3339); write",
        ),
        (["--file", "none.yaml"], "none.yaml: there is no such file; check the path"),
        (["--file", "a.yaml", "--cron", "@daily"], "--file: the file has all of it; leave out --cron, --every"),
        (["--file", "a.yaml"], "a.yaml:3: schedule.cron[1].minute: 61 is not between 0 and 59; correct the number"),
        (["--file", "b.yaml"], "b.yaml:1: holds no schedule; write cron or interval"),
        (["--file", "c.yaml"], "c.yaml:2: schedule.zoen: unknown field zoen; did you mean zone?"),
    ],
)
def test_wrong_input_exits_2_with_one_line(arguments: list[str], message: str, cli: Cli) -> None:
    (cli.folder / "a.yaml").write_text('schedule:\n  cron: ["@daily",\n    61 * * * *]\n')
    (cli.folder / "b.yaml").write_text("name: x\n")
    (cli.folder / "c.yaml").write_text("schedule:\n  zoen: UTC\n")
    done = cli.here("schedule", "next", *arguments, code=2)
    assert done.stdout == ""
    assert done.stderr.startswith(f"streamsched: {message}")
    assert done.stderr.count("\n") == 1


def test_a_count_must_be_positive(cli: Cli) -> None:
    assert "--count" in cli.here("schedule", "next", "--cron", "@daily", "--count", "0", code=2).stderr
