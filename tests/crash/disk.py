"""A disk that forgets: every call that changes a file is recorded, and what a power failure may leave is rebuilt.

What a file system owes: a file's bytes after fsync of the file, a directory's entries after fsync of the directory. All
else may be lost in part: writes by sectors of 512 bytes in any combination, sizes apart from bytes, and the entries of
a directory from any of their changes on (they are journalled in order).

A file is a number here, and a directory the path that it was made at with a number behind it: both may be renamed, two
directories may exchange their names, and a file may have a second name.
"""

import os
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from oxidbm import _backup

SECTOR = 512
PATCHED = (
    "open", "close", "lseek", "pwrite", "write", "ftruncate", "fsync", "fdatasync",
    "replace", "rename", "link", "unlink", "mkdir", "rmdir",
)  # fmt: skip
LOCK = "LOCK"

Entry = int | str  # a file, or a directory


@dataclass
class File:
    """A file: what is durable, and what happened since."""

    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # (offset, data), or (size, None) for a cut

    def content(self, chance: random.Random | None, keep: float) -> bytes:
        """Return what is left when each pending sector is kept with the probability `keep`."""
        data = bytearray(self.durable)
        for offset, piece in self.pending:
            if piece is None:
                if keep >= 1 or (chance is not None and chance.random() < keep):
                    del data[offset:]
                    data.extend(bytes(offset - len(data)))
                continue
            for start in range(0, len(piece), SECTOR):
                sector = piece[start : start + SECTOR]
                kept = keep >= 1 or (chance is not None and chance.random() < keep)
                if kept or (chance is not None and chance.random() < keep / 2):  # its size alone may be there
                    at = offset + start
                    data.extend(bytes(max(0, at + len(sector) - len(data))))
                    if kept:
                        data[at : at + len(sector)] = sector
        return bytes(data)


@dataclass
class Directory:
    """A directory: its durable entries, and the changes since."""

    durable: dict[str, Entry] = field(default_factory=dict)
    pending: list[tuple[str, str, Any]] = field(default_factory=list)

    def entries(self, count: int) -> dict[str, Entry]:
        """Return the entries after the first `count` of the pending changes."""
        found = dict(self.durable)
        for what, name, value in self.pending[:count]:
            if what == "put":
                found[name] = value
            elif what == "rename":
                found[value] = found.pop(name)
            elif what == "exchange":
                found[name], found[value] = found[value], found[name]
            else:
                found.pop(name, None)
        return found


