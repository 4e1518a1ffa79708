"""``report``: one file that stands alone, says what the commands say, and in which nothing of others is markup."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from streamsched.cli.markup import VOID, el, join, text
from streamsched.cli.report_page import page
from streamsched.client import Client
from streamsched.domain import events as e
from streamsched.domain.visible import visible
from streamsched.queries import past
from streamsched.queries.past import SPANS, Step, Timeline
from streamsched.queries.report import CELLS, Report, cells_of, failed_ranges
from tests.support.cli import Cli
from tests.support.http_server import furnish

EVIL = "</title></style><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;\u202e\x1b"
ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "h1", "h2", "h3", "p",
    "span", "small", "code", "pre", "dl", "dt", "dd", "div", "ul", "li", "table", "thead", "tbody", "tr", "th", "td",
    "time", "details", "summary", "svg", "g", "path", "rect", "text",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "viewbox", "role", "d", "x", "y", "width", "height",
    "preserveaspectratio", "transform",
}  # fmt: skip


class Parsed(HTMLParser):
    """A page: each element is closed, and only those are there that the page has by itself."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.policy = ""
        self.scale: str | None = None
        self.shapes: dict[str, list[str]] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag in ELEMENTS
        assert given.keys() <= ATTRIBUTES
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag == "g":
            self.scale = given["transform"]
        if tag in ("path", "rect"):
            self.shapes.setdefault(given.get("class") or "", []).append(given.get("d") or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    @property
    def text(self) -> str:
        """All that is read."""
        return "\n".join(part for tag, parts in self.texts.items() if tag != "style" for part in parts)


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    cli = Cli(tmp_path_factory.mktemp("report"))
    furnish(cli.folder, cli.folder / ".streamsched", 12)
    cli.here("pause", "idle", "--reason", EVIL.replace("\x1b", ""))
    return cli


def report_of(cli: Cli, task: str) -> Report:
    with Client(data_dir=cli.folder / ".streamsched") as client:
        return client.report(task)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["good", "bad", "idle"])
def test_it_says_what_the_commands_say(cli: Cli, task: str) -> None:
    said = cli.here("report", task, "--html", f"{task}.html")
    assert re.fullmatch(rf"{task}\.html: \d+ kB\n", said.stderr)
    html = (cli.folder / f"{task}.html").read_text()
    found, status = Parsed(html), cli.json("status", task)
    assert found.texts["title"][0].startswith(task)
    assert status["state"] in found.texts["span"][0]
    assert visible(cli.json("why", task)["why"]) in found.text
    for group in cli.lines("failures", task):
        assert {group["fingerprint"], group["message"], group["type"]} <= set(found.text.split("\n"))
    for event in cli.here("replay", "--task", task, "--json").stdout.splitlines():
        if (name := json.loads(event)["event"]).startswith("Task"):
            assert name in found.texts["td"]
    assert status["template_version"] in found.text
    assert json.dumps(status["params"], indent=2) in found.texts["pre"][0]
    assert ("team=data" in found.text) == (task == "good")


def test_it_runs_nothing_and_asks_for_nothing(cli: Cli) -> None:
    html = page(report_of(cli, "good"))
    found = Parsed(html)
    (style,) = found.texts["style"]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert found.policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert not re.search(r"https?:|\bsrc=|\bhref=|\bstyle=|\bon\w+=", html)


def evil(report: Report) -> Report:
    """Have the same in every text that others write."""
    status = replace(
        report.status, task_id=EVIL, template=EVIL, template_version=EVIL, state=EVIL, reason=EVIL, origin=EVIL,
        submitted_by=EVIL, params={EVIL: [EVIL]}, labels={EVIL: EVIL},
    )  # fmt: skip
    group = replace(report.failures[0], fingerprint=EVIL, type=EVIL, message=EVIL)
    step = Step(0, e.TaskPaused(bytes(16), 0, EVIL, EVIL, 0, True, False, EVIL))
    return replace(
        report, status=status, answer=replace(report.answer, why=EVIL, change=EVIL), failures=(group,), position=EVIL,
        past=replace(report.past, steps=(step,), counts={EVIL: 1}),
    )  # fmt: skip


def test_hostile_texts_are_texts(cli: Cli) -> None:
    html = page(evil(report_of(cli, "bad")))
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html
    found = Parsed(html)  # nothing else opens an element
    assert found.text.count("<script>alert(1)</script>") >= 14


