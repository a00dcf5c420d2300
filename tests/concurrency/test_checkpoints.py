"""Checkpoints made in a loop by two threads, beside everything else that a store does: each is the state of an instant.

Each writer has a session and does its own numbered operations; so a checkpoint says by the sessions' numbers what must
be in it. A batch puts one number under many keys.
"""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from tests.support import Small, leave_memory, run, scaled

KINDS = ("fold-over", "snapshot", "incremental", "log", "incremental", "index", "incremental")
WRITERS = 3
STATES_MIN = 3
KEYS = 97
BATCH_KEYS = 12
PAGE_BYTES = 4096
SMALL: Small = {"memory": "1MiB", "page_size": PAGE_BYTES}
Options = dict[str, Any]


def value_of(number: int) -> bytes:
    """Return the value of a writer's operation, which is of many sizes, at times larger than a page."""
    return b"%d;" % number * (1 + number * 7919 % (1500 if number % 50 == 0 else 60))


def expected_of(name: str, serial: int) -> dict[bytes, bytes]:
    """Return what the first operations of a writer come to."""
    held: dict[bytes, bytes] = {}
    for number in range(1, serial + 1):
        key = f"{name} {number * 31 % KEYS}".encode()
        if number % 5 == 0:
            held.pop(key, None)
        else:
            held[key] = value_of(number)
    return held


class Scene:
    """A store, the threads that change it, and the checkpoints that were made of it."""

    def __init__(self, path: Path, cleared: bool) -> None:
        self.path = path
        self.cleared = cleared
        self.store = Store(path, durability="interval", interval=0.01, **SMALL)
        leave_memory(self.store, 24 * PAGE_BYTES)
        self.made: list[oxidbm.Checkpoint] = []
        self.purged: set[str] = set()
        self.done = threading.Event()
        self.writing = WRITERS

    def write(self, name: str) -> None:
        """Do numbered operations, so many, and more where it takes that until there are checkpoints to look at."""
        enough = scaled(4000, 150)
        with self.store.session(name) as session:
            for number in range(1, 50 * enough):
                if number > enough and len(self.states()) >= STATES_MIN:
                    break
                key = f"{name} {number * 31 % KEYS}"
                if number % 5 == 0:
                    session.delete(key)
                elif number % 3 == 0:
                    session.rmw(key, lambda old, number=number: value_of(number), value_of(number))  # type: ignore[misc]
                else:
                    session.upsert(key, value_of(number))
        self.writing -= 1
        if self.writing == 0:
            self.done.set()

    def states(self) -> list[oxidbm.Checkpoint]:
        """Return the checkpoints that are there and can be opened."""
        return [made for made in self.made if made.token not in self.purged and made.kind != "index"]

    def until_done(self, step: Callable[[int], object]) -> Callable[[], None]:
        """Return a function that does something again and again until the writers have come to their end."""

        def go() -> None:
            number = 0
            while not self.done.is_set():
                number += 1
                step(number)

        return go

    def checkpoint(self, number: int) -> None:
        """Make a checkpoint, and remove some."""
        kind: Any = KINDS[number % len(KINDS)]
        with contextlib.suppress(oxidbm.BusyError):  # the other thread's is being made
            made = self.store.checkpoint(kind, wait=number % 3 > 0)
            self.made.append(made.result(60))
        if number % 40 == 0:
            self.purged.update(self.store.purge(keep=4))

    def batch(self, number: int) -> None:
        """Put a number under many keys."""
        with self.store.batch() as batch:
            for key in range(BATCH_KEYS):
                batch[f"batch {key}"] = b"%d" % number + bytes(number * key % 300)

    def iterate(self, number: int) -> None:
        """Read everything, at times not to the end."""
        for at, _ in enumerate(self.store.items()):
            if at > 50 * (number % 10):
                break

    def visit(self, number: int) -> None:
        """Open a session and forget it."""
        with self.store.session(f"visitor {number % 7}") as session:
            session.upsert("visited", str(number))
        self.store.forget_session(f"visitor {number % 7}")

    def maintain(self, number: int) -> None:
        """Do what changes the log and the index as a whole."""
        if number % 3 == 0:
            self.store.reorganize()
        elif number % 3 == 1 and self.store.stats()["index_buckets"] < 100_000:
            self.store.grow_index()
        elif self.cleared:
            self.store.clear()
        self.done.wait(0.01)

    def check(self, made: oxidbm.Checkpoint) -> None:
        """Open the store at a checkpoint and compare."""
        with Store(self.path, read_only=True, checkpoint=made.token, memory="1MiB") as state:
            assert state.check() == []
            assert state.recovery.commit == made.commit
            found = dict(state.items())
            assert len(state) == len(found)
            numbers = {found.get(b"batch %d" % key, b"0").split(b"\0")[0] for key in range(BATCH_KEYS)}
            assert len(numbers) == 1, "a part of a batch"
            for known in state.sessions():
                if not known.name.startswith("writer"):
                    continue
                start = known.name.encode() + b" "
                written = {key: value for key, value in found.items() if key.startswith(start)}
                expected = expected_of(known.name, known.serial)
                assert written.items() <= expected.items() if self.cleared else written == expected


@pytest.mark.slow
@pytest.mark.parametrize("cleared", [False, True], ids=["", "cleared"])
def test_each_checkpoint_is_the_state_of_an_instant(tmp_path: Path, cleared: bool) -> None:
    scene = Scene(tmp_path / "store", cleared)
    others = (scene.checkpoint, scene.checkpoint, scene.batch, scene.iterate, scene.visit, scene.maintain)
    try:
        run(
            *[lambda name=f"writer {number}": scene.write(name) for number in range(WRITERS)],
            *[scene.until_done(step) for step in others],
            seconds=300,
        )
    finally:
        scene.done.set()
    states = scene.states()
    assert states  # a few at least: some may have been purged since
    for made in states[:: max(1, len(states) // 30)]:
        scene.check(made)  # beside the writer
    assert scene.store.check() == []
    final = dict(scene.store.items())
    scene.store.close()
    for made in states[:: max(1, len(states) // 30)]:
        scene.check(made)
    with Store(tmp_path / "store", **SMALL) as store:
        assert dict(store.items()) == final
        assert store.check() == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fold-over", "snapshot"])
def test_a_reader_at_a_checkpoint_that_is_being_purged(tmp_path: Path, kind: Any) -> None:
    """It has the checkpoint's state, or is told that there is no such checkpoint."""
    store = Store(tmp_path / "store", durability="manual", **SMALL)
    tokens: list[tuple[str, bytes]] = []
    done = threading.Event()
    came = 0

    def write() -> None:
        for number in range(scaled(150, 10)):
            store.update({b"%d" % key: b"%d" % number for key in range(200)})
            tokens.append((store.checkpoint(kind).token, b"%d" % number))
            store.purge(keep=1)
            if number % 10 == 0:
                store.reorganize()
        done.set()

    def read() -> None:
        nonlocal came
        while not done.wait(0.0005):
            if tokens:
                token, value = tokens[-1]
                try:
                    with Store(tmp_path / "store", read_only=True, checkpoint=token, memory="1MiB") as state:
                        assert set(state.values()) == {value}
                        came += 1
                except oxidbm.MissingError:
                    continue

    run(write, read, seconds=300)
    assert came
    store.close()
