"""The document of the API is what the table gives, and says of each address what a client must know."""

from __future__ import annotations

import re
from typing import Any

from streamsched.http.access import Role
from streamsched.http.openapi import document
from streamsched.http.table import ROUTES
from tools.openapi import DOCUMENT, text

API = document()


def references(value: Any) -> set[str]:
    """Return the names of all parts that are referred to."""
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_the_file_is_what_the_table_gives() -> None:
    assert DOCUMENT.read_text() == text(), "run: make openapi"


def test_all_that_is_referred_to_is_there() -> None:
    parts = {f"#/components/{kind}/{name}" for kind, named in API["components"].items() for name in named}
    assert references(API) <= parts


def test_each_address_has_its_own_name_and_names_its_parameters() -> None:
    made = [each for path in API["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in made]
    assert len(set(names)) == len(names) == len(ROUTES)
    for path, methods in API["paths"].items():
        for each in methods.values():
            inside = [one["name"] for one in each["parameters"] if one["in"] == "path"]
            assert inside == re.findall(r"{(\w+)}", path)
            assert each["summary"].endswith(".")
            assert "default" in each["responses"]


def test_what_changes_something_needs_more_than_a_viewer() -> None:
    changing = [route for route in ROUTES if route.method != "GET" and "/session" not in route.path]
    assert len(changing) > 8
    assert all(route.role >= Role.OPERATOR for route in changing)
    assert {route.path for route in ROUTES if route.role is Role.NONE} == {
        "/livez", "/readyz", "/v1/errors/{name}", "/v1/session", "/v1/session/begin", "/v1/session/callback",
    }  # fmt: skip
