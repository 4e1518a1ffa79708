"""The words between a worker and the processes that run its children: jobs go in, news comes out.

Everything here is plain data that travels as msgpack. Times are milliseconds since the Unix epoch, payloads
(arguments, states, results) are JSON text. A job is one attempt at one child; its ``key`` means something
only inside the worker that chose it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Final, Literal, Protocol

import msgspec

Reason = Literal["error", "timeout", "heartbeat"]

# Within the bounds of ``domain.bounds``: an executor runs the code of users, and what it sends is checked while it is
# decoded.
Key = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
Time = Annotated[int, msgspec.Meta(ge=0, lt=1 << 47)]
Delay = Annotated[int, msgspec.Meta(ge=0, le=3650 * 86_400_000)]
Payload = Annotated[str, msgspec.Meta(max_length=256 * 1024)]
ErrorType = Annotated[str, msgspec.Meta(max_length=1024)]
Message = Annotated[str, msgspec.Meta(max_length=4 * 1024)]
Traceback = Annotated[str, msgspec.Meta(max_length=16 * 1024)]
Lack = Literal["", "module", "import", "version"]
ErrorTypes = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=200)], ...], msgspec.Meta(max_length=16)]
ExitCode = Annotated[int, msgspec.Meta(ge=-256, lt=1 << 32)]
Fingerprint = Annotated[str, msgspec.Meta(max_length=64, pattern="^[0-9a-f]*$")]
Frames = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=300)], ...], msgspec.Meta(max_length=16)]
Printed = Annotated[str, msgspec.Meta(max_length=4 * 1024)]
Topic = Annotated[str, msgspec.Meta(max_length=249)]
Body = Annotated[bytes, msgspec.Meta(max_length=2 * 1024 * 1024)]
HeaderName = Annotated[str, msgspec.Meta(max_length=1024)]
Headers = Annotated[tuple[tuple[HeaderName, Body], ...], msgspec.Meta(max_length=1000)]
EmittedHeaders = Mapping[str, bytes | str] | Iterable[tuple[str, bytes | str]] | None
"""Headers as handlers give them."""
Partition = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]

PLAN: Final = ""
"""The topic of the entries that a splitter finds: they become a page of their task's plan, in the journal."""


class Job(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One attempt at one child. Limits in milliseconds (0 is none); ``state`` is where to continue."""

    key: int
    task_id: str
    child: int
    attempt: int
    handler: str
    args: str
    state: str | None
    sequence: int
    token: int
    timeout_ms: int
    heartbeat_ms: int
    options: str | None = None
    """What its executor must know beside the handler (``domain.options``)."""
    trace: str | None = None
    """The W3C traceparent that its task was submitted with."""


RECORD_OVERHEAD: Final = 128
HEADER_OVERHEAD: Final = 12
"""Bytes that a record, and a header, take beside what is in them."""
MOST_RECORDS: Final = 20_000
MOST_BYTES: Final = 4 * 1024 * 1024
"""What a job may have emitted that is not durable: records, and their bytes."""


class Emitted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record that a handler emitted. Of an entry of the ``PLAN`` the partition is its place in the plan, from 0."""

    topic: Topic
    partition: Partition
    key: Body | None
    value: Body | None
    headers: Headers = ()

    @property
    def size(self) -> int:
        """Its bytes, as the bounds count them."""
        size = RECORD_OVERHEAD + len(self.key or b"") + len(self.value or b"")
        if self.headers:
            size += sum(4 * len(name) + len(value) + HEADER_OVERHEAD for name, value in self.headers)
        return size


class JobEmitted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="emitted"):
    """Records of a running job, in their order, each once. What covers them is sent behind them."""

    key: Key
    records: tuple[Emitted, ...]
    state: ClassVar[None] = None


class TopicAsked(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="asked"):
    """A running job asks about a topic. Its pool answers, and tells no one."""

    key: Key
    topic: Topic
    state: ClassVar[None] = None


class TopicTold(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="topic"):
    """What a topic is, for one who asked: its partitions and the bytes of its largest record, or why it is refused."""

    topic: str
    partitions: int
    limit: int
    problem: str


