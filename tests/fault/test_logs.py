"""What children print is read from the log wherever they ran, and nothing of it stands in their way."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.fault.test_eviction import kill_tree
from tests.fault.test_outage import frozen
from tests.support import brokers
from tests.support.nodes import ROOT, until
from tests.support.site import WORKER, Site

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
LINE = re.compile(r"\S+Z job\[(\d+)\]#\d+ child \d+, step (\d+)")


def printed(text: str) -> Counter[tuple[int, int]]:
    """Count the lines of each step of each child."""
    return Counter((int(found[1]), int(found[2])) for found in map(LINE.fullmatch, text.splitlines()) if found)


def logs(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = site.nodes.run("logs", "job", *arguments)
    assert done.returncode == 0, done.stderr
    return done


def test_of_all_workers_and_followed_while_one_is_killed(site: Site) -> None:
    site.start("scheduler", name="s1")
    workers = [site.start(*WORKER, name=name) for name in ("w1", "w2")]
    site.submit(24, steps=15, seconds=0.1)
    out = site.folder / "followed"
    with out.open("w") as file:
        following = subprocess.Popen(
            [sys.executable, "-m", "streamsched", "logs", "job", "--follow"],
            cwd=ROOT, env=site.nodes.env, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        until(lambda: all(printed(site.nodes.said_by_each()[number]) for number in (1, 2)), 60, site.nodes.said)
        until(lambda: len(printed(out.read_text())) >= 8, 60, site.nodes.said)
        kill_tree(workers[1])
        site.finish()
        assert following.wait(60) == 0, out.read_text()
    finally:
        following.kill()
    whole = {(child, step) for child in range(24) for step in range(15)}
    followed, read = printed(out.read_text()), printed(logs(site).stdout)
    assert followed <= read
    # What the killed worker had printed in its last moments may be missing.
    assert len(whole - read.keys()) <= 4 * 25
    ended = {child for child in range(24) if all((child, step) in followed for step in range(15))}
    assert len(ended) >= 16
    assert {child for child, _ in printed(logs(site, "3").stdout)} == {3}


def test_without_the_topic_workers_say_so_once_and_work_and_logs_shows_what_failed(site: Site) -> None:
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": site.brokers})
    (deleted,) = admin.delete_topics([f"{site.prefix}.output"]).values()
    deleted.result(30)
    site.start("scheduler", name="s1")
    site.start(*WORKER, name="w1")
    site.submit(8, steps=15)
    site.finish()
    said = site.nodes.said_by_each()[1]
    assert said.count("not kept in the log") == 1, said
    assert "create the topics: streamsched topics create" in said
    shown = logs(site)
    assert shown.stdout == ""
    assert "topics create" in shown.stderr
    assert "nothing was printed by job, or it is no longer kept" in shown.stderr


def test_a_broker_that_is_away_holds_up_no_child_and_later_lines_come(tmp_path: Path) -> None:
    own = brokers.start(tmp_path / "broker", stock_timeouts=True)
    site = Site(tmp_path, own.address)
    try:
        site.start("scheduler", name="s1")
        site.start(*WORKER, name="w1")
        site.submit(4, steps=60, seconds=0.2)
        site.until_noted(12)
        with frozen(own):
            site.until_noted(80)  # four at once: more than the patience of whoever writes lines
        site.finish()
        shown = printed(logs(site).stdout)
        assert {(child, 0) for child in range(4)} | {(child, 59) for child in range(4)} <= shown.keys()
    finally:
        site.end()
        own.stop()
