"""Schemathesis makes requests of the API's document, good ones and bad ones: each answer is as the document says.

The part that stands for all answers (``default``) is left out here, so that every status must be named at its address.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok

from streamsched.http.openapi import document
from streamsched.http.table import ROUTES
from streamsched.installation.settings import Settings
from streamsched.installation.writing import open_to_work
from streamsched.log.port import Append
from tests.support.http_server import BODY, furnish, serving

pytestmark = pytest.mark.slow

Operation = APIOperation[Any, Any, Any, Any]
EXAMPLES: Final = 10
TIMEOUT_S: Final = 20.0
IDS: Final = {"/v1/tasks/": ("good", "bad", "idle"), "/v1/schedules/": ("hourly",)}
"""Those that are there, by the beginning of their addresses; others are made up."""
BODIES: Final = {
    "PUT /v1/tasks/{id}": BODY,
    "POST /v1/tasks": BODY,
    "PUT /v1/schedules/{id}": {"schedule": {"interval": "2h", "template": BODY["template"]}},
    "PATCH /v1/tasks/{id}": {"limits": {"parallelism": 3, "rate": None}, "priority": 2, "reason": "why not"},
}
"""Bodies that mean something, where no generator would find one."""
load_all_checks()
WANTED: Final[Any] = CHECKS.get_by_names(
    [
        "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
        "response_schema_conformance", "negative_data_rejection", "unsupported_method", "allow_header_conformance",
    ]
)  # fmt: skip


def strict() -> dict[str, Any]:
    """Return the document, without what stands for any status."""
    found = document()
    for methods in found["paths"].values():
        for operation in methods.values():
            del operation["responses"]["default"]
    even_tuples(found)
    return found


def even_tuples(schema: Any) -> None:
    """Write a tuple whose parts are of one kind as an array of that kind.

    Schemathesis 4.32 makes draft 7 of ``prefixItems``, and then takes that for no schema.
    """
    if isinstance(schema, dict):
        if "prefixItems" in schema:
            schema["items"], *others = schema.pop("prefixItems")
            assert all(each == schema["items"] for each in others), "of several kinds: its check needs another way"
        schema = list(schema.values())
    for each in schema if isinstance(schema, list) else ():
        even_tuples(each)


SCHEMA: Final = schemathesis.openapi.from_dict(strict())
OPERATIONS: Final[dict[str, Operation]] = {}
for _found in SCHEMA.get_all_operations():
    assert isinstance(_found, Ok), _found.err()
    OPERATIONS[_found.ok().label] = _found.ok()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("conformance")
    throw_in(Settings(data_dir=place / "log"))
    furnish(place, place / "log", 5)
    with pytest.MonkeyPatch.context() as patch, serving(place / "log") as ask:
        patch.setattr("streamsched.http.desk.PATIENCE_S", 0.01)
        patch.setattr("streamsched.http.tasks.LONGEST_WAIT_S", 0.01)
        assert len(ask.get("/v1/dead-letters").json["items"]) == 1
        yield f"http://127.0.0.1:{ask.port}"


def throw_in(where: Settings) -> None:
    """Have a record in the journal that is none; the first scheduler sets it aside."""
    site = open_to_work(where)
    site.log.append([Append(site.topics.events, 0, b"key", b"rubbish", ())])
    site.close()


def cases(operation: Operation, mode: GenerationMode) -> st.SearchStrategy[Case[Any]]:
    """Return requests to an address, of tasks and schedules that are there, and of others."""
    names = next((ids for path, ids in IDS.items() if operation.path.startswith(path)), ())
    known: list[dict[str, Any]] = [{"path_parameters": {"id": name}} for name in names]
    if mode is GenerationMode.POSITIVE and operation.label in BODIES:
        body = {"body": BODIES[operation.label], "media_type": "application/json"}
        known += [{**each, **body} for each in [*known, {}]]
    return st.one_of([operation.as_strategy(mode), *(operation.as_strategy(mode, **each) for each in known)])


def modes(operation: Operation) -> list[GenerationMode]:
    """Return what can be asked: without parameters and body there is nothing to do wrong."""
    may_be_wrong = bool(operation.query or operation.headers or operation.body)
    return [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if may_be_wrong else [])]


def test_all_addresses_are_asked() -> None:
    assert set(OPERATIONS) == {f"{route.method} {route.path}" for route in ROUTES}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_as_the_document_says(address: str, name: str) -> None:
    SCHEMA.config.max_stream_events = 1
    operation = OPERATIONS[name]
    for mode in modes(operation):

        @settings(
            max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=cases(operation, mode))
        def ask(case: Case[Any]) -> None:
            case.validate_response(case.call(address, timeout=TIMEOUT_S), checks=WANTED)

        ask()
