"""Write the options of all commands into ``docs/settings.md``, from the commands themselves.

python -m tools.options
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from streamsched.cli.app import command
from streamsched.cli.options import global_options

DOCUMENT: Final = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
BEGIN: Final = "<!-- made by python -m tools.options: begin -->\n"
END: Final = "<!-- end -->\n"


def commands(group: Any = None, path: str = "") -> Iterator[tuple[str, Any]]:
    """Walk all commands, each with its words."""
    group = group or command()
    for name in group.commands:
        found = group.commands[name]
        words = f"{path}{name}"
        if not getattr(found, "commands", None):
            yield words, found
            continue
        if found.invoke_without_command:
            yield words, found
        yield from commands(found, f"{words} ")


def text() -> str:
    """Write the options of every command, and those that all take, as tables."""
    known = {option for parameter in global_options() for option in parameter.opts}
    parts = ["### Every command\n", *_table(global_options())]
    for words, found in commands():
        own = [each for each in found.params if each.param_type_name == "option" and not known & set(each.opts)]
        own = [each for each in own if "--help" not in each.opts]
        arguments = " ".join(each.make_metavar(None) for each in found.params if each.param_type_name == "argument")
        parts.append(f"### `streamsched {words}{f' {arguments}' if arguments else ''}`\n")
        parts += _table(own) if own else ["no options of its own\n"]
    return "\n".join(parts)


def _table(parameters: Any) -> Iterator[str]:
    rows = [f"| `{_names(each)}` | {each.help.replace('|', '&#124;')}{_default(each)} |" for each in parameters]
    yield "\n".join(["| option | |", "|---|---|", *rows, ""])


def _names(parameter: Any) -> str:
    names = ", ".join(parameter.opts)
    metavar = parameter.metavar or parameter.type.name.upper()
    return names if parameter.is_flag else f"{names} {metavar}".replace("|", "\\|")


def _default(parameter: Any) -> str:
    """Return what an option is by itself, where its help does not say so."""
    if parameter.is_flag or parameter.default in (None, "", ()) or not parameter.show_default:
        return ""
    value = f"{parameter.default:g}" if isinstance(parameter.default, float) else parameter.default
    return f" Default: {value}."


def written(document: str) -> str:
    """Put the tables into the document."""
    before, rest = document.split(BEGIN)
    return before + BEGIN + text() + END + rest.split(END, 1)[1]


def main() -> int:
    """Rewrite the document."""
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
