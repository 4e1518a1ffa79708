"""Which versions of Kafka are refused, by what they are and what is asked of them."""

from __future__ import annotations

import pytest

from streamsched.log.kafka.version import refuse
from streamsched.log.port import LogError


@pytest.mark.parametrize("version", [(3, 7), (3, 9), (4, 0), (4, 3), (5, 0)])
def test_the_classic_protocol_takes_any_from_the_oldest_on(version: tuple[int, ...]) -> None:
    refuse("host:1", version, "classic")


@pytest.mark.parametrize("version", [(0, 11), (2, 8), (3, 6)])
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_older_ones_are_refused(version: tuple[int, ...], protocol: str) -> None:
    with pytest.raises(LogError, match=r"needs 3\.7 or later"):
        refuse("host:1", version, protocol)


def test_the_new_protocol_takes_a_new_broker() -> None:
    refuse("host:1", (4, 0), "consumer")
    with pytest.raises(LogError, match=r"no group\.protocol=consumer; that begins with 4\.0"):
        refuse("host:1", (3, 9), "consumer")
