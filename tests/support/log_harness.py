"""What the contract suite needs of an adapter beyond the port: connections, deaths, open transactions, time.

Memory and embedded are driven by ``tests.contract.local``. The Kafka harness is ``tests/kafka/harness.py``,
which offers ``open_harness(folder: Path) -> AbstractContextManager[Harness]``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from streamsched.log.adapter import LogAdapter
from streamsched.log.port import Append, Committed, Member, TopicPartition


class RemoteMember(Protocol):
    """A member of a group that lives in a process of its own (or acts so), and can die without leaving."""

    @property
    def member_id(self) -> str:
        """Return the id that the group knows it by; empty until it has joined."""

    @property
    def partitions(self) -> Collection[int]:
        """Return the partitions that it has been given."""

    def serve(self) -> None:
        """Poll once; do nothing where another process serves it."""

    def kill(self) -> None:
        """Stop it at once: no leave, no heartbeat, no callback from now on."""


class Hanging(Protocol):
    """A transaction whose writer stopped just before it would have ended it."""

    def commit(self) -> None:
        """Go on and commit, as a frozen process does that thaws.

        Raises:
            WriterFenced: its transactional id was fenced meanwhile, or its transaction timed out.
        """


class Harness(Protocol):
    """One adapter under test, with a log of its own (or a prefix of its own on a shared broker)."""

    @property
    def session_timeout(self) -> float:
        """Seconds of silence after which the group gives a member up."""

    @property
    def transaction_timeout(self) -> float:
        """Seconds after which the log gives up a transaction made by ``leave_open``."""

    def connect(self) -> LogAdapter:
        """Open one more connection to the same log, as another process would; the harness closes it."""

    def name(self, stem: str) -> str:
        """Make a name (of a topic, group or transactional id) that no other test uses."""

    def remote_member(self, group: str, topic: str) -> RemoteMember:
        """Start a member that can be killed."""

    def leave_open(
        self,
        log: LogAdapter,
        transactional_id: str,
        appends: Sequence[Append],
        positions: Mapping[TopicPartition, Committed],
        member: Member,
    ) -> Hanging:
        """Begin a transaction, bring its records and positions to the log, and stop before it is ended.

        ``member`` is one of ``log``. On Kafka: a producer of the same settings as the adapter's, flushed,
        with its offsets sent.
        """

    def commit_unknown(
        self,
        log: LogAdapter,
        transactional_id: str,
        appends: Sequence[Append],
        positions: Mapping[TopicPartition, Committed],
        member: Member,
        *,
        landed: bool,
    ) -> None:
        """Commit so that the caller cannot know the outcome: ended by the log (``landed``), or left open.

        Raises:
            OutcomeUnknown: always.
        """

    def pass_time(self, seconds: float) -> None:
        """Let this much time pass: on the virtual clock, or by sleeping."""


def until(harness: Harness, condition: Callable[[], bool], *, limit: float = 30.0, what: str = "condition") -> None:
    """Poll until the condition holds; fail after ``limit`` seconds of the harness's time."""
    passed = 0.0
    while not condition():
        assert passed < limit, f"{what} did not come about in {limit} s"
        harness.pass_time(0.05)
        passed += 0.05
