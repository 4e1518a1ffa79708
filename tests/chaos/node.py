"""One real node of a round, with the processes below it, and ways to strike it."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress

import psutil


class Node:
    """One ``streamsched worker`` or ``scheduler``."""

    def __init__(self, process: subprocess.Popen[bytes], name: str) -> None:
        self.process = process
        self.name = name

    @property
    def running(self) -> bool:
        """Whether its parent process has not ended."""
        return self.process.poll() is None

    def tree(self) -> list[psutil.Process]:
        """List the parent, the node, and its executors, in this order; fewer if some are gone."""
        try:
            parent = psutil.Process(self.process.pid)
            children = parent.children()
            return [parent, *children, *(below for child in children for below in child.children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def executors(self) -> list[psutil.Process]:
        """List its executors."""
        return self.tree()[2:]

    def tell_to_stop(self) -> None:
        """Send SIGTERM to the parent, as a user does."""
        self.process.send_signal(signal.SIGTERM)

    def strike(self, number: int, *, whole: bool) -> None:
        """Signal the node alone, whose parent lives on, or the parent and all below it, one by one."""
        tree = self.tree()
        for process in tree if whole else tree[1:2]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def end(self) -> None:
        """Kill what is left of it."""
        for process in self.tree():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(10)
