"""Readers that follow a writer which is killed again and again: each state that they show is that of one commit.

The writer's operations go through one named session, so a commit says itself how many operations it holds: the reader
must hold exactly those, and never fewer than before. Readers are processes of their own.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from oxidbm import Store
from tests.crash.test_kill import OPTIONS, clears, killed_writer, operation
from tests.support import PURE, soaked, started

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

READERS = ("refresh", "ordered", "follow")
ROUNDS = 3
MODES = ["compacting", "clearing"] if PURE else ["always", "manual", "compacting", "closing", "clearing"]


class Journal:
    """The states that the writer's operations lead to, in order."""

    def __init__(self, clearing: bool) -> None:
        self.clearing = clearing
        self.count = 0
        self.held: dict[bytes, bytes] = {}

    def reach(self, count: int) -> Iterator[dict[bytes, bytes]]:
        """Go on to the state after so many operations; where the store may be cleared next, that is one as well."""
        while self.count < count:
            if self.clearing and clears(self.count):
                self.held.clear()
            self.count += 1
            key, value = operation(self.count)
            if value is None:
                self.held.pop(key, None)
            else:
                self.held[key] = value
        yield self.held
        if self.clearing and clears(count):
            yield {}


def read_for_ever(path: str, mode: str, way: str) -> None:
    """The reader: compare until standard input ends; say when there was a second state."""
    follow = 0.002 if way == "follow" else None
    journal = Journal(mode == "clearing")
    seen = 0
    os.set_blocking(0, False)
    with Store(path, read_only=True, ordered=way == "ordered", follow=follow, memory=OPTIONS["memory"]) as reader:
        while True:
            last = os.read(0, 1) == b"" if ready(0) else False
            if follow is None or last:
                reader.refresh()
            items, serial = state_of(reader, way)
            assert serial >= journal.count, f"back from {journal.count} to {serial}"
            if serial > journal.count:
                seen += 1
                if seen == 2:
                    print("follows", flush=True)
            assert any(items == state for state in journal.reach(serial)), f"not the state after {serial} operations"
            if last:
                break
        assert reader.check() == []


def ready(descriptor: int) -> bool:
    """Return whether there is something to be read from a pipe, and be it that it has ended."""
    return bool(select.select([descriptor], [], [], 0)[0])


def has_spoken(process: "subprocess.Popen[bytes]") -> bool:
    """Return whether a reader has told of a second state, or has ended."""
    assert process.stdout is not None
    return ready(process.stdout.fileno())


def state_of(reader: Store, way: str) -> tuple[dict[bytes, bytes], int]:
    """Return what a reader shows, and how many operations that is; of one that follows, while it does not move."""
    while True:
        before = reader.stats()["commit_sequence"]
        items = dict(reader.range() if way == "ordered" else reader.items())
        serials = [known.serial for known in reader.sessions() if known.name == "writer"]
        if reader.stats()["commit_sequence"] == before:
            return items, serials[0] if serials else 0


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_readers_follow_a_writer_that_is_killed(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "store"
    chance = Random(mode)
    killed_writer(path, mode, 0)
    code = "import sys; from tests.crash.test_kill_beside_readers import read_for_ever; read_for_ever(*sys.argv[1:])"
    readers: list[subprocess.Popen[bytes]] = []
    with (
        started([sys.executable, "-c", code, str(path), mode, READERS[0]], stdin=-1, stdout=-1) as first,
        started([sys.executable, "-c", code, str(path), mode, READERS[1]], stdin=-1, stdout=-1) as second,
        started([sys.executable, "-c", code, str(path), mode, READERS[2]], stdin=-1, stdout=-1) as third,
    ):
        readers = [first, second, third]
        rounds = 0
        while rounds < soaked(ROUNDS, least=2) or not all(map(has_spoken, readers)):
            killed_writer(path, mode, chance.uniform(0, 0.3))
            rounds += 1
        for way, process in zip(READERS, readers, strict=True):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            assert process.stdout.read() == b"follows\n", way
            assert process.wait() == 0, way
