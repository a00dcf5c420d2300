"""A disk that forgets: every call that changes a file is recorded, and what a power failure may leave is rebuilt.

What a file system owes: a file's bytes after fsync of the file, a directory's entries after fsync of the directory. All
else may be lost in part: writes by sectors of 512 bytes in any combination, sizes apart from bytes, and the entries of
a directory from any of their changes on (they are journalled in order).
"""

import os
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SECTOR = 512
PATCHED = ("open", "close", "pwrite", "write", "ftruncate", "fsync", "fdatasync", "replace", "unlink", "mkdir")
LOCK = "LOCK"


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
    """A directory: its durable entries (name to file, None for a directory), and the changes since."""

    durable: dict[str, int | None] = field(default_factory=dict)
    pending: list[tuple[str, str, Any]] = field(default_factory=list)

    def entries(self, count: int) -> dict[str, int | None]:
        """Return the entries after the first `count` of the pending changes."""
        found = dict(self.durable)
        for what, name, value in self.pending[:count]:
            if what == "put":
                found[name] = value
            elif what == "rename":
                found[value] = found.pop(name)
            else:
                found.pop(name, None)
        return found


class Disk:
    """Records what happens below `root`, with notes of the test in between; `events` is the whole story."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.events: list[tuple[Any, ...]] = []
        self.files: dict[str, int] = {}
        self.open_files: dict[int, str] = {}
        self.positions: dict[int, int] = {}
        self.count = 0
        self.guard = threading.RLock()
        self.real = {name: getattr(os, name) for name in PATCHED}

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Have every call of the os module pass through here."""
        for name in PATCHED:
            patch.setattr(os, name, getattr(self, name))

    def note(self, *words: Any) -> None:
        """Put a note of the test into the story."""
        self.events.append(("note", *words))

    def record(self, path: str, *event: Any) -> None:
        """Note an event, unless it is elsewhere or of the lock, which says nothing about the data."""
        if path.startswith(self.root) and os.path.basename(path) != LOCK:
            self.events.append(event)

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
                self.record(name, "put", os.path.dirname(name), os.path.basename(name), self.count)
            elif flags & os.O_TRUNC and name in self.files:
                self.record(name, "write", self.files[name], 0, None)
            return descriptor

    def close(self, descriptor: int) -> None:
        with self.guard:
            self.open_files.pop(descriptor, None)
            self.real["close"](descriptor)

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
                self.record(name, "sync_directory", name)

    fdatasync = fsync

    def replace(self, source: Any, target: Any, **more: Any) -> None:
        with self.guard:
            self.real["replace"](source, target, **more)
            source = self.located(source, more.get("src_dir_fd"))
            target = self.located(target, more.get("dst_dir_fd"))
            self.files[target] = self.files.pop(source)
            for descriptor, name in self.open_files.items():
                if name == source:
                    self.open_files[descriptor] = target
            self.record(target, "rename", os.path.dirname(target), os.path.basename(source), os.path.basename(target))

    def unlink(self, path: Any, **more: Any) -> None:
        with self.guard:
            self.real["unlink"](path, **more)
            path = self.located(path, more.get("dir_fd"))
            self.files.pop(path, None)
            self.record(path, "remove", os.path.dirname(path), os.path.basename(path), None)

    def mkdir(self, path: Any, *arguments: Any, **more: Any) -> None:
        with self.guard:
            self.real["mkdir"](path, *arguments, **more)
            path = self.located(path, more.get("dir_fd"))
            self.record(path, "put", os.path.dirname(path), os.path.basename(path), None)


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
                if file is None:
                    self.directories[os.path.join(directory, name)] = Directory()
                else:
                    self.files[file] = File()
                if directory in self.directories:
                    self.directories[directory].pending.append(("put", name, file))
            case ("rename" | "remove" as what, directory, name, value):
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
        self.restore_directory(self.root, target, chance, keep)

    def restore_directory(self, path: str, target: Path, chance: random.Random | None, keep: float) -> None:
        directory = self.directories[path]
        count = len(directory.pending) if keep >= 1 else 0
        if chance is not None and directory.pending:
            count = chance.randint(0, len(directory.pending))
        target.mkdir(exist_ok=True)
        for name, file in directory.entries(count).items():
            if file is None:
                self.restore_directory(os.path.join(path, name), target / name, chance, keep)
            else:
                (target / name).write_bytes(self.files[file].content(chance, keep))
