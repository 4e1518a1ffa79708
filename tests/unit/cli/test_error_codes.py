"""What the edges make of each error: one table of exit codes and HTTP statuses, carried by the errors themselves."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages

import pytest

import streamsched
from streamsched.cli.exits import explain
from streamsched.domain.errors import StreamschedError

KINDS = {
    "WrongInput": (2, 422),
    "InputError": (2, 422),
    "TemplateError": (2, 422),
    "ScheduleError": (2, 422),
    "Conflict": (2, 409),
    "TaskConflict": (2, 409),
    "ScheduleConflict": (2, 409),
    "NotRedrivable": (2, 409),
    "NotHoldable": (2, 409),
    "NotChangeable": (2, 409),
    "SelectorError": (2, 422),
    "NotCertifiable": (2, 409),
    "NeedsLog": (2, 422),
    "ServerRefused": (1, 500),
    "NoSuchTask": (4, 404),
    "NoResult": (1, 409),
    "NoSuchSchedule": (4, 404),
}


def kinds(cls: type[StreamschedError]) -> Iterator[type[StreamschedError]]:
    for each in cls.__subclasses__():
        yield each
        yield from kinds(each)


def test_each_error_has_the_codes_of_its_kind() -> None:
    for found in walk_packages(streamsched.__path__, "streamsched."):
        if ".examples" not in found.name and "__main__" not in found.name:
            import_module(found.name)
    codes = {
        each.__name__: (each.exit_code, each.http_status)
        for each in kinds(StreamschedError)
        if not each.__module__.startswith("streamsched.http.")
    }
    log = {name: pair for name, pair in codes.items() if name not in KINDS}
    assert {name: codes[name] for name in KINDS} == KINDS
    assert {"LogError", "LogTaken", "Undecodable", "UnknownSchema", "PartitionHalted"} <= log.keys()
    assert set(log.values()) == {(3, 503)}


def test_what_http_alone_has_is_no_error_of_the_log() -> None:
    import_module("streamsched.http.problems")
    own = [each for each in kinds(StreamschedError) if each.__module__.startswith("streamsched.http.")]
    assert len(own) > 10
    assert all(each.exit_code == 3 for each in own if each.http_status == 503)


def test_a_command_exits_with_the_code_of_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    for cls in kinds(StreamschedError):
        error = cls.__new__(cls)
        error.args = ("what\nhappened",)
        assert (explain(error), capsys.readouterr().err) == (cls.exit_code, "streamsched: what happened\n")
    assert (explain(ValueError("x")), capsys.readouterr().err[:32]) == (1, "streamsched: unexpected ValueErr")
