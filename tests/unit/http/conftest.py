"""What several tests of the server use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.issuer import Issuer, issuing


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as found:
        yield found
