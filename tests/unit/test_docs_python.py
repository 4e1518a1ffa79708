"""``docs/python.md`` and the Python of the README are held against the code: it runs, and type checkers take it."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

import streamsched
from streamsched import Job, Task, split
from tests.support.readme import blocks, shell

TEXT = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", TEXT, re.DOTALL))
PHOTOS, PHOTOS_USE, ORDERS, ORDERS_USE, SALES, USE, CLIENT = blocks("In Python", "python")
OWN = {"photos.py": PHOTOS, "twice.py": PHOTOS_USE, "orders.py": ORDERS, "countries.py": ORDERS_USE}
LINES_LIMIT = 20


def own_lines(*texts: str) -> int:
    return sum(bool(line.strip()) for text in texts for line in text.splitlines())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {**FILES, **OWN, "sales.py": SALES, "use.py": USE, "client.py": CLIENT}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.slow
def test_its_files_run(folder: Path) -> None:
    said = shell(folder, "python3 start.py\npython3 many.py\npython3 many.py\npython3 together.py")
    lines = ["3 children", "{'resized': 50}", "succeeded [{'resized': 100}, {'resized': 100}, {'resized': 50}]"]
    lines += ["500 requested", "0 requested", "requested []"]
    assert [line for line in said.splitlines() if "png" not in line] == lines


@pytest.mark.slow
def test_a_backfill_over_dates_is_twenty_lines(folder: Path) -> None:
    (folder / "raw").mkdir()
    days = [date(2024, 1, 1) + timedelta(days=number) for number in range(60)]
    for number, day in enumerate(days):
        (folder / "raw" / f"{day}.csv").write_text(f"name,amount\na,{number}\nb,0.5\n")
    assert own_lines(SALES, USE) <= LINES_LIMIT
    assert f"succeeded {sum(range(60)) + 30.0}" in shell(folder, "python3 use.py")


@pytest.mark.slow
def test_a_folder_of_images_is_twenty_lines(folder: Path) -> None:
    (folder / "photos" / "old").mkdir(parents=True)
    for number in range(300):
        path = folder / "photos" / ("old" if number % 3 else "") / f"{number:03}.png"
        path.write_bytes(b"\x89PNG\r\n" + str(number % 299).encode() * 1000)
    assert own_lines(PHOTOS, PHOTOS_USE) <= LINES_LIMIT
    first, last = folder / "photos" / "000.png", folder / "photos" / "old" / "299.png"
    assert shell(folder, "python3 twice.py") == f"{[[str(first), str(last)]]}\n"


@pytest.mark.slow
def test_a_large_jsonl_is_twenty_lines(folder: Path) -> None:
    (folder / "orders").mkdir()
    wanted: Counter[str] = Counter()
    for year in (2024, 2025):
        with (folder / "orders" / f"{year}.jsonl").open("w") as file:
            for number in range(20_000):
                country = ("de", "fr", "\u00e9")[number % 3]
                wanted[country] += number
                file.write(json.dumps({"country": country, "amount": number, "note": "x" * (number % 40)}) + "\n")
    (folder / "orders.py").write_text(ORDERS.replace("64MB", "64kB"))
    assert own_lines(ORDERS, ORDERS_USE) <= LINES_LIMIT
    assert ast.literal_eval(shell(folder, "python3 countries.py")) == wanted


@pytest.mark.slow
def test_type_checkers_take_it(folder: Path) -> None:
    (folder / "wrong.py").write_text(
        "from pictures import resize\nfrom streamsched import AsyncClient, ChildContext, LocalTransport\n"
        "from streamsched.split import dates\n\n\n"
        "async def use(client: AsyncClient) -> None:\n"
        "    reveal_type(resize(ChildContext(LocalTransport()), ['a']))\n"
        "    reveal_type((await client.status('a')).submitted_at)\n"
        "    reveal_type([child.result async for child in client.results('a')])\n"
        "    reveal_type(resize.submit(width=5).wait(3).finished_at)\n"
        "    resize(ChildContext(LocalTransport()), 5)\n"
        "    await client.status(5)\n"
        "    dates('2024-01-01', 5)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(folder / "cache"), *FILES, *OWN,
         "sales.py", "use.py", "client.py", "wrong.py"],
        cwd=folder, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    said = done.stdout.replace("builtins.", "") + done.stderr
    assert 'wrong.py:7: note: Revealed type is "dict[str, int]"' in said, said
    assert 'wrong.py:8: note: Revealed type is "datetime.datetime"' in said, said
    assert 'wrong.py:9: note: Revealed type is "list[Any]"' in said, said
    assert 'wrong.py:10: note: Revealed type is "datetime.datetime | None"' in said.replace(
        "Union[datetime.datetime, None]", "datetime.datetime | None"
    ), said
    errors = [line for line in said.splitlines() if ": error: " in line]
    assert [line.partition(": ")[0] for line in errors] == ["wrong.py:11", "wrong.py:12", "wrong.py:13"], said


def public(kind: object) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_all_that_users_have_is_named() -> None:
    makers = {name for name in public(split) if inspect.isfunction(getattr(split, name))} - {
        "dataclass",
        "fspath",
        "plain",
    }
    options = {*inspect.signature(streamsched.job).parameters} - {"child"}
    for name in public(Job) | public(Task) - {"owning"} | makers | options:
        assert re.search(rf"\b{name}\b", TEXT), name
