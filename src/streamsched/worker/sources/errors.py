"""Why an input cannot be split or read. Trying again cannot help: the input or the code must change first."""

from __future__ import annotations

from streamsched.worker.errors import NonRetryable


class SourceError(NonRetryable):
    """An input cannot be split or read."""


class SplitChanged(SourceError):
    """A splitter found something else than an attempt before it."""


class TooManyChildren(SourceError):
    """A splitter found more than a task may have."""


class PlanTooLarge(SourceError):
    """What a splitter found has more bytes than a task's plan may have."""


class InputMissing(SourceError):
    """There is no such file, or it cannot be read."""


class InputEmpty(SourceError):
    """There is nothing to do."""


class SourceGone(SourceError):
    """A topic has deleted records that belong to a child."""


class CompactedTopic(SourceError):
    """A topic that keeps only the last record of each key."""


class BadItem(SourceError):
    """What the user's function yields cannot be an item, or it yields nothing at all."""


class BadRecord(SourceError):
    """A record is not what its format says."""


class InputChanged(SourceError):
    """A file is not the one that the split child found. Reported as ``input_changed``."""


InputChanged.__name__ = InputChanged.__qualname__ = "input_changed"
