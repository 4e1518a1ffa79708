"""The setting ``output_rate``: a size, within bounds, or 0."""

from __future__ import annotations

import pytest

from streamsched.domain.errors import InputError
from streamsched.installation.settings import Settings, load_settings


@pytest.mark.parametrize(("text", "wanted"), [("1MB", 10**6), ("2 KiB", 2048), ("0", 0), ("16MiB", 1 << 24)])
def test_it_is_a_size(text: str, wanted: int) -> None:
    assert load_settings(environ={"STREAMSCHED_OUTPUT_RATE": text}).output_rate == wanted
    assert load_settings(environ={"STREAMSCHED_OUTPUT_RATE": "5KiB"}, output_rate=text).output_rate == wanted
    assert Settings().output_rate == 256 * 1024


@pytest.mark.parametrize("text", ["1", "-1", "much", "17MiB", "9" * 30])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--output-rate: invalid rate .*write 256KiB, from 1KiB to 16MiB .*or 0"):
        load_settings(environ={}, output_rate=text)
