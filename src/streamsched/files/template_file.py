"""Make all that a submit writes from a template file and the caller's variables, or one error with its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from streamsched.domain import values
from streamsched.domain.child_spec import of_stage
from streamsched.domain.errors import InputError
from streamsched.domain.placeholders import encode, kept
from streamsched.domain.refusal import FieldPath, TemplateError, dotted
from streamsched.domain.rule_checks import check_rules
from streamsched.domain.splitters.outside import FileSplitter
from streamsched.domain.splitting import ChildArguments, Plan, plan
from streamsched.domain.template import Template, version
from streamsched.domain.variables import resolve_params
from streamsched.files.source import FILE_LIMIT_BYTES, Document, document_of, read_document, read_text
from streamsched.files.template_model import MISSING, build
from streamsched.log.topics import PAYLOAD_LIMIT


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task that can be submitted: resolved and within its limits.

    ``params_json`` holds every variable, defaults included, in canonical JSON: equal submits have equal text.
    """

    template: Template
    template_json: str
    version: str
    params_json: str
    plan: Plan

    @property
    def children(self) -> int:
        """How many children the task has."""
        return self.plan.children

    def arguments(self) -> ChildArguments:
        """Return a function from a child's index, from 0, to its arguments as JSON."""
        return ChildArguments(self.template, values.read(self.params_json), self.plan.document)


def load_template(path: Path) -> Template:
    """Read a template file. Raise InputError.

    What was read from the same text before is not checked again: its dictionaries are shared, and not to be changed.
    """
    return _placed(_checked(read_text(path), path), path.parent)


@lru_cache(maxsize=16)
def _checked(text: str, path: Path) -> Template:
    document = document_of(text, path)
    return _built(document, document.value)


def template_of(value: Mapping[str, object]) -> Template:
    """Read a template from a dictionary. Raise InputError without a line."""
    document = Document("template", value, numbered=False)
    try:
        plain = kept(value)
    except TemplateError as error:
        raise document.refuse(error.path, error.reason, error.remedy) from None
    return template_in(document, plain)


def template_in(document: Document, value: object, place: FieldPath = ()) -> Template:
    """Read the template at ``place`` in a document. Raise InputError."""
    return _placed(_built(document, value, place), Path(document.source).parent if document.numbered else Path())


def _built(document: Document, value: object, place: FieldPath = ()) -> Template:
    try:
        return build(value)
    except ExceptionGroup as group:
        errors = [error for error in group.exceptions if isinstance(error, TemplateError)]
        # A missing key is often a misspelt one: report the misspelt line first.
        first = min(errors, key=lambda error: (error.reason == MISSING, document.line((*place, *error.path))))
        raise document.refuse((*place, *first.path), first.reason, first.remedy) from None


def _placed(template: Template, folder: Path) -> Template:
    """Note the folder to which relative paths of the input belong."""
    if not isinstance(template.split, FileSplitter):
        return template
    return replace(template, split=replace(template.split, folder=str(folder.absolute())))


def prepare(template: Template, params: Mapping[str, object], path: Path | None = None) -> Prepared:
    """Resolve and check all that a submit of this task writes, so that no scheduler refuses it later.

    With ``path``, the template's file, an error names the line. Raise InputError.
    """
    try:
        return resolve(template, params)
    except TemplateError as error:
        raise _located(error, path) from None


def resolve(template: Template, params: Mapping[str, object]) -> Prepared:
    """Resolve as ``prepare`` does. Raise TemplateError."""
    template.child.retry.check_names()
    check_rules(template.failure.rules, template.child)
    if template.split_retry is not None:
        with of_stage("split"):
            template.split_retry.check_names()
    if template.reduce is not None:
        with of_stage("reduce"):
            template.reduce.retry.check_names()
    resolved = resolve_params(template, params)
    params_json = encode(resolved)
    if len(params_json) > PAYLOAD_LIMIT:
        reason = f"the variables have {len(params_json):,} bytes of JSON, the limit is {PAYLOAD_LIMIT:,}"
        remedy = "pass large data by reference (a path, an address)"
        raise TemplateError(reason, remedy, template=template.name, path=("params",))
    template_json = template.to_json()
    if len(template_json) > FILE_LIMIT_BYTES:
        reason = f"the template has {len(template_json):,} bytes of JSON, the limit is {FILE_LIMIT_BYTES:,}"
        raise TemplateError(reason, "pass large data by reference", template=template.name)
    return Prepared(template, template_json, version(template, template_json), params_json, plan(template, resolved))


def _located(error: TemplateError, path: Path | None) -> InputError:
    field = error.path
    if error.variable:
        field = ("params", error.variable)
    if path is None:
        reason = f"template {error.template}: {reason_of(error)}"
        return InputError(reason, error.remedy, field=dotted(field))
    return read_document(path).refuse(field, reason_of(error), error.remedy)


def reason_of(error: TemplateError) -> str:
    """Return what is wrong, with the name of the variable."""
    return f"variable {error.variable} {error.reason}" if error.variable else error.reason
