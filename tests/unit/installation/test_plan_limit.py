"""The setting ``plan_limit``, and that an executor keeps to it."""

from __future__ import annotations

import pytest

from streamsched.domain.errors import InputError
from streamsched.installation.settings import Settings, load_settings


@pytest.mark.parametrize(("text", "wanted"), [("1GB", 10**9), ("2 MiB", 2**21), ("500", 500)])
def test_it_is_a_size(text: str, wanted: int) -> None:
    assert load_settings(environ={"STREAMSCHED_PLAN_LIMIT": text}).plan_limit == wanted
    assert Settings().plan_limit == load_settings(environ={"STREAMSCHED_PLAN_LIMIT": "256MiB"}).plan_limit


@pytest.mark.parametrize("text", ["0", "-1", "much", "9" * 30])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"STREAMSCHED_PLAN_LIMIT: invalid size .*write 256MiB or 1GB"):
        load_settings(environ={"STREAMSCHED_PLAN_LIMIT": text})
