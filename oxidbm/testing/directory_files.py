"""The files of a store's directory beside a device of one's own: looked at before each event, put back after a crash.

They are taken as they stand, as though all that was written to them were durable. A store syncs each of them before it
writes anything that relies on it, and one that is not finished yet has another name; oxidbm's own tests of power
failures lose their bytes too. LOCK is left out: it goes with the process.
"""

import os
from pathlib import Path
from typing import Final

from oxidbm._core.device.directory import LOCK
from oxidbm.testing.platter import Files

SMALL_BYTES_MAX: Final = 65536  # a larger file is read again only when it looks changed
ATTEMPTS_MAX: Final = 100


class DirectoryFiles:
    """What a directory holds, and has held when it was looked at last."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.seen: Files | None = None
        self.large: dict[str, tuple[tuple[int, int, int], bytes]] = {}  # by path: what it looked like, and its bytes

    def look(self) -> Files | None:
        """Return the directory's files, None where it is not there; the same object where nothing has changed."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                found = self.read()
                break
            except FileNotFoundError:  # deleted or renamed by another thread since it was listed
                if attempt == ATTEMPTS_MAX:
                    raise
        if found != self.seen:
            self.seen = found
        return self.seen

    def read(self) -> Files | None:
        """Return the directory's files; FileNotFoundError for one that went meanwhile."""
        if not os.path.isdir(self.path):
            return None
        found: Files = {}
        waiting = [""]
        while waiting:
            below = waiting.pop()
            for entry in sorted(os.scandir(os.path.join(self.path, below)), key=lambda entry: entry.name):
                name = os.path.join(below, entry.name)
                if entry.is_dir():
                    found[name] = None
                    waiting.append(name)
                elif name != LOCK:
                    found[name] = self.content(name, entry.stat())
        return found

    def content(self, name: str, status: os.stat_result) -> bytes:
        """Return a file's bytes."""
        path = Path(self.path, name)
        if status.st_size <= SMALL_BYTES_MAX:
            return path.read_bytes()
        looks = (status.st_ino, status.st_size, status.st_mtime_ns)
        if name not in self.large or self.large[name][0] != looks:
            self.large[name] = (looks, path.read_bytes())
        return self.large[name][1]


def put_back(path: str, files: Files | None) -> None:
    """Write files below a path where nothing is, or an empty directory."""
    if os.path.isdir(path) and os.listdir(path):
        raise ValueError(f"{path} is not empty; have a crash state restored to a path where nothing is yet")
    if files is None:
        return
    os.makedirs(path, exist_ok=True)
    for name, content in files.items():  # a directory stands before what is in it
        if content is None:
            os.mkdir(os.path.join(path, name))
        else:
            Path(path, name).write_bytes(content)