class Disk:
    """Records what happens below `root`, with notes of the test in between; `events` is the whole story.

    Locks are left out unless they are asked for: they say nothing about a store's data, but who wrote to a backup.
    """

    def __init__(self, root: Path, with_locks: bool = False) -> None:
        self.root = str(root)
        self.with_locks = with_locks
        self.events: list[tuple[Any, ...]] = []
        self.files: dict[str, int] = {}
        self.directories: dict[str, str] = {}  # by where they are now; of those that were there before it is that path
        self.open_files: dict[int, str] = {}
        self.positions: dict[int, int] = {}
        self.count = 0
        self.guard = threading.RLock()
        self.real = {name: getattr(os, name) for name in PATCHED}
        self.real_exchange = _backup.exchange

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Have every call of the os module pass through here, and the one that it has not."""
        for name in PATCHED:
            patch.setattr(os, name, getattr(self, name))
        patch.setattr(_backup, "exchange", self.exchange)

    def note(self, *words: Any) -> None:
        """Put a note of the test into the story."""
        self.events.append(("note", *words))

    def record(self, path: str, *event: Any) -> None:
        """Note an event, unless it is elsewhere, or of a lock that was not asked for."""
        if path.startswith(self.root) and (self.with_locks or os.path.basename(path) != LOCK):
            self.events.append(event)

    def placed(self, path: str) -> tuple[str, str]:
        """Return the directory that a path's last part is a name in, and that name."""
        above, name = os.path.split(path)
        return self.directories.get(above, above), name

    def located(self, path: Any, descriptor: int | None) -> str:
        """Return the path of a name that is relative to a directory's descriptor."""
        name = os.fspath(path)
        return name if descriptor is None else os.path.normpath(os.path.join(self.open_files[descriptor], name))

    def open(self, path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        with self.guard:
            name = self.located(path, more.get("dir_fd"))
            made = bool(flags & os.O_CREAT) and not os.path.exists(name)
            descriptor: int = self.real["open"](path, flags, mode, **more)
            self.open_files[descriptor] = name
            self.positions[descriptor] = 0
            if made:
                self.count += 1
                self.files[name] = self.count
                self.record(name, "put", *self.placed(name), self.count)
            elif flags & os.O_TRUNC and name in self.files:
                self.record(name, "write", self.files[name], 0, None)
            return descriptor

    def close(self, descriptor: int) -> None:
        with self.guard:
            self.open_files.pop(descriptor, None)
            self.real["close"](descriptor)

    def lseek(self, descriptor: int, offset: int, whence: int) -> int:
        with self.guard:
            found: int = self.real["lseek"](descriptor, offset, whence)
            self.positions[descriptor] = found
            return found

    def wrote(self, descriptor: int, offset: int, data: bytes | None) -> None:
        name = self.open_files.get(descriptor)
        if name is not None and name in self.files:
            self.record(name, "write", self.files[name], offset, data)

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        with self.guard:
            done: int = self.real["pwrite"](descriptor, data, offset)
            self.wrote(descriptor, offset, bytes(data)[:done])
            return done

    def write(self, descriptor: int, data: Any) -> int:
        with self.guard:
            done: int = self.real["write"](descriptor, data)
            if descriptor in self.open_files:
                self.wrote(descriptor, self.positions[descriptor], bytes(data)[:done])
                self.positions[descriptor] += done
            return done

    def ftruncate(self, descriptor: int, size: int) -> None:
        with self.guard:
            self.real["ftruncate"](descriptor, size)
            self.wrote(descriptor, size, None)

    def fsync(self, descriptor: int) -> None:
        with self.guard:
            name = self.open_files.get(descriptor, "")
            if name in self.files:
                self.record(name, "sync", self.files[name])
            elif os.path.isdir(name):
                self.record(name, "sync_directory", self.directories.get(name, name))

    fdatasync = fsync

    def replace(self, source: Any, target: Any, **more: Any) -> None:
        with self.guard:
            self.real["replace"](source, target, **more)
            source = self.located(source, more.get("src_dir_fd"))
            target = self.located(target, more.get("dst_dir_fd"))
            self.files.pop(target, None)
            self.moved(source, target)
            self.record(target, "rename", *self.placed(source), os.path.basename(target))

    rename = replace  # of what has no name in the other's place

    def moved(self, source: str, target: str) -> None:
        """Take note of where a file, or a directory with all that is in it, is found now."""

        def place(path: str) -> str:
            return target + path[len(source) :] if path == source or path.startswith(source + os.sep) else path

        self.files = {place(path): file for path, file in self.files.items()}
        self.directories = {place(path): directory for path, directory in self.directories.items()}
        self.open_files = {descriptor: place(path) for descriptor, path in self.open_files.items()}

    def exchange(self, one: str, other: str) -> bool:
        """Exchange the names of two directories, which stand in the same one."""
        with self.guard:
            if not self.real_exchange(one, other):
                return False
            for source, target in ((one, one + " moves"), (other, one), (one + " moves", other)):
                self.moved(source, target)
            self.record(one, "exchange", *self.placed(one), os.path.basename(other))
            return True

    def link(self, source: Any, target: Any, **more: Any) -> None:
        with self.guard:
            self.real["link"](source, target, **more)
            source = self.located(source, more.get("src_dir_fd"))
            target = self.located(target, more.get("dst_dir_fd"))
            self.files[target] = self.files[source]
            self.record(target, "put", *self.placed(target), self.files[target])

    def unlink(self, path: Any, **more: Any) -> None:
        with self.guard:
            self.real["unlink"](path, **more)
            path = self.located(path, more.get("dir_fd"))
            self.files.pop(path, None)
            self.record(path, "remove", *self.placed(path), None)

    def mkdir(self, path: Any, *arguments: Any, **more: Any) -> None:
        with self.guard:
            self.real["mkdir"](path, *arguments, **more)
            path = self.located(path, more.get("dir_fd"))
            self.count += 1
            self.directories[path] = f"{path} {self.count}"
            self.record(path, "put", *self.placed(path), self.directories[path])

    def rmdir(self, path: Any, **more: Any) -> None:
        with self.guard:
            self.real["rmdir"](path, **more)
            path = self.located(path, more.get("dir_fd"))
            self.directories.pop(path, None)
            self.record(path, "remove", *self.placed(path), None)


class Platter:
    """What is on the disk after the first events of a story, and what of it is certain."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.files: dict[int, File] = {}
        self.directories: dict[str, Directory] = {root: Directory()}

    def apply(self, event: tuple[Any, ...]) -> None:
        """Take one event into account."""
        match event:
            case ("put", directory, name, file):
                if isinstance(file, str):
                    self.directories[file] = Directory()
                else:
                    self.files.setdefault(file, File())
                if directory in self.directories:
                    self.directories[directory].pending.append(("put", name, file))
            case ("rename" | "exchange" | "remove" as what, directory, name, value):
                self.directories[directory].pending.append((what, name, value))
            case ("write", file, offset, data):
                self.files[file].pending.append((offset, data))
            case ("sync", file):
                found = self.files[file]
                self.files[file] = File(found.content(None, 1.0))
            case ("sync_directory", directory):
                if directory in self.directories:
                    held = self.directories[directory]
                    self.directories[directory] = Directory(held.entries(len(held.pending)))

    def restore(self, target: Path, chance: random.Random | None, keep: float) -> None:
        """Write what a power failure leaves below `target`; `keep` is the chance of each piece that was not synced."""
        self.restore_directory(self.root, target, chance, keep, {})

    def restore_directory(
        self, directory: str, target: Path, chance: random.Random | None, keep: float, written: dict[int, Path]
    ) -> None:
        """Write what is left of a directory; a file that was `written` already gets a second name."""
        held = self.directories[directory]
        count = len(held.pending) if keep >= 1 else 0
        if chance is not None and held.pending:
            count = chance.randint(0, len(held.pending))
        target.mkdir(exist_ok=True)
        for name, entry in held.entries(count).items():
            if isinstance(entry, str):
                self.restore_directory(entry, target / name, chance, keep, written)
            elif entry in written:
                (target / name).hardlink_to(written[entry])
            else:
                (target / name).write_bytes(self.files[entry].content(chance, keep))
                written[entry] = target / name
