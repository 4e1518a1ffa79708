"""README and docs are held against the code: what they name is there, and what users can write is named."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from streamsched.cli.options import global_options
from streamsched.domain.splitters import SPLITTERS
from streamsched.files import schedule_file, template_model
from streamsched.installation import settings
from streamsched.runtime import metrics
from tools.options import commands

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "src" / "streamsched"
DOCS: Final = {
    path.name: path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
ALL: Final = "\n".join(DOCS.values())

BASES: Final = (ROOT, SOURCE, ROOT / "tests")
FOLDERS: Final = "|".join(
    sorted(path.name for base in BASES for path in base.iterdir() if path.is_dir() and path.name[0].isalpha())
)
COMMANDS: Final = dict(commands())
GLOBAL: Final = {option: each for each in global_options() for option in each.opts}
FIELDS: Final = {
    str(field.get("validation_alias", name))
    for fields in template_model._OBJECTS.values()
    for name, field in fields.items()
} | {*schedule_file.TIMES, *schedule_file.POLICY, *schedule_file.TASKS}
METRICS: Final = {each.name for each in vars(metrics).values() if isinstance(each, metrics.Metric)}
TREES: Final = {path: ast.parse(path.read_text()) for path in SOURCE.rglob("*.py")}
CLASSES: Final = {
    node.name: node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
}
TEXTS: Final = {
    node.value
    for tree in TREES.values()
    for node in ast.walk(tree)
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
}
"""The constants of the source: among them the names of errors that no class stands for, as ``ExecutorDied``."""
OTHERS: Final = {"OrderedDict", "StrEnum", "IntEnum", "NaN"}
"""Names like those of our classes, of Python and of JSON."""
OF_CLICK: Final = {"--help", "--version", "--install-completion"}
UNWRITTEN: Final = "bench/results"


def code(text: str) -> Iterator[str]:
    """Yield what stands as code: each span between backticks, and each line of a block, its continuations joined."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield from block.replace("\\\n", " ").splitlines()
    for span in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)):
        yield span.replace("\\|", "|").replace("\n", " ")


def missing_paths(text: str) -> set[str]:
    """Return the files and folders that a text names and that are not there; links are relative to ``docs``."""
    named = {match for each in code(text) for match in re.findall(rf"(?<![\w/.])(?:{FOLDERS})/[\w./-]*", each)}
    found = {path for path in named if not path.startswith(UNWRITTEN)}
    links = set(re.findall(r"\]\(([\w./-]+\.\w+)(?:#[\w-]*)?\)", text))
    return {path for path in found if not _is_there(path)} | {
        link for link in links if not any((base / link).exists() for base in (ROOT, ROOT / "docs"))
    }


def _is_there(path: str) -> bool:
    return any((base / path.rstrip(".")).exists() for base in BASES)


def wrong_commands(text: str) -> set[str]:
    """Return the command lines that no command takes: an unknown command, or an option that it does not have."""
    lines = (each for line in code(text) for each in re.findall(r"(?<!from)[\s/&;(]streamsched ([^#;&|]*)", f" {line}"))
    return {line for line in lines if not _is_command(line.split())}


def _is_command(words: list[str]) -> bool:
    while words and words[0] in GLOBAL:
        words = words[1 if GLOBAL[words[0]].is_flag else 2 :]
    if not words or words[0] in OF_CLICK or not re.match(r"[a-z-]+$", words[0]):
        return True
    depth = max((n for n in (1, 2) if " ".join(words[:n]) in COMMANDS), default=0)
    known = {option for each in COMMANDS[" ".join(words[:depth])].params for option in each.opts} if depth else set()
    is_group = any(name.startswith(f"{words[0]} ") for name in COMMANDS) and len(words) == 1
    options = {word.split("=")[0] for word in words[depth:] if re.match(r"-{1,2}[a-z]", word)}
    return is_group or (depth > 0 and options <= known | GLOBAL.keys() | {"--help"})


def unknown_options(text: str) -> set[str]:
    """Return the options that stand alone and that no command has."""
    known = {option for found in COMMANDS.values() for each in found.params for option in each.opts}
    named = {option for each in code(text) for option in re.findall(r"^(--[a-z][a-z-]*)", each)}
    return named - known - GLOBAL.keys() - OF_CLICK


def unknown_fields(text: str) -> set[str]:
    """Return what a table of fields names, or what stands after ``child.``, and is not a field of a file."""
    named, heads = set(), ("field", "`retry`", *(f"`{kind}`" for kind in SPLITTERS))
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [row.split("|")[1].strip() for row in table.splitlines()]
        if rows[0] in heads:
            named |= {name for row in rows[2:] for name in re.findall(r"`(\w+)`", row)}
    named |= {name for each in code(text) for name in re.findall(r"^(?:child|retry|failure)\.(\w+)$", each)}
    return named - FIELDS


def unknown_classes(text: str) -> set[str]:
    """Return the names of events and other classes, and of their attributes, that the source does not have."""
    pattern = r"_?[A-Z][a-z]+(?:[A-Z][A-Za-z]*)+(?:\.\w+)?|[A-Z]\w+\.\w+"
    named = {each for each in code(text) if re.fullmatch(pattern, each)}
    return {name for name in named if not _is_class(*name.split("."))}


