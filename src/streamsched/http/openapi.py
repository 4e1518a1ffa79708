"""The document of the API (OpenAPI 3.1), made of the table of addresses and of the structs that they name."""

from __future__ import annotations

import inspect
import re
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Struct

from streamsched.http.access import Role
from streamsched.http.call import BYTES, HTML, NDJSON, POSITION, SSE, Route
from streamsched.http.inputs import NoQuery
from streamsched.http.problems import MEDIA_TYPE, Problem
from streamsched.http.sign_in import BEGIN, CALLBACK
from streamsched.http.table import ROUTES
from streamsched.queries import grid
from streamsched.runtime.metrics import MEDIA_TYPE as METRICS

REF: Final = "#/components/schemas/{name}"
WELL: Final = ("/livez", "/readyz")
"""Their 503 is what they are for."""
REFUSALS: Final[dict[int | str, str]] = {
    400: "The request cannot be read, or means another host.",
    401: "A token is missing, or not known.",
    403: "The role does not suffice, or a page of another site asks.",
    404: "There is no such thing.",
    408: "The body is too slow.",
    409: "It conflicts with what is there.",
    412: "The task has changed since the position of If-Match.",
    413: "The body is too large.",
    415: "The body is of another type.",
    422: "A parameter, a header or a field cannot be used.",
    503: "Not now: the journal is being folded, a position was not reached, or the log does not answer.",
    "default": "What is wrong.",
}
_TEXT: Final = {"type": "string"}
_INTRO: Final = (
    "Tasks, their children and schedules of one installation. Every error is a problem document (RFC 9457). "
    "Fields are only ever added: clients pass over those that they do not know."
)


def document() -> dict[str, Any]:
    """Return the document."""
    kinds = _kinds()
    schemas, components = msgspec.json.schema_components(kinds, schema_hook=attrgetter("schema"), ref_template=REF)
    known = dict(zip(map(_key, kinds), schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, known)
    return {
        "openapi": "3.1.0",
        "info": {"title": "streamsched", "version": "1", "description": _INTRO},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "responses": {
                str(status): {"description": text, "content": {MEDIA_TYPE: {"schema": known[_key(Problem)]}}}
                for status, text in REFUSALS.items()
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _kinds() -> list[Any]:
    kinds: dict[str, Any] = {_key(Problem): Problem}
    for route in ROUTES:
        for kind in (route.body, *(each for answer in route.answers.values() for each in _each(answer))):
            if kind not in (None, bytes):
                kinds.setdefault(_key(kind), kind)
    return list(kinds.values())


def _each(answer: Any) -> tuple[Any, ...]:
    return answer if isinstance(answer, tuple) else (answer,)


def _key(kind: Any) -> str:
    return str(kind)


def _operation(route: Route, known: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}.{route.handler.__name__}",
        "summary": route.summary,
        "description": _description(route),
        "parameters": [*_in_path(route.path), *_in_query(route.query), *_in_headers(route)],
        "responses": {str(status): _answer(route, status, kind, known) for status, kind in route.answers.items()},
    }
    if "If-None-Match" in route.headers:
        made["responses"]["304"] = {"description": "Nothing has changed."}
    for status in (*map(str, sorted(_refusals(route))), "default"):
        made["responses"][status] = {"$ref": f"#/components/responses/{status}"}
    if route.body is not None:
        made["requestBody"] = {"content": {route.body_type: {"schema": known[_key(route.body)]}}}
        if any(field.required for field in msgspec.structs.fields(route.body)):
            made["requestBody"]["required"] = True
    if route.role is not Role.NONE:
        made["security"] = [{"token": []}, {}]
    return made


def _refusals(route: Route) -> set[int]:
    """Return the statuses of problems that an address answers with, besides what no server means to (500)."""
    found = {400, 403, 422}
    if route.role is not Role.NONE:
        found |= {401}
    if route.path in (BEGIN, CALLBACK):  # there is no issuer, or it does not know who asks
        found |= {401, 404}
    if "{" in route.path:
        found |= {404}
    if route.body is not None:
        found |= {408, 413, 415}
    later = route.path.endswith(("/result", "/certificate"))  # it is not there yet
    if "{" in route.path and (route.method != "GET" or later):
        found |= {409}
    if "If-Match" in route.headers:
        found |= {412}
    if route.query is not NoQuery or route.method != "GET" or route.path in WELL:
        found |= {503}
    return found


def _description(route: Route) -> str:
    module = inspect.getdoc(grid) if route.media_type == BYTES else ""
    role = "Anybody may ask." if route.role is Role.NONE else f"Needs the role {route.role.name.lower()}."
    return f"{role}\n\n{module}" if module else role


def _answer(route: Route, status: int, kind: Any, known: dict[str, Any]) -> dict[str, Any]:
    words = {200: "OK.", 201: "Made.", 202: "Requested.", 204: "OK.", 303: "Go on there."}
    made: dict[str, Any] = {"description": words[status]}
    if kind is None:
        return made
    told = f" A document a line, of {_name(kind)}." if route.media_type == NDJSON else ""
    told = f" Messages whose data is {_name(kind)}, and whose id is a position." if route.media_type == SSE else told
    made["description"] += told
    if route.media_type == SSE:
        made["content"] = {SSE: {"schema": _event(known[_key(kind)])}}
    elif route.media_type in (NDJSON, BYTES, METRICS, HTML):
        made["content"] = {route.media_type.partition(";")[0]: {"schema": {} if route.media_type == BYTES else _TEXT}}
    else:
        schemas = [known[_key(each)] for each in _each(kind)]
        made["content"] = {route.media_type: {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}
    made["headers"] = {POSITION: {"description": "Up to where the journal was folded.", "schema": _TEXT}}
    return made


def _event(data: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one event of a stream, as there is none for all of it."""
    told = {**_TEXT, "contentMediaType": "application/json", "contentSchema": data}
    return {"type": "object", "properties": {"id": _TEXT, "event": _TEXT, "data": told}, "required": ["id", "data"]}


def _name(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind))


def _in_path(path: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in re.findall(r"{(\w+)}", path)]


def _in_query(query: type[Struct]) -> list[dict[str, Any]]:
    found = []
    schemas = msgspec.json.schema(query)
    schema = schemas.get("$defs", {}).get(query.__name__, schemas)
    for name, each in schema["properties"].items():
        kept = {key: value for key, value in each.items() if key != "description"}
        made: dict[str, Any] = {"name": name, "in": "query", "schema": kept}
        if name in schema.get("required", ()):
            made["required"] = True
        text = each.get("description") or next(
            (one["description"] for one in each.get("anyOf", ()) if "description" in one), ""
        )
        found.append({**made, "description": text} if text else made)
    return found


def _in_headers(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "description": text, "schema": _TEXT} for name, text in route.headers.items()
    ]
