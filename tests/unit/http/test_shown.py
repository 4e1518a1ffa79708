"""Which events a user of some templates is shown: none that holds another's template, wherever it stands in it."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from streamsched.domain.events import EVENTS, BackfillRequested, Event
from streamsched.http.access import Role, User
from streamsched.http.reports import _is_shown
from streamsched.queries.history import templates_of
from tests.support.samples import SAMPLES

OF_TEMPLATES = frozenset({"template", "template_version", "params"})
"""Fields that are a template's, or a request's of it."""


def structs_in(kind: Any) -> set[type[msgspec.Struct]]:
    """Return all classes of which an event of this type has a part, itself too."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {kind}.union(*map(structs_in, get_type_hints(kind).values()))
    return set().union(*map(structs_in, get_args(kind)))


HOLDING = [kind for kind in EVENTS if any(OF_TEMPLATES & set(each.__struct_fields__) for each in structs_in(kind))]


@pytest.mark.parametrize("kind", HOLDING, ids=[kind.__name__ for kind in HOLDING])
def test_an_event_with_a_template_anywhere_in_it_is_shown_to_whom_that_is_shown(kind: type[Event]) -> None:
    for part in structs_in(kind):
        assert "template_name" in part.__struct_fields__ or not OF_TEMPLATES & set(part.__struct_fields__), part
    samples = [event for event in SAMPLES.values() if type(event) is kind]
    assert samples
    for event in samples:
        (name, *_) = names = list(templates_of(event))
        for within, shown in (("", True), (name, set(names) == {name}), ("another", False)):
            assert _is_shown(event, Event, User("bea", Role.VIEWER, within)) is shown


def test_one_part_out_of_sight_is_enough() -> None:
    assert BackfillRequested in HOLDING
    (event,) = (event for event in SAMPLES.values() if isinstance(event, BackfillRequested))
    parts = [msgspec.structs.replace(event.parts[0], template_name=name) for name in ("mine", "secret", "mine")]
    for some, shown in ((parts[:1], True), (parts[:2], False), (parts, False)):
        told = msgspec.structs.replace(event, parts=tuple(some))
        assert _is_shown(told, Event, User("bea", Role.VIEWER, "mine")) is shown
