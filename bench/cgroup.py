"""A memory cgroup, version 1 or 2: what makes data larger than memory on a machine that has more."""

from __future__ import annotations

import os
from pathlib import Path

ROOTS = ((Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"), (Path("/sys/fs/cgroup"), "memory.max"))


class Cgroup:
    """A group of processes that has so much memory, the page cache of what they read included."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def join(self) -> None:
        """Put this process there, with what it will read from now on."""
        (self.directory / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self) -> None:
        """Remove it, when the processes in it have ended."""
        self.directory.rmdir()


def limited(size: int) -> Cgroup | None:
    """Make a group that has `size` bytes of memory; None where this process may not, or the system has none."""
    for root, limit in ROOTS:
        directory = root / f"bench-{os.getpid()}"
        try:
            directory.mkdir()
        except OSError:
            continue
        try:
            (directory / limit).write_text(str(size))
        except OSError:
            directory.rmdir()
            continue
        return Cgroup(directory)
    return None
