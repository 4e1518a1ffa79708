"""Variables of a submit, from ``-p name=value`` and files, read by the types that the template declares."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from streamsched.domain.errors import InputError
from streamsched.domain.param import Param
from streamsched.domain.placeholders import encode, kept
from streamsched.domain.refusal import TemplateError, suggest
from streamsched.domain.template import Template
from streamsched.files.source import read_bytes, read_document, read_json
from streamsched.log.topics import PAYLOAD_LIMIT

_INTEGER: Final = re.compile(r"[+-]?[0-9]+(_[0-9]+)*")
_TICK: Final = "${tick."


def load_params(template: Template, pairs: Sequence[str] = (), file: Path | None = None) -> dict[str, object]:
    """Read and check the variables of one submit: those of ``file`` (JSON or YAML), overridden by ``pairs``.

    A pair is ``name=value``. Strings are taken as they are, arrays and objects are JSON, and ``@path`` is an array of
    that file's lines. ``prepare`` adds defaults and refuses missing variables. Raise InputError.
    """
    given = _from_file(template, file) if file is not None else {}
    seen: set[str] = set()
    for pair in pairs:
        name, sign, text = pair.partition("=")
        source = f"-p {pair if len(pair) <= 60 else f'{pair[:57]}...'}"
        if not sign:
            raise InputError("'=' is missing", "write -p name=value", source=source)
        if name in seen:
            raise InputError("is given twice", "keep one", source=source, field=name)
        seen.add(name)
        param = template.params.get(name)
        if param is None:
            raise _unknown(template, name, source, None)
        given[name] = _read(name, param, text, source)
        _check(name, param, given[name], source, None)
    size = len(encode(given))
    if size > PAYLOAD_LIMIT:
        reason = f"the variables have {size:,} bytes of JSON, the limit is {PAYLOAD_LIMIT:,} (256 KiB)"
        remedy = "pass large data by reference (a path, an address)"
        raise InputError(reason, remedy, source=str(file) if file is not None else "-p")
    return given


def load_tick_params(template: Template, pairs: Sequence[str] = ()) -> dict[str, object]:
    """Read the variables of a schedule as ``load_params`` does, but leave a text with ``${tick.`` in it as it is."""
    later = [pair for pair in pairs if _TICK in pair]
    given = load_params(template, [pair for pair in pairs if _TICK not in pair])
    for pair in later:
        name, _, text = pair.partition("=")
        source = f"-p {pair if len(pair) <= 60 else f'{pair[:57]}...'}"
        param = template.params.get(name)
        if param is None:
            raise _unknown(template, name, source, None)
        if name in given:
            raise InputError("is given twice", "keep one", source=source, field=name)
        given[name] = read_json(text, source).value if param.type in ("array", "object") else text
    return given


def _from_file(template: Template, file: Path) -> dict[str, object]:
    document = read_document(file)
    if not isinstance(document.value, dict):
        raise document.refuse((), "must be an object", "write name: value lines")
    for name, value in document.value.items():
        line = document.lines.get((name,))
        param = template.params.get(name)
        if param is None:
            raise _unknown(template, name, document.source, line)
        _check(name, param, value, document.source, line)
    return dict(document.value)


def _unknown(template: Template, name: str, source: str, line: int | None) -> InputError:
    reason = f"template {template.name} has no variable {name!r}"
    return InputError(reason, suggest(name, template.params), source=source, line=line, field=name)


def _check(name: str, param: Param, value: object, source: str, line: int | None) -> None:
    try:
        kept(value)
    except TemplateError as error:
        raise InputError(error.reason, error.remedy, source=source, line=line, field=name) from None
    fault = param.fault(value) or param.mismatch(value)
    if fault:
        raise InputError(fault, f"give it {param.wanted()}", source=source, line=line, field=name)


def _read(name: str, param: Param, text: str, source: str) -> object:
    if param.type == "string":
        return text
    if param.type == "array" and text.startswith("@") and param.items in (None, "string"):
        return _lines(Path(text[1:]), name, source)
    if param.type in ("array", "object"):
        lines = " or @FILE (its lines)" if param.items in (None, "string") else ""
        array = f'["a","b"]{lines}' if lines else "[1,2]"
        example = array if param.type == "array" else '{"key":"value"}'
        try:
            return read_json(text, source).value
        except InputError as error:
            remedy = f"write -p {name}={example}, quoted for the shell"
            raise InputError(error.reason, remedy, source=source, field=name) from None
    try:
        return _scalar(param.type, text)
    except ValueError:
        reason = f"{text[:60]!r} is not of type {param.type}"
        raise InputError(reason, f"give it {param.wanted()}", source=source, field=name) from None


def _scalar(kind: str, text: str) -> object:
    if kind == "boolean":
        words = {"true": True, "false": False}
        if text.lower() not in words:
            raise ValueError(text)
        return words[text.lower()]
    if kind == "number" and not _INTEGER.fullmatch(text):
        return float(text)
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _lines(path: Path, name: str, source: str) -> list[str]:
    try:
        data = read_bytes(path)
    except InputError as error:
        reason = f"{path} {error.reason}"
        raise InputError(reason, error.remedy, source=source, field=name) from None
    # A file name may be any bytes: one that is not UTF-8 must come back as it was.
    text = data.decode("utf-8", "surrogateescape")
    return [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
