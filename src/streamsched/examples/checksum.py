"""The SHA-256 of a big file, with checkpoints inside the file.

``hashlib`` cannot save the state of a hash, and a hash of block hashes would be another number than
everybody else's. So the state is taken from OpenSSL's own ``SHA256_CTX``: after a multiple of 64 bytes it
is eight words and a length, the same on every machine. Where libcrypto or these (old, but stable) functions
are missing, or do not pass a test against ``hashlib``, the file is hashed in one go, with heartbeats but
without checkpoints: slower to recover, and still the true SHA-256.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

from streamsched.worker.context import ChildContext

BLOCK_BYTES: Final = 4 * 1024 * 1024  # a multiple of the 64 bytes that SHA-256 works on


class _Context(ctypes.Structure):
    """``SHA256_CTX`` of openssl/sha.h."""

    _fields_ = (
        ("h", ctypes.c_uint32 * 8),
        ("low", ctypes.c_uint32),
        ("high", ctypes.c_uint32),
        ("data", ctypes.c_uint32 * 16),
        ("num", ctypes.c_uint),
        ("md_len", ctypes.c_uint),
    )


class Hash(Protocol):
    """A SHA-256 in progress."""

    def update(self, data: bytes, /) -> None:
        """Add data."""
        ...

    def hexdigest(self) -> str:
        """Return the digest of all that was added."""
        ...


class ResumableSha256:
    """A SHA-256 whose state can be saved at multiples of 64 bytes: eight words, as hexadecimal text."""

    def __init__(self, library: ctypes.CDLL, *, words: str | None = None, length: int = 0) -> None:
        self._library = library
        # Room behind the structure, should a future version of it be longer.
        self._buffer = ctypes.create_string_buffer(ctypes.sizeof(_Context) + 256)
        self._context = _Context.from_buffer(self._buffer)
        library.SHA256_Init(self._buffer)
        if words is not None:
            self._context.h[:] = [int(words[i : i + 8], 16) for i in range(0, 64, 8)]
            bits = length * 8
            self._context.low, self._context.high = bits & 0xFFFFFFFF, bits >> 32

    def update(self, data: bytes, /) -> None:
        """Add data; the interpreter is free for other threads meanwhile."""
        self._library.SHA256_Update(self._buffer, data, ctypes.c_size_t(len(data)))

    def words(self) -> str:
        """Return the state; only after a multiple of 64 bytes."""
        if self._context.num:
            raise ValueError("the state is only complete after a multiple of 64 bytes")
        return "".join(f"{word:08x}" for word in self._context.h)

    def hexdigest(self) -> str:
        """Return the digest; nothing can be added afterwards."""
        digest = ctypes.create_string_buffer(32)
        self._library.SHA256_Final(digest, self._buffer)
        return digest.raw.hex()


@cache
def libcrypto() -> ctypes.CDLL | None:
    """Find a libcrypto whose SHA-256 can be saved and resumed, and prove that it can."""
    for name in _candidates():
        try:
            library = ctypes.CDLL(name)
            if _passes(library):
                return library
        except (OSError, AttributeError):
            continue
    return None


def _candidates() -> Iterable[str]:
    # What hashlib itself uses is loaded already, and its symbols are reached through the extension module.
    try:
        import _hashlib
    except ImportError:  # a Python without OpenSSL
        pass
    else:
        if getattr(_hashlib, "__file__", None):
            yield _hashlib.__file__
    found = ctypes.util.find_library("crypto")
    if found:
        yield found


def _passes(library: ctypes.CDLL) -> bool:
    text = bytes(range(256)) * 5
    first = ResumableSha256(library)
    first.update(text[:1024])
    second = ResumableSha256(library, words=first.words(), length=1024)
    second.update(text[1024:])
    return second.hexdigest() == hashlib.sha256(text).hexdigest()


def sha256_file(ctx: ChildContext, path: str) -> dict[str, Any]:
    """Return ``{"path", "bytes", "sha256"}`` of a file; begins anew if the file changed meanwhile."""
    with Path(path).open("rb") as file:
        stat = os.fstat(file.fileno())
        identity = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        library = libcrypto()
        done, total = 0, stat.st_size
        known = ctx.last_checkpoint
        digest: Hash
        if library is None:
            digest = hashlib.sha256()
        elif known is not None and known["file"] == identity:
            done = known["done"]
            digest = ResumableSha256(library, words=known["words"], length=done)
            file.seek(done)
        else:
            digest = ResumableSha256(library)
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            done += len(block)
            ctx.progress(done, max(total, done))
            if isinstance(digest, ResumableSha256) and done % BLOCK_BYTES == 0:
                ctx.checkpoint({"file": identity, "done": done, "words": digest.words()})
            else:
                ctx.heartbeat()
    return {"path": path, "bytes": done, "sha256": digest.hexdigest()}