def _is_class(name: str, attribute: str | None = None) -> bool:
    if attribute is None:
        return name in CLASSES or name in TEXTS or hasattr(builtins, name) or name in OTHERS
    return name in CLASSES and any(
        attribute in (getattr(node, "name", None), getattr(node, "attr", None), getattr(node, "id", None))
        for node in ast.walk(CLASSES[name])
    )


def unknown_variables(text: str) -> set[str]:
    """Return the variables of the environment that nothing reads; any may follow ``STREAMSCHED_KAFKA_``."""
    readers = [*TREES, *(ROOT / "tools").glob("*.py"), *(ROOT / "tests" / "fault").glob("*.py")]
    known = {name for path in readers for name in re.findall(r"STREAMSCHED_[A-Z_]*[A-Z]", path.read_text())}
    known |= {f"STREAMSCHED_{key.upper()}" for key in settings._KEYS}
    named = set(re.findall(r"\bSTREAMSCHED_[A-Z_]*[A-Z]\b", text))
    return {name for name in named if name not in known and not name.startswith("STREAMSCHED_KAFKA")}


def unknown_settings(text: str) -> set[str]:
    """Return the rows of the table of settings that are none."""
    return set(re.findall(r"^\| `(\w+)` \| `STREAMSCHED_", text, re.MULTILINE)) - {*settings._KEYS, "config"}


def unknown_metrics(text: str) -> set[str]:
    """Return the names that end as those of metrics do, and that are none."""
    return set(re.findall(r"\bstreamsched_[a-z_]*[a-z]\b", text)) - METRICS


def undefined_names(text: str) -> set[str]:
    """Return the names in brackets behind a file, as in ``x/y.py`` (``name``), that the file does not have."""
    pairs = re.findall(r"`([\w/]+\.py)`\s*\(([^)]*)\)", text)
    return {
        f"{path} {name}"
        for path, inside in pairs
        if (SOURCE / path).exists()
        for name in re.findall(r"`(?:\w+\.)?(\w+)`", inside)
        if not re.search(rf"\b(def|class) {name}\b|^ *{name}\b *[:=]", (SOURCE / path).read_text(), re.MULTILINE)
    }


def missing_tests(text: str) -> set[str]:
    """Return the names of test files, without their folders, that are nowhere below ``tests``."""
    there = {path.name for path in (ROOT / "tests").rglob("*.py")}
    named = {name for each in code(text) for name in re.findall(r"(?<![\w/])test_\w*\.py", each)}
    return named - there


def missing_cases(text: str) -> set[str]:
    """Return the tests, as ``unit/test_docs.py::test_name``, that are not there."""
    named = set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", text))
    return {
        f"{path}::{name}"
        for path, name in named
        if not (found := ROOT / "tests" / path).is_file() or not re.search(rf"\bdef {name}\b", found.read_text())
    }


CHECKS: Final[dict[Callable[[str], set[str]], tuple[str, str]]] = {
    missing_paths: ("`worker/nowhere.py`", "worker/nowhere.py"),
    undefined_names: ("`worker/children.py` (`nowhere`)", "worker/children.py nowhere"),
    missing_tests: ("`test_nowhere.py`", "test_nowhere.py"),
    missing_cases: ("`unit/test_docs.py::test_nothing`", "unit/test_docs.py::test_nothing"),
    wrong_commands: ("`streamsched submit job.yaml --sideways`", "submit job.yaml --sideways"),
    unknown_options: ("`--sideways`", "--sideways"),
    unknown_fields: ("| field | needed |\n|---|---|\n| `handlr` | yes |\n", "handlr"),
    unknown_classes: ("`TaskForgotten`", "TaskForgotten"),
    unknown_variables: ("`STREAMSCHED_COLOUR`", "STREAMSCHED_COLOUR"),
    unknown_settings: ("| `colour` | `STREAMSCHED_COLOUR` |\n", "colour"),
    unknown_metrics: ("`streamsched_moons_total`", "streamsched_moons_total"),
}
"""Each check, and a text that it must not let pass."""


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", DOCS)
def test_what_the_docs_name_is_there(name: str, check: Callable[[str], set[str]]) -> None:
    assert check(DOCS[name]) == set()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_each_check_can_fail(check: Callable[[str], set[str]]) -> None:
    broken, found = CHECKS[check]
    assert check(broken) == {found}


@pytest.mark.parametrize(
    ("broken", "found"),
    [("`streamsched sumbit job.yaml`", "sumbit job.yaml"), ("```\nstreamsched topics mend\n```\n", "topics mend")],
)
def test_a_command_that_is_none_is_found(broken: str, found: str) -> None:
    assert wrong_commands(broken) == {found}


def test_a_method_that_is_none_is_found() -> None:
    assert unknown_classes("`Scheduler.forget_all` `Scheduler.step`") == {"Scheduler.forget_all"}


def unnamed(text: str) -> set[str]:
    """Return the commands, settings and fields of templates and schedules that a text does not name."""
    words = {word for each in code(text) for word in re.findall(r"\w+", each)}
    wanted: list[Any] = [*FIELDS, *settings._KEYS]
    return {name for name in wanted if name not in words} | {
        name for name in COMMANDS if not re.search(rf"`streamsched {re.escape(name)}[` ]", text)
    }


def test_what_users_can_write_is_named_in_the_docs() -> None:
    assert unnamed(ALL) == set()
    assert {"data_dir", "submit", "heartbeat"} <= unnamed("")