def test_a_million_children_are_bounded(cli: Cli) -> None:
    """Each cell has all six states, and each table as many rows as it may have, of the longest texts."""
    whole, dice = report_of(cli, "bad"), random.Random(7)
    grid = bytes(dice.choices(range(6), (5, 1, 1, 90, 2, 1), k=1_000_000))
    group = replace(whole.failures[0], type="T" * 9_000, message="m" * 9_000, samples=list(range(10)))
    event = e.TaskPaused(bytes(16), 0, "b" * 9_000, "t", 0, True, False, "r" * 9_000)
    timeline = Timeline()
    for second in range(0, 30 * 86_400, 977):
        timeline.add(second * 1_000, second % 3)
    html = page(replace(
        whole,
        status=replace(whole.status, params={"n": "x" * 10_000_000}, labels={f"l{n}": "v" * 200 for n in range(32)}),
        cells=cells_of(grid), failed=tuple(failed_ranges(grid)), failures=(group,) * 200,
        past=replace(
            whole.past, steps=(Step(0, event),) * 200, spans=timeline.spans(), width_ms=timeline.width_ms
        ),
    ))  # fmt: skip
    Parsed(html)
    assert 200_000 < len(html.encode()) < 2_000_000


def test_cells_hold_every_child_once() -> None:
    dice = random.Random(1)
    for children in (0, 1, 99, 100, CELLS, CELLS + 1, 123_457):
        grid = bytes(dice.choices([state | more for state in range(6) for more in (0, 8, 16, 48)], k=children))
        cells = cells_of(grid)
        assert len(cells.counts) <= CELLS
        assert sum(map(sum, cells.counts)) == children
        for state in range(6):
            assert sum(each[state] for each in cells.counts) == sum(byte & 7 == state for byte in grid)
    assert cells.per == 50


def test_one_failed_child_of_many_is_seen(cli: Cli) -> None:
    grid = bytearray(b"\x03" * 1_000_000)
    grid[777_777] = 4
    found = Parsed(page(replace(report_of(cli, "good"), cells=cells_of(bytes(grid)))))
    assert any(shape.count("M") == 1 for shape in found.shapes["failed"])


@pytest.mark.parametrize(("children", "columns", "scale"), [(3, 3, 2.4), (150, 20, 2.4), (201, 50, 2), (1_001, 100, 1)])
def test_few_children_have_large_cells(cli: Cli, children: int, columns: int, scale: float) -> None:
    cells = cells_of(b"\x03" * children)
    found = Parsed(page(replace(report_of(cli, "good"), cells=cells)))
    assert found.scale == f"scale({scale:g})"
    (shape,) = (each for each in found.shapes["succeeded"] if each.startswith("M0 0h"))
    wide = [int(each) // 10 for each in re.findall(r"M0 \d+h(\d+)v10", shape)]
    assert wide[0] == columns
    assert sum(wide) == children


def test_failed_ranges_are_those_of_the_grid() -> None:
    grid = bytes(random.Random(3).choices((3, 4, 4 | 16, 2), k=500))
    found = list(failed_ranges(grid, 1_000))
    assert [child for first, last in found for child in range(first, last + 1)] == [
        child for child, byte in enumerate(grid) if byte & 7 == 4
    ]
    assert list(failed_ranges(grid, 3)) == found[:3]


def test_a_timeline_counts_all_in_few_spans() -> None:
    dice, timeline, total = random.Random(5), Timeline(), [0, 0, 0]
    for _ in range(5_000):
        kind = dice.randrange(3)
        total[kind] += 1
        timeline.add(dice.randrange(1 << dice.randrange(20, 42)), kind)
    spans = timeline.spans()
    assert len(spans) <= SPANS
    assert [sum(getattr(each, kind) for each in spans) for kind in ("completed", "failed", "cancelled")] == total


@pytest.mark.parametrize("content", [EVIL, "", "a & b", 7, "\ud800"])
def test_what_is_not_markup_is_escaped(content: Any) -> None:
    made = el("p", content, None, class_=content)
    assert re.fullmatch(r'<p class="[^"<>]*">[^<>]*</p>', made)
    assert join("<b>", el("b", "<")) == "&lt;b&gt;<b>&lt;</b>"
    assert text("x" * 5_000).endswith("...")


def test_a_journal_that_is_read_for_too_long_is_said(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = report_of(cli, "bad").past
    assert whole.complete
    assert whole.position > whole.steps[-1].offset
    monkeypatch.setattr(past, "READ_S", -1.0)
    monkeypatch.setattr(past, "_LOOK", 3)
    found = report_of(cli, "bad")
    assert not found.past.complete
    assert found.past.position % 3 == 0
    assert len(found.past.steps) < len(whole.steps)
    assert f"read up to {found.past.partition}:{found.past.position} only" in Parsed(page(found)).text


def test_what_cannot_be_written_or_is_not_there(cli: Cli, tmp_path: Path) -> None:
    assert "its folder is not there" in cli.here("report", "good", "--html", "none/r.html", code=2).stderr
    assert "no task 'none'" in cli.here("report", "none", "--html", "r.html", code=4).stderr
    assert "cannot be written" in cli.here("report", "good", "--html", str(tmp_path), code=2).stderr
    assert not list(tmp_path.parent.glob(".*report*"))
    assert not (cli.folder / "r.html").exists()
