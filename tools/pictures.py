"""Make the pictures in docs/pictures: a real run, its page in Chromium, light and dark, and ``top`` on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tools import chromium

ROOT: Final = Path(__file__).parents[1]
PICTURES: Final = ROOT / "docs" / "pictures"
MOST_BYTES: Final = 200_000
WIDTH, HEIGHT = 1280, 1240
COLUMNS, LINES = 116, 18
THEME: Final = TerminalTheme(
    (20, 23, 26), (230, 232, 233),
    [(59, 67, 74), (242, 103, 76), (58, 165, 148), (220, 185, 95),
     (91, 155, 243), (195, 150, 220), (92, 196, 210), (230, 232, 233)],
)  # fmt: skip
"""The colours of the pages in the dark."""
DRAWING: Final = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
.{unique_id}-title {{ font: 600 16px system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
FRAME: Final = b"\x1b[1mstreamsched top"
"""What each frame of ``top`` begins with."""
WORK: Final = '''\
"""What the pictures show: photos are made smaller; some cannot be read, a store closes connections, memory ends."""

import random
import time


def resize(ctx, first, last):
    dice = random.Random(first * 7919 + ctx.attempt)
    fate = random.Random(first).random()
    seconds = dice.uniform(5, 30) if fate > 0.998 else dice.lognormvariate(-3.6, 0.8)
    for step in range(20):
        time.sleep(seconds / 20)
        ctx.progress(step + 1, 20)
    if fate < 0.012:
        raise ConnectionResetError(f"bucket photos-{first % 7} closed the connection after {dice.randint(100, 900)} ms")
    if fate < 0.018:
        raise ValueError(f"image {first} has no pixels")
    if fate < 0.021:
        raise MemoryError(f"cannot allocate {dice.randint(1, 9)} GiB")
    return {"bytes": dice.randint(1_000, 99_999)}
'''
TEMPLATE: Final = """\
name: resize-photos
params:
  n: {type: integer, minimum: 1}
split:
  range: {first: 1, last: "${n}", size: 1}
child:
  handler: photos:resize
  args: {first: "${child.first}", last: "${child.last}"}
  retry: {max_attempts: 2, initial_interval: 100ms}
failure: {on: run_all}
"""


@contextmanager
def command(folder: Path, *words: str, ready: str) -> Iterator[str]:
    """Have a command run in a folder; gives what it said when it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "streamsched", *words], cwd=folder, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "120"},
    )  # fmt: skip
    try:
        assert process.stderr is not None  # noqa: S101
        said = ""
        for line in process.stderr:
            said += line
            if ready in line:
                break
        yield said
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()


def photograph(folder: Path, address: str, program: str, until: float) -> None:
    """Wait until so much of the task is done, and take its page and what ``top`` shows."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        pages: dict[str, Any] = {}
        for theme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=theme, reduced_motion="reduce",
            )  # fmt: skip
            pages[theme] = context.new_page()
            pages[theme].goto(f"{address}/#/tasks/nightly-photos")
        share = "Number((document.querySelector('.figures small')?.textContent ?? '').match(/, ([\\d.]+) %/)?.[1] ?? 0)"
        while pages["light"].evaluate(share) < until:
            pages["light"].wait_for_timeout(300)
        PICTURES.mkdir(exist_ok=True)
        for theme, page in pages.items():
            page.wait_for_timeout(1_000)
            path = PICTURES / f"task-{theme}.png"
            page.screenshot(path=str(path))
            weigh(path)
        browser.close()
    draw(folder)


def weigh(path: Path) -> None:
    """Say how large a picture is; leave with an error where that is too much."""
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size:,} bytes")
    if size > MOST_BYTES:
        sys.exit(f"{path.name} is larger than {MOST_BYTES:,} bytes")


def draw(folder: Path) -> None:
    """Draw what ``top`` has on its screen after some seconds."""
    console = Console(record=True, width=COLUMNS, file=Path(os.devnull).open("w"), highlight=False)  # noqa: SIM115
    for row in screen(folder).splitlines()[:LINES]:
        console.print(Text.from_ansi(row), no_wrap=True, crop=True)
    path = PICTURES / "terminal.svg"
    path.write_text(console.export_svg(title="streamsched top", theme=THEME, code_format=DRAWING))
    weigh(path)


def screen(folder: Path) -> str:
    """Return the last whole frame that ``top`` draws within some seconds: it has seen a rate by then."""
    master, slave = pty.openpty()
    size = {"COLUMNS": str(COLUMNS), "LINES": str(LINES), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "streamsched", "top"], cwd=folder, stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, **size},
    )  # fmt: skip
    written, deadline = b"", time.monotonic() + 6
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.2)[0]:
            written += os.read(master, 65_536)
    process.terminate()
    process.wait()
    os.close(slave)
    os.close(master)
    return (FRAME + written.split(FRAME)[-2]).decode()


def main() -> None:
    """Make them."""
    program = chromium.find()
    if program is None:
        sys.exit(f"Chromium is needed: put it on PATH, or name it in {chromium.WHERE}")
    children = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos.py").write_text(WORK)
        (folder / "photos.yaml").write_text(TEMPLATE)
        with (
            command(folder, "up", "--slots", "6", ready="up, process"),
            command(folder, "server", "--http", "127.0.0.1:0", ready="ready:") as said,
        ):
            found = re.search(r"http://[\d.:]+", said)
            if found is None:
                sys.exit(said)
            sample = ("submit", "photos.yaml", "-p", "n=200", "--task-id", "sample-photos", "--wait")
            subprocess.run([sys.executable, "-m", "streamsched", *sample], cwd=folder, check=False)  # some fail
            labels = ("--label", "team=media", "--label", "tier=gold")
            submit = ("submit", "photos.yaml", "-p", f"n={children}", "--task-id", "nightly-photos", *labels)
            subprocess.run([sys.executable, "-m", "streamsched", *submit], cwd=folder, check=True)
            time.sleep(1)
            photograph(folder, found[0], program, 70.0)


if __name__ == "__main__":
    main()
