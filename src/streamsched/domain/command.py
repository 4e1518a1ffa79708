"""A program in place of a handler: what a template says of it, and how one child's is called. Pure.

Where code is named by one text, as in ``ChildCreated.handler``, that of a program is ``$ PROGRAM``. The program is the
same for all children, so that a worker can allow it; its arguments, environment and folder may hold placeholders. The
*arguments* of such a child (``ChildCreated.args``) are an object of these, filled in, beside its ``args``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from streamsched.domain import values
from streamsched.domain.placeholders import Reference, kept, parse, references, text_of
from streamsched.domain.refusal import FieldPath, TemplateError
from streamsched.domain.routing import COMMAND

LEVEL: Final = 3
"""The language that has programs."""
SHELL: Final = "/bin/sh"
RETRY: Final = "retry"
FAIL: Final = "fail"
_PATH: Final[FieldPath] = ("child", "command")
_NAME: Final = re.compile(r"(?!(?i:streamsched_))[A-Za-z_][A-Za-z0-9_]*")
CODE: Final = re.compile(r"[1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The program of a template, ``words[0]``, and its arguments; with ``shell`` that is the text of a shell.

    ``env`` is added to its environment, ``cwd`` is its folder (empty: the worker's). ``exit_codes`` says of exit codes
    whether they are to be tried again (``retry``) or not (``fail``).
    """

    words: list[str]
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = ""
    shell: bool = False
    exit_codes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("words", "env", "exit_codes"):
            object.__setattr__(self, name, kept(getattr(self, name), _PATH))

    def check(self) -> None:
        """Refuse what could not be started, whatever the variables are. Raise TemplateError."""
        _check_texts(self.words, list, _PATH)
        _check_texts(self.env, dict, ("child", "env"))
        _check_texts(self.exit_codes, dict, ("child", "exit_codes"))
        if not isinstance(self.cwd, str) or not isinstance(self.shell, bool):
            raise TemplateError("cwd is not a text, or shell not a boolean", "write cwd: DIR, shell: true", path=_PATH)
        if not self.words or not self.words[0].strip():
            raise TemplateError("there is no program", "write [PROGRAM, ARGUMENT, ...]", path=_PATH)
        if not self.shell and "${" in self.words[0]:
            reason = f"the program {self.words[0]} holds a placeholder, and workers allow programs by their names"
            raise TemplateError(reason, "write its name, and placeholders in its arguments", path=(*_PATH, 0))
        for name in self.env:
            if not _NAME.fullmatch(name):
                remedy = "use letters, digits and underscore, not a digit first; STREAMSCHED_ is reserved"
                raise TemplateError(f"{name!r} is not a name of a variable", remedy, path=("child", "env", name))
        for code, what in self.exit_codes.items():
            if not CODE.fullmatch(code):
                reason, remedy = f"{code!r} is not an exit code", 'write "1" to "255"; 0 is success'
                raise TemplateError(reason, remedy, path=("child", "exit_codes", code))
            if what not in (RETRY, FAIL):
                reason = f"{what!r} is nothing to do about an exit code"
                raise TemplateError(reason, f"write {RETRY} or {FAIL}", path=("child", "exit_codes", code))

    @property
    def code(self) -> str:
        """The text that names it where code is named."""
        return COMMAND + (SHELL if self.shell else self.words[0])

    def references(self) -> Iterator[tuple[FieldPath, str]]:
        """Name every variable in it, with its path."""
        yield from references(self.words, _PATH)
        yield from references(self.env, ("child", "env"))
        yield from references(self.cwd, ("child", "cwd"))

    def lowered(self) -> dict[str, Any]:
        """Return what is filled in for each child: arguments, environment and folder.

        In the text of a shell a placeholder becomes a variable of the environment, so that no value can be a command.
        """
        if not self.shell:
            return {"words": self.words[1:], "env": self.env, "cwd": self.cwd}
        script, env = "", dict(self.env)
        for piece in parse(self.words[0]):
            if isinstance(piece, Reference):
                name = f"streamsched_{len(env) - len(self.env) + 1}"
                env[name] = f"${{{piece.name}}}"
                script += f"$${{{name}}}"
            else:
                script += piece.replace("${", "$${")
        return {"words": ["-c", script, "sh", *self.words[1:]], "env": env, "cwd": self.cwd}


@dataclass(frozen=True, slots=True)
class Call:
    """How the program of one child is called. ``args`` is what it reads."""

    program: str
    words: list[str]
    env: dict[str, str]
    cwd: str
    args: object


def call_of(code: str, arguments: str) -> Call:
    """Read the arguments of a child whose code is ``$ PROGRAM``. Raise ValueError.

    A value that is a list is as many arguments; what is no text becomes JSON.
    """
    found = values.read(arguments)
    try:
        words = [text_of(part) for word in found["words"] for part in (word if isinstance(word, list) else [word])]
        env = {str(name): text_of(value) for name, value in found["env"].items()}
        return Call(code.removeprefix(COMMAND), words, env, text_of(found["cwd"]), found["args"])
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"these are not the arguments of a program ({type(error).__name__}: {error})") from None


def _check_texts(value: Any, kind: type, path: FieldPath) -> None:
    texts = value.values() if isinstance(value, dict) else value
    if not isinstance(value, kind) or not all(isinstance(text, str) and "\0" not in text for text in texts):
        what = "a list of texts" if kind is list else "texts by their names"
        raise TemplateError(f"must be {what}, without the character NUL", "correct it", path=path)
