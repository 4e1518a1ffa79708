"""The mailbox of the embedded log: requests to the one process that may write it, as files in a folder."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec

from streamsched.log.port import Append

log = logging.getLogger(__name__)


class Mailbox:
    """Records that another process asks to have appended. A letter is whole or not there: it is renamed in."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "mailbox"

    def put(self, record: Append) -> None:
        """Leave a letter."""
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{uuid.uuid4()}"
        draft.write_bytes(msgspec.msgpack.encode(record))
        draft.rename(self._folder / f"{os.getpid()}-{uuid.uuid4()}.letter")

    def letters(self) -> Iterator[tuple[Path, Append]]:
        """Walk the letters; the reader removes each once its record is durable. A broken one is set aside."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("*.letter")):
            try:
                topic, partition, key, value, headers, track = msgspec.msgpack.decode(path.read_bytes())
                pairs = tuple((name, text) for name, text in headers)
            except (OSError, ValueError, TypeError, msgspec.DecodeError) as error:
                log.warning("letter %s cannot be read (%s): set aside", path, error)
                path.rename(path.with_suffix(".broken"))
                continue
            yield path, Append(topic, partition, key, value, pairs, track)
