"""The values of a template's variables: read, completed by defaults, and checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from streamsched.domain import pattern as patterns
from streamsched.domain import values
from streamsched.domain.placeholders import kept
from streamsched.domain.refusal import TemplateError, suggest
from streamsched.domain.template import Template


def read_params(text: str) -> Mapping[str, object]:
    """Read the parameters of a request; TemplateError where they are not a JSON object."""
    try:
        params: object = values.read(text)
    except ValueError as error:
        raise TemplateError(f"the variables are not JSON ({type(error).__name__})", "submit it anew") from None
    if not isinstance(params, dict):
        raise TemplateError("the variables are not an object", "give name and value of each")
    return params


def check_patterns(template: Template) -> None:
    """Refuse patterns of variables that cannot be matched in linear time. Raise TemplateError."""
    work = 0
    for name, param in template.params.items():
        param.check_pattern(name)
        work += patterns.work_of(param.pattern, "") if param.pattern is not None else 0
        if work > patterns.WORK_LIMIT:
            reason, path = "is one too many: all patterns together are too large", ("params", name, "pattern")
            raise TemplateError(reason, "write smaller ones, or remove some", path=path)


def resolve_params(template: Template, given: Mapping[str, object]) -> dict[str, object]:
    """Apply defaults and check every variable; return them in the order of the template.

    Raise TemplateError for one that is unknown, missing, of another type, or does not match its pattern.
    """
    resolved = complete_params(template, given)
    work = 0
    for name, param in template.params.items():
        fault, value = param.mismatch(resolved[name]), resolved[name]
        if fault is None and param.pattern is not None and isinstance(value, str):
            work += patterns.work_of(param.pattern, value)
            fault = "is one too many with a large pattern" if work > patterns.WORK_LIMIT else None
        if fault:
            raise TemplateError(fault, f"give it {param.wanted()}", template=template.name, variable=name)
    return resolved


def complete_params(template: Template, given: Mapping[str, object]) -> dict[str, object]:
    """Do what ``resolve_params`` does without patterns: the planner of a planned task has checked them."""
    if not isinstance(given, Mapping):
        raise TemplateError("the variables are not an object", "give name and value of each", template=template.name)
    for name in given:
        if name not in template.params:
            remedy = suggest(str(name), template.params)
            raise TemplateError("is unknown", remedy, template=template.name, variable=str(name))
    resolved: dict[str, object] = {}
    for name, param in template.params.items():
        value = given.get(name, param.default)
        if name not in given and value is None:
            reason, remedy = "is missing", f"give it a value: {param.wanted()}"
            raise TemplateError(reason, remedy, template=template.name, variable=name)
        try:
            value = kept(value)
        except TemplateError as error:
            raise TemplateError(error.reason, error.remedy, template=template.name, variable=name) from None
        fault = param.fault(value)
        if fault:
            raise TemplateError(fault, f"give it {param.wanted()}", template=template.name, variable=name)
        resolved[name] = value
    return resolved