class JobCheckpointed(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False, tag="checkpointed"):
    """A running job's latest state. ``number`` counts up within the job, with gaps where states were skipped.

    ``wait`` says that the handler stands still until ``Pool.confirm`` names this number, or a higher one. ``covered``:
    how many records this attempt had emitted before it.
    """

    key: Key
    state: Payload
    number: Number
    wait: bool
    covered: Number = 0


class JobCompleted(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False, tag="completed"):
    """The handler returned: that covers all that it emitted.

    ``state``: its latest checkpoint, where no ``JobCheckpointed`` told of it yet.
    """

    key: Key
    started_at: Time
    finished_at: Time
    result: Payload | None
    state: Payload | None


class JobFailed(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False, tag="failed"):
    """The attempt failed: the handler raised, broke a limit, or took its process down with it.

    ``delay_ms`` is the wait before the next attempt, where the error named one. ``state`` as in ``JobCompleted``,
    ``covered`` as in ``JobCheckpointed``; ``error_types``, ``exit_code``, ``fingerprint`` and ``frames`` as in
    ``Cause``. ``lack``: the handler did not even begin, for this worker cannot run it (a code of ``events.Why``).
    """

    key: Key
    started_at: Time
    finished_at: Time
    reason: Reason
    error_type: ErrorType
    message: Message
    traceback: Traceback
    retryable: bool
    delay_ms: Delay | None
    state: Payload | None
    error_types: ErrorTypes = ()
    lack: Lack = ""
    covered: Number = 0
    exit_code: ExitCode | None = None
    fingerprint: Fingerprint = ""
    frames: Frames = ()
    output: Printed = ""
    """The end of what it had printed."""


class JobStopped(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False, tag="stopped"):
    """A stop was asked for: the job stopped at a safe point, or was killed at the end of the grace period.

    ``state`` and ``covered`` as in ``JobFailed``; no state means that what was told last still stands.
    """

    key: Key
    started_at: Time
    finished_at: Time
    state: Payload | None
    covered: Number = 0


class JobReturned(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False, tag="returned"):
    """The job was not run: recalled while it waited, or its executor went away first.

    Submit it again, or pass it on. In one rare case it had just begun: its executor was being killed for the
    job before it. It is not to blame.
    """

    key: Key
    state: ClassVar[None] = None


News = JobEmitted | JobCheckpointed | JobCompleted | JobFailed | JobStopped | JobReturned
REPORTS: Final = (JobEmitted, JobCheckpointed, TopicAsked)
"""News of a job that runs on."""
Ending = JobCompleted | JobFailed | JobStopped | JobReturned


class Running(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job that runs now, with its progress as the handler gave it (``total`` 0: it gave none)."""

    key: int
    started_at: int
    done: float
    total: float


class Pool(Protocol):
    """Runs jobs somewhere. All calls come from one thread; only ``poll`` and ``close`` may take time.

    Every submitted job gets exactly one ``Ending``, with any number of ``REPORTS`` before it; only a job that was named
    in ``kill`` gets none.
    """

    def room(self) -> int:
        """Return how many more jobs would be welcome now."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take these jobs, even beyond ``room``."""

    def poll(self, timeout: float) -> list[News]:
        """Wait up to ``timeout`` seconds for news, and return all there is, in order for each job."""

    def stop(self, key: int, grace: float) -> None:
        """Ask for the end of a job.

        It stops at its next safe point, or is killed after ``grace`` seconds; recalled if it has not begun.
        Asked again, the shorter time counts.
        A job may still complete or fail instead. Unknown keys are ignored.
        """

    def kill(self, keys: Iterable[int]) -> None:
        """Drop these jobs at once: no news of them comes any more, not even what was already on its way."""

    def confirm(self, key: int, number: int) -> None:
        """Report that this checkpoint, and so all before it, is durable. Unknown keys are ignored."""

    def running(self) -> list[Running]:
        """List the jobs that run now."""

    def busy(self) -> int:
        """Count the jobs that are held: running and waiting."""

    def close(self, grace: float) -> None:
        """Ask every job to stop, wait up to ``grace`` seconds, then kill what is left. No more news."""
