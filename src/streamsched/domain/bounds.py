"""The types of the fields of events: what a number or a text may be, and its unit.

``domain.validation`` checks decoded events by them, and ``make schemas`` writes them into the ``.avsc`` files.
``bytes`` is the limit of a text in UTF-8. A function beside or in place of ``Meta`` returns what is wrong with a value,
or None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from msgspec import Meta

from streamsched.domain.ids import NAME_LIMIT, is_schedule_id, is_task_id
from streamsched.domain.kinds import COUNT_LIMIT
from streamsched.domain.routing import problem_of_patterns

CHILDREN_LIMIT: Final = 10_000_000
"""Children that a splitter may give."""
TABLE_LIMIT: Final = CHILDREN_LIMIT + 1_003
"""Children of all stages of a task."""
GRAMMAR: Final = 1
"""The version of the grammar of selectors that this version reads."""
LAST_ORDINAL: Final = 0xFFF
"""The highest ordinal that a cell can hold; a child that came so far is not dispatched again."""
LONGEST_MS: Final = 1 << 46
"""Milliseconds that any wait or limit may take: times far beyond would not fit where they are kept."""
TIME_END: Final = 1 << 47
"""Milliseconds since the epoch: the year 6429."""
PAYLOAD_LIMIT: Final = 256 * 1024
"""Bytes of one payload (arguments, state, result)."""
PAGE_LIMIT: Final = 1200 * 1024
"""Bytes of the entries of one page."""
PAGE_COUNT_LIMIT: Final = 20_000
"""Entries of one page."""
ACTIVE_LIMIT: Final = 1_000
"""Tasks of one backfill that may run at once."""
COUNT_END: Final = 1 << 31


def _fitting(what: str, fits: Callable[[str], bool]) -> Callable[[str], str | None]:
    return lambda text: None if fits(text) else f"{text[:200]!r} is not a valid {what}"


def _percentage(number: float) -> str | None:
    return None if 0 <= number <= 100 else f"{number} is not a percentage"


Time = Annotated[int, Meta(ge=0, lt=TIME_END, description="milliseconds since the Unix epoch")]
Millis = Annotated[int, Meta(ge=0, lt=LONGEST_MS + 1, description="milliseconds")]
Child = Annotated[int, Meta(ge=0, lt=TABLE_LIMIT, description="index of a child")]
FanIn = Annotated[int, Meta(ge=0, lt=2, description="number of reduce children")]
Children = Annotated[int, Meta(ge=0, lt=CHILDREN_LIMIT + 1, description="number of children")]
Ordinal = Annotated[int, Meta(ge=1, lt=LAST_ORDINAL + 1, description="number of a dispatch of a child")]
Positive = Annotated[int, Meta(ge=1, lt=COUNT_END)]
Count = Annotated[int, Meta(ge=0, lt=COUNT_END)]
Priority = Annotated[int, Meta(ge=-COUNT_END, lt=COUNT_END, description="higher goes first")]
Sequence = Annotated[int, Meta(ge=0, lt=1 << 53, description="number of a checkpoint of a child")]
Token = Annotated[int, Meta(ge=0, description="fencing token: ordinal and epoch")]
Partition = Annotated[int, Meta(ge=0, lt=1 << 16, description="number of a partition")]
Offset = Annotated[int, Meta(ge=0, description="offset in a partition")]
MaxActive = Annotated[int, Meta(ge=1, lt=ACTIVE_LIMIT + 1)]
Name = Annotated[str, Meta(max_length=NAME_LIMIT)]
Reason = Annotated[str, Meta(max_length=2_000)]
Payload = Annotated[str, Meta(description="JSON", extra={"bytes": PAYLOAD_LIMIT})]
PageCount = Annotated[int, Meta(ge=0, lt=PAGE_COUNT_LIMIT + 1, description="number of entries")]
Entries = Annotated[str, Meta(description="JSON, a line for each entry", extra={"bytes": PAGE_LIMIT})]
TaskId = Annotated[str, _fitting("task id", is_task_id)]
ScheduleId = Annotated[str, _fitting("schedule id", is_schedule_id)]
Modules = Annotated[tuple[str, ...], problem_of_patterns]
ErrorTypes = Annotated[tuple[Name, ...], Meta(max_length=COUNT_LIMIT)]
ExitCode = Annotated[int, Meta(ge=-256, lt=1 << 32, description="exit code of a program")]
Fingerprint = Annotated[str, Meta(max_length=64)]
Frames = Annotated[tuple[Reason, ...], Meta(max_length=16)]
Percent = Annotated[float, _percentage]
GrammarVersion = Annotated[int, Meta(ge=1, lt=COUNT_END, description="version of the grammar of selectors")]
Queues = Annotated[tuple[Name, ...], Meta(max_length=100)]
