"""``dead-letters``: lists, counts and shows what was set aside, on the embedded log."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamsched.installation.settings import load_settings
from streamsched.installation.site import Installation
from streamsched.log.port import Append
from tests.poison.corpus import Corpus
from tests.support.cli import Cli

RUBBISH = b"\x1b[2Jrub\nbish" + bytes(2_000)


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A folder in which rubbish of all kinds was set aside while a task ran."""
    cli = Cli(tmp_path_factory.mktemp("siege"))
    cli("run", cli.template("count"), "--task-id", "before")
    site = Installation(load_settings(None, data_dir=cli.folder / ".streamsched"), write=True)
    topics = site.topics
    unread = ("dead_letters", "workers")
    corpus = [poison for poison in Corpus(1, topics, site.codec).records() if poison.topic in unread]
    site.log.append(
        [
            Append(topics.events, 0, b"a key\0", RUBBISH, (("task", b"x"), ("task", b"\xff"))),
            *(Append(topics.events, 1, None, b"more %d" % number) for number in range(3)),
            Append(topics.children, 5, b"k", None),
            *(poison.append(topics) for poison in corpus),
        ]
    )
    site.close()
    cli("run", cli.template("count"), "--task-id", "after")
    return cli


def test_all_are_listed_with_their_origin_and_reason(siege: Cli) -> None:
    found = [letter for letter in siege.lines("dead-letters") if letter["by"] != "hostile"]
    assert [(letter["topic"], letter["partition"], letter["offset"]) for letter in found if "events" in letter["topic"]]
    places = sorted((letter["topic"].partition(".")[2], letter["partition"]) for letter in found)
    assert places == [("children", 5), ("events", 0), ("events", 1), ("events", 1), ("events", 1)]
    assert all("not an event" in letter["reason"] for letter in found)
    shown = siege.here("dead-letters")
    assert "\x1b" not in shown.stdout
    assert "streamsched.events-0 offset 0" in shown.stdout
    assert "streamsched.events" in shown.stderr


def test_by_topic_since_and_the_last_ones(siege: Cli) -> None:
    assert len(siege.lines("dead-letters", "--topic", "children")) == 1
    assert siege.lines("dead-letters", "--topic", "children") == siege.lines(
        "dead-letters", "--topic", "streamsched.children"
    )
    assert siege.lines("dead-letters", "--since", "2100-01-01") == []
    everything = siege.lines("dead-letters", "--since", "2020-01-01T00:00:00Z")
    assert siege.lines("dead-letters", "--limit", "2") == everything[-2:]
    assert "no dead letters" in siege.here("dead-letters", "--since", "2100-01-01").stderr


def test_they_are_counted(siege: Cli) -> None:
    counts = siege.json("dead-letters", "--count", "--topic", "events")
    assert counts["total"] == sum(counts["topics"].values()) == len(siege.lines("dead-letters", "--topic", "events"))
    head, *_, last = siege.here("dead-letters", "--count").stdout.splitlines()
    assert head.split(maxsplit=1) == ["TOPIC", "DEAD LETTERS"]
    assert last.startswith("all")


def test_one_is_shown_whole(siege: Cli) -> None:
    number = next(letter["number"] for letter in siege.lines("dead-letters") if letter["key"] == "a key\0")
    letter = siege.json("dead-letters", "show", str(number))
    assert bytes.fromhex(letter["value"]) == RUBBISH
    assert letter["headers"] == [["task", "x"], ["task", "\\xff"]]
    assert letter["origin"]["bytes"] == len(RUBBISH)
    shown = siege.here("dead-letters", "show", str(number)).stdout
    assert "\x1b" not in shown
    assert f"{len(RUBBISH):,} bytes, the first 512 of them" in shown
    assert ".[2Jrub.bish" in shown


def test_one_whose_origin_is_gone_or_never_was(siege: Cli) -> None:
    for letter in siege.lines("dead-letters"):
        document = siege.json("dead-letters", "show", str(letter["number"]))
        assert (document["origin"] is None) == (document["headers"] is None)
        if letter["topic"] == "no\nsuch\ttopic" or letter["partition"] == 99_999:
            assert document["origin"] is None
            assert "was deleted" in siege.here("dead-letters", "show", str(letter["number"])).stdout


def test_what_is_none_is_named(siege: Cli) -> None:
    assert "no dead letter 999999" in siege.here("dead-letters", "show", "999999", code=2).stderr
    assert "events" in siege.here("dead-letters", "--topic", "stars", code=2).stderr
    assert "--since" in siege.here("dead-letters", "--since", "yesterday", code=2).stderr


def test_other_commands_bear_what_lies_there(siege: Cli) -> None:
    assert {task["task_id"] for task in siege.lines("list")} >= {"before", "after"}
    assert all(task["state"] == "succeeded" for task in siege.lines("list"))
    assert [event for event in siege.lines("replay") if event["event"] is None]
    siege.here("nodes")
    assert all(isinstance(node["slots"], int) for node in siege.lines("nodes"))


def test_nothing_was_set_aside(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli("run", cli.template("count"))
    assert cli.here("dead-letters").stdout == ""
    assert cli.json("dead-letters", "--count") == {"total": 0, "topics": {}}
