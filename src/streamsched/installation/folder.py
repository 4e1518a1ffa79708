"""The data folder. Only its user may read it: it holds parameters, states and results."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_OTHERS: Final = 0o077
_OURS: Final = ("log", "views", "mailbox", "run.lock", "output.log", "scratch")
"""Prefixes of the names of our files in it."""

logger = logging.getLogger(__name__)


def make_private(folder: Path) -> None:
    """Make the folder with mode 0700, or give an existing one this mode.

    A folder of another user or with other files keeps its mode: warn, and make our files private. Errors are ignored:
    the first write reports them.
    """
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError):
        found = folder.stat()
        if not found.st_mode & _OTHERS:
            return
        if found.st_uid == os.geteuid() and (
            folder.name == ".streamsched" or all(each.name.startswith(_OURS) for each in folder.iterdir())
        ):
            folder.chmod(0o700)
            return
        logger.warning(
            "others can look into the data folder %s: chmod 700 it, or give --data-dir a folder of its own", folder
        )
        seal(folder)


def seal(folder: Path) -> None:
    """Give our files and folders in it the modes 0600 and 0700: databases create theirs by the umask."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith(_OURS):
                _restrict(path)
                for here, folders, files in os.walk(path):
                    for name in (*folders, *files):
                        _restrict(Path(here, name))


def _restrict(path: Path) -> None:
    with suppress(OSError):  # it is another user's, or gone by now
        found = path.lstat()
        if found.st_mode & _OTHERS and found.st_uid == os.geteuid() and not path.is_symlink():
            path.chmod(found.st_mode & 0o700)
