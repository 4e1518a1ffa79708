"""The test of the test: the simulation catches every mutant. That it passes the code as it is, is its own test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.mutant import HISTORIES, PATCHES, Misfit, Mutant, apply, catch, mutants, trial


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_every_mutant_is_caught(mutant: Mutant) -> None:
    tried = catch(mutant)
    assert tried.seed is not None, f"{HISTORIES} histories did not notice: {mutant.breaks}"


def test_the_code_as_it_is_passes_a_trial() -> None:
    tried = trial(None, first=1, histories=20)
    assert (tried.passed, tried.seed, tried.fault) == (20, None, "")


def test_a_patch_that_does_not_apply_says_so(tmp_path: Path) -> None:
    with pytest.raises(Misfit, match=r"two-in-flight\.patch does not apply .*: A task may owe a second decision"):
        apply(PATCHES / "two-in-flight.patch", tmp_path)
