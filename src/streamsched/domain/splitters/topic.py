"""``split.topic``: the records of a Kafka topic, in spans of offsets of one partition each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streamsched.domain.placeholders import check_known, encode, inside, references, text_of
from streamsched.domain.refusal import FieldPath, TemplateError
from streamsched.domain.splitters.outside import InputSplitter, resolve_text
from streamsched.domain.splitters.port import Input, Params, check_integer, resolve_integer

EARLIEST: Final = "earliest"
LATEST: Final = "latest"
FORMAT: Final = "topic"
"""The format of an input that is a span of a topic's partition, ``TOPIC/PARTITION``. Its tag is the topic's id."""
TOPIC_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_NAME: Final[FieldPath] = ("split", "topic", "name")
_SIZE: Final[FieldPath] = ("split", "topic", "size")
_REMEDY: Final = "write {0}, or a time such as 2026-01-31T06:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSplit(InputSplitter):
    """What the partitions of ``name`` hold from ``begin`` up to ``end``, in spans of ``size`` offsets.

    ``begin`` is ``earliest``, ``end`` is ``latest`` (what is committed when the split child looks), or either is a
    time: the first record at or after it. A span has at most so many records: aborted ones take offsets too.
    """

    kind = "topic"
    variables = frozenset({"index", "topic", "partition", "start", "end", "size"})
    texts = frozenset({"topic"})

    name: str
    begin: str = field(default=EARLIEST, metadata={"alias": "from"})
    end: str = field(default=LATEST, metadata={"alias": "to"})
    size: int | str = 10_000
    empty: bool = False

    def check(self, params: Params) -> None:
        """Refuse what cannot be a topic, a time or a number of offsets."""
        for value, path in ((self.name, _NAME), (self.begin, _path("from")), (self.end, _path("to"))):
            if not isinstance(value, str) or not value:
                raise TemplateError(f"must be a text, not {value!r}"[:200], "write one", path=path)
            names = [*references(value, path)]
            for where, name in names:
                check_known(name, where, params, "split")
            if not names:
                self._resolved(value, path)
        check_integer(self.size, _SIZE, params, 1)
        if not isinstance(self.empty, bool):
            raise TemplateError("must be true or false", "write true or false", path=_path("empty"))

    def resolve(self, params: Mapping[str, object]) -> Input:
        """Return the topic, its bounds (a name, or milliseconds since 1970), and the offsets of a span."""
        fields = ((self.name, _NAME), (self.begin, _path("from")), (self.end, _path("to")))
        name, begin, end = (self._resolved(resolve_text(value, params, path), path) for value, path in fields)
        if not isinstance(begin, str) and not isinstance(end, str) and end < begin:
            raise TemplateError("is before split.topic.from", "give a later time", path=_path("to"))
        size = resolve_integer(self.size, params, _SIZE, 1)
        return {"name": name, "begin": begin, "end": end, "size": size, "empty": self.empty}

    @staticmethod
    def _resolved(text: str, path: FieldPath) -> str | int:
        if path == _NAME:
            if not TOPIC_NAME.fullmatch(text) or text in (".", ".."):
                reason = f"{text[:100]!r} is not the name of a topic"
                raise TemplateError(reason, "use letters, digits, dot, dash and underscore, at most 249", path=path)
            return text
        name = EARLIEST if path == _path("from") else LATEST
        if text == name:
            return text
        from streamsched.domain.calendar import moment

        at = moment.read(text)
        if at is None:
            reason = f"{text[:100]!r} is neither {name} nor a time with an offset"
            raise TemplateError(reason, _REMEDY.format(name), path=path)
        return at

    @classmethod
    def entry_variables(cls, entry: Any) -> Mapping[str, object]:
        """Return the topic, the partition, and the offsets: ``end`` is not one of them."""
        (span,) = entry["inputs"]
        topic, _, partition = span["path"].rpartition("/")
        start, end = span.get("start", 0), span["end"]
        return {
            "topic": encode(topic), "topic~": inside(text_of(topic), ("child", "args")), "partition": int(partition),
            "start": start, "end": end, "size": end - start,
        }  # fmt: skip

    @classmethod
    def follows(cls, before: Any, entry: Any) -> bool:
        """Return whether the span begins where the one before it ends, or in a later partition behind a whole one.

        The ``size`` of an input is the end of its partition.
        """
        (of,) = entry["inputs"]
        if before is None:
            return True
        (last,) = before["inputs"]
        (topic, _, number), (last_topic, _, last_number) = (each["path"].rpartition("/") for each in (of, last))
        if (topic, of["tag"]) != (last_topic, last["tag"]):
            return False
        if number == last_number:
            return bool(of.get("start", 0) == last["end"] and of["size"] == last["size"])
        return bool(last["end"] == last["size"] and int(last_number) < int(number))


def _path(name: str) -> FieldPath:
    return ("split", "topic", name)
