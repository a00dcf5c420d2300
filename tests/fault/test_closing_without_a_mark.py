"""All is durable when the mark of a clean end is written: whatever goes wrong with that, the store is closed."""

import contextlib
import errno
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Log, Queue, Store

Kind = Callable[..., Any]
KINDS: list[Kind] = [Store, Log, Queue]
PUT: dict[Kind, Callable[[Any], object]] = {
    Store: lambda opened: opened.__setitem__("a", "1"),
    Log: lambda opened: opened.append("a"),
    Queue: lambda opened: opened.put("a"),
}
HELD: dict[Kind, Callable[[Any], object]] = {
    Store: dict,
    Log: lambda opened: [data for _, data in opened.scan()],
    Queue: lambda opened: opened.take(False).item,
}
EXPECTED: dict[Kind, object] = {Store: {b"a": b"1"}, Log: [b"a"], Queue: b"a"}


def refuse(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Have the system refuse one step of writing CLEAN."""
    of_the_mark: set[int] = set()
    open_inside, write_inside, sync_inside, replace_inside = os.open, os.write, os.fsync, os.replace

    def opening(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if os.path.basename(path) == "CLEAN.new" and step == "open":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        descriptor = open_inside(path, flags, *rest, **options)
        if os.path.basename(path) == "CLEAN.new":
            of_the_mark.add(descriptor)
        else:
            of_the_mark.discard(descriptor)
        return descriptor

    def writing(descriptor: int, data: Any) -> int:
        if descriptor in of_the_mark and step == "write":
            write_inside(descriptor, data[:9])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_inside(descriptor, data)

    def syncing(descriptor: int) -> None:
        if descriptor in of_the_mark and step == "sync":
            raise OSError(errno.EIO, "Input/output error")
        sync_inside(descriptor)

    def replacing(source: Any, *rest: Any, **options: Any) -> None:
        if os.path.basename(source) == "CLEAN.new" and step == "rename":
            raise OSError(errno.EDQUOT, "Disk quota exceeded", source)
        replace_inside(source, *rest, **options)

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(os, "write", writing)
    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "fdatasync", syncing, raising=False)
    monkeypatch.setattr(os, "replace", replacing)
    monkeypatch.setattr(os, "rename", replacing)


@pytest.mark.parametrize("how", ["close", "finalizer"])
@pytest.mark.parametrize("step", ["open", "write", "sync", "rename"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_closed_and_can_be_opened(
    kind: Kind, step: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "it"
    opened = kind(path)
    PUT[kind](opened)
    with monkeypatch.context() as refused:
        refuse(refused, step)
        if how == "close":
            opened.close()
            assert opened.closed
        del opened
        gc.collect()
        assert not (path / "CLEAN").exists()
        assert not (path / "CLEAN.new").exists()
        with kind(path, read_only=True) as reader:  # while the disk is as it is
            assert kind is Queue or HELD[kind](reader) == EXPECTED[kind]
    with kind(path) as again:
        assert HELD[kind](again) == EXPECTED[kind]
    assert (path / "CLEAN").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_handler_that_raises_there_is_heard(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no refusal of the disk's: the close has not happened, and can be called again."""
    opened = kind(tmp_path / "it")
    PUT[kind](opened)
    replace_inside = os.replace

    def interrupting(source: Any, *rest: Any, **options: Any) -> None:
        if os.path.basename(source) == "CLEAN.new":
            raise KeyboardInterrupt
        replace_inside(source, *rest, **options)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(os, "replace", interrupting)
        interrupted.setattr(os, "rename", interrupting)
        with pytest.raises(KeyboardInterrupt):
            opened.close()
    assert not opened.closed
    opened.close()
    with kind(tmp_path / "it") as again:
        assert HELD[kind](again) == EXPECTED[kind]


def fill(path: Path) -> None:
    """Take all that is free on a disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with contextlib.suppress(OSError):
            while os.write(descriptor, bytes(1 << 12)) > 0:
                pass
    finally:
        os.close(descriptor)


def test_a_full_disk(small_disk: Path) -> None:
    """Each kind closes on a disk without a free block, where everything was durable before."""
    for kind in KINDS:
        opened = kind(small_disk / kind.__name__)
        PUT[kind](opened)
        if kind is not Queue:
            (opened.sync if kind is Store else opened.commit)()
        fill(small_disk / "rest")
        opened.close()
        assert opened.closed
        (small_disk / "rest").unlink()
        with kind(small_disk / kind.__name__) as again:
            assert HELD[kind](again) == EXPECTED[kind]
