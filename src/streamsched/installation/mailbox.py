"""The mailbox of the embedded log: records for the one process that may write it, as files in a folder."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from streamsched.installation.folder import make_private
from streamsched.log.port import Append, Log, LogError, LogUnreachable, RecordTooLarge, TopicMismatch
from streamsched.log.topics import RECORD_LIMIT

REQUEST_LIMIT_BYTES: Final = RECORD_LIMIT + 64 * 1024
"""Bytes of the longest request."""
_decode_one: Final = msgspec.msgpack.Decoder(Append).decode
_decode_many: Final = msgspec.msgpack.Decoder(list[Append]).decode

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MailboxRequest:
    """A request in the mailbox."""

    _path: Path

    @property
    def waits(self) -> bool:
        """Whether it is not in the log yet."""
        return self._path.exists() or self._path.with_suffix(".taken").exists()

    @property
    def refused(self) -> bool:
        """Whether it was set aside because its record cannot be appended."""
        return self._path.with_suffix(".broken").exists()

    def withdraw(self) -> bool:
        """Take it back; returns whether it was still there."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True


class Mailbox:
    """Records to be appended, oldest first. A request is renamed in, so it is never half there.

    It is one record, as in former versions, or a list of some that have at most 2 MiB together.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "mailbox"

    def put(self, *records: Append) -> MailboxRequest:
        """Add a request. Raise LogUnreachable if the folder cannot be written."""
        draft = self._folder / f".{uuid.uuid4()}"
        request = self._folder / f"{time.time_ns():020}-{uuid.uuid4()}.letter"
        try:
            make_private(self._folder.parent)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            draft.touch(0o600)
            draft.write_bytes(msgspec.msgpack.encode(records[0] if len(records) == 1 else records))
            draft.rename(request)
        except OSError as error:
            reason = error.strerror or str(error)
            raise LogUnreachable(f"nothing was written: the folder {self._folder} takes no file ({reason})") from error
        return MailboxRequest(request)

    def empty(self, log: Log) -> None:
        """Append the records of all requests, one request at a time; for the process that writes the log.

        A request that a dead process was appending is appended again: its records have no effect the second time.
        Unreadable requests are set aside.
        """
        for path in self._requests():
            taken = path.with_suffix(".taken")
            try:
                path.rename(taken)
            except FileNotFoundError:  # withdrawn
                continue
            try:
                log.append(_read(taken))
            except (_Unreadable, RecordTooLarge, TopicMismatch) as error:
                logger.warning("request %s cannot be appended (%s): set aside", path, error)
                taken.rename(path.with_suffix(".broken"))
            except LogError:
                taken.rename(path)
                raise
            else:
                taken.unlink()

    def _requests(self) -> Iterator[Path]:
        if self._folder.is_dir():
            yield from sorted([*self._folder.glob("*.letter"), *self._folder.glob("*.taken")])


class _Unreadable(Exception):
    """A file that is not a request."""


def _read(path: Path) -> list[Append]:
    try:
        with path.open("rb") as file:
            data = file.read(REQUEST_LIMIT_BYTES)
        try:
            return [_decode_one(data)]
        except msgspec.ValidationError:
            return _decode_many(data)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise _Unreadable(error) from error
