"""What is built and installed without ``make`` has all that it needs: schemas, types, examples, the command."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path, cwd: Path) -> str:
    done = subprocess.run([*map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and install it into a fresh environment, which finds the dependencies where they are."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist", cwd=ROOT)
    (wheel,) = (folder / "dist").glob("streamsched-*-py3-none-any.whl")
    run(sys.executable, "-m", "venv", folder / "env", cwd=folder)
    run(folder / "env" / "bin" / "pip", "install", "--no-index", "--no-deps", wheel, cwd=folder)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")  # after the environment's own
    return folder


def test_the_command_works_with_a_template_of_the_wheel(installed: Path) -> None:
    python = installed / "env" / "bin" / "python"
    where = run(python, "-c", "import streamsched.examples as e; print(e.__path__[0])", cwd=installed).strip()
    assert where.startswith(str(installed))
    command = installed / "env" / "bin" / "streamsched"
    assert run(command, "--version", cwd=installed).startswith("streamsched ")
    said = run(command, "run", f"{where}/print-numbers.yaml", "-p", "n=3000", cwd=installed)
    assert "3 of 3 succeeded" in said
    assert "no violation" in run(command, "audit", "verify", cwd=installed)


def test_it_holds_every_schema_the_pages_and_the_mark_of_types(installed: Path) -> None:
    (package,) = (installed / "env" / "lib").glob("python*/site-packages/streamsched")
    assert (package / "py.typed").is_file()
    for source, folder, pattern in (
        ("schemas", "schemas", "**/*.avsc"), ("examples", "examples", "*.yaml"), ("src/streamsched/ui", "ui", "**/*.*"),
        ("src/streamsched/cli", "cli", "*.css"),
    ):  # fmt: skip
        there = {str(path.relative_to(ROOT / source)) for path in (ROOT / source).glob(pattern)}
        assert there
        assert there == {str(path.relative_to(package / folder)) for path in (package / folder).glob(pattern)}
    assert (package / "schemas" / "fingerprints.lock").read_text() == (
        ROOT / "schemas" / "fingerprints.lock"
    ).read_text()
