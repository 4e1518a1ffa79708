"""What the README shows must work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamsched.api.schedule_file import want_schedule
from streamsched.api.template_file import load_template, prepare

pytestmark = pytest.mark.unit
README = Path(__file__).parents[2] / "README.md"


def test_the_files_in_the_readme_can_be_used(tmp_path: Path) -> None:
    template, schedule = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    path = tmp_path / "resize.yaml"
    path.write_text(template)
    prepared = prepare(load_template(path), {"files": [f"{number}.png" for number in range(250)]}, path)
    assert prepared.plan.children == 3
    nightly = tmp_path / "nightly.yaml"
    nightly.write_text(schedule)
    wanted = want_schedule(nightly, now=1_764_000_000_000)
    assert (wanted.schedule_id, wanted.spec.home, wanted.prepared.plan.children) == ("nightly", "Europe/Berlin", 1)


def test_the_handler_in_the_readme_compiles() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "README.md", "exec")
