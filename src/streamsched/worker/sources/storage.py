"""Files by path or URL: what is there, and their bytes. Local ones without fsspec, which is slow to import."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from io import BufferedReader
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from streamsched.worker.sources.errors import InputChanged, InputMissing

BOM: Final = b"\xef\xbb\xbf"
"""What some programs write before UTF-8."""
BUFFER: Final = 1024 * 1024
_TAGS: Final = ("ETag", "etag", "md5Hash", "checksum", "LastModified", "last_modified", "mtime", "updated", "created")
"""Where the file systems of fsspec tell what changes with a file, the surest first."""


class Found(NamedTuple):
    """A file: its size in bytes, and a tag that is another when its content is."""

    path: str
    size: int
    tag: str


class Folder(NamedTuple):
    """What is in a folder: all names in order, which of them are folders, and the files as far as they are known."""

    names: list[str]
    folders: set[str]
    files: dict[str, Found]


NOTHING: Final = Folder([], set(), {})


class Storage(Protocol):
    """A file system. Paths are as in templates: absolute, or URLs."""

    def look(self, path: str) -> Found | None:
        """Return the file of this path; None where there is none. Raise InputMissing where that cannot be told."""

    def read(self, folder: str) -> Folder:
        """Return what is in a folder; nothing where there is none. Raise InputMissing where that cannot be told."""

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading. Raise InputMissing."""


class Local:
    """The files of this machine."""

    def look(self, path: str) -> Found | None:
        """Return a regular file, also behind a link."""
        with reading(path):
            try:
                found = os.stat(path)  # noqa: PTH116 - a Path for each of a million files would be dear
            except (FileNotFoundError, NotADirectoryError):
                return None
        return Found(path, found.st_size, str(found.st_mtime_ns)) if stat.S_ISREG(found.st_mode) else None

    def read(self, folder: str) -> Folder:
        """Read a folder. A link to a folder is followed where it is named, not where it is met."""
        names, folders = [], set()
        try:
            with reading(folder), os.scandir(folder or "/") as entries:
                for entry in entries:
                    names.append(entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        folders.add(entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return NOTHING
        names.sort()
        return Folder(names, folders, {})

    def open(self, path: str) -> BinaryIO:
        """Open a file."""
        with reading(path):
            try:
                return open(path, "rb", buffering=BUFFER)  # noqa: PTH123 - the caller closes it
            except FileNotFoundError:
                raise InputMissing(f"{path}: there is no such file") from None


class Remote:
    """The files of a file system of fsspec."""

    def __init__(self, protocol: str) -> None:
        try:
            import fsspec
        except ModuleNotFoundError:
            reason = f"{protocol}:// needs the package fsspec"
            raise InputMissing(f'{reason}: install "streamsched[files]" where workers run') from None
        try:
            self._system: Any = fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True)
        except (ImportError, ValueError) as error:
            raise InputMissing(f"{protocol}:// cannot be read: {error}") from None

    def look(self, path: str) -> Found | None:
        """Return a file."""
        with reading(path):
            try:
                info = self._system.info(path)
            except FileNotFoundError:
                return None
        return self._found(path, info) if info.get("type") == "file" else None

    def read(self, folder: str) -> Folder:
        """Read a folder."""
        folders: set[str] = set()
        files: dict[str, Found] = {}
        with reading(folder):
            try:
                found = self._system.ls(folder, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return NOTHING
        for info in found:
            name = str(info["name"]).rstrip("/").rpartition("/")[2]
            if name and info["type"] == "directory":
                folders.add(name)
            elif name and not str(info["name"]).endswith("/"):  # a store may keep an empty object for a folder
                files[name] = self._found(f"{folder}/{name}", info)
        return Folder(sorted(folders.union(files)), folders, files)

    def _found(self, path: str, info: dict[str, Any]) -> Found:
        size = info.get("size")
        if not isinstance(size, int):
            raise InputMissing(f"{path}: its size is not known there")
        tag = next((info[key] for key in _TAGS if info.get(key) is not None), None)
        return Found(path, size, _text(self._system.ukey(path) if tag is None else tag))

    def open(self, path: str) -> BinaryIO:
        """Open a file."""
        with reading(path):
            try:
                return BufferedReader(self._system.open(path, "rb", block_size=4 * BUFFER), BUFFER)
            except FileNotFoundError:
                raise InputMissing(f"{path}: there is no such file") from None


def _text(tag: Any) -> str:
    """Write a tag: some file systems tell a time as a number here and as an object there."""
    moment = tag.timestamp() if isinstance(tag, datetime) else tag
    return f"{moment:.6f}" if isinstance(moment, float) else str(moment).strip('"')


@lru_cache(maxsize=16)
def _remote(protocol: str) -> Remote:
    return Remote(protocol)


_LOCAL: Final = Local()


def storage_of(path: str) -> Storage:
    """Return the file system of a path. Raise InputMissing where there is none of its kind."""
    protocol, separator, _ = path.partition("://")
    return _remote(protocol) if separator and protocol != "file" else _LOCAL


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Give what a file system raises a name, and the path. A file that is not there is the caller's."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, InputMissing):
        raise
    except PermissionError as error:
        raise InputMissing(f"{path}: may not be read here ({error.strerror or error})") from error


def look(path: str) -> Found:
    """Return the file of a path. Raise InputMissing."""
    found = storage_of(path).look(path)
    if found is None:
        raise InputMissing(f"{path}: there is no such file")
    return found


def verify(path: str, size: int, tag: str) -> Found:
    """Return a file that is as it was. Raise InputChanged, InputMissing."""
    found = look(path)
    if found.size != size:
        raise InputChanged(f"{path} has {found.size:,} bytes, and had {size:,} when the task was split")
    if found.tag != tag:
        raise InputChanged(f"{path} has been changed since the task was split ({tag}, now {found.tag})")
    return found
