"""Why an input cannot be split or read. Trying again cannot help: the input or the code must change first."""

from __future__ import annotations

from streamsched.worker.errors import NonRetryable


class SplitChanged(NonRetryable):
    """A splitter found something else than an attempt before it."""


class TooManyChildren(NonRetryable):
    """A splitter found more than a task may have."""


class PlanTooLarge(NonRetryable):
    """What a splitter found has more bytes than a task's plan may have."""


class InputMissing(NonRetryable):
    """There is no such file, or it cannot be read."""


class InputEmpty(NonRetryable):
    """There is nothing to do."""


class BadRecord(NonRetryable):
    """A record is not what its format says."""


class InputChanged(NonRetryable):
    """A file is not the one that the split child found. Reported as ``input_changed``."""


InputChanged.__name__ = InputChanged.__qualname__ = "input_changed"
