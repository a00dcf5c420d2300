"""kill -9 of a process that writes, at any moment: what it reported durable is there, and the rest is a prefix.

All of the writer's operations go through one named session, whose serial number is in each commit record. So the
reopened store says itself how many operations it holds, and must hold exactly those.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest

import oxidbm
from oxidbm import Session, Store
from tests.support import Durability, Small, soaked, started

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

KEYS = 300
OPTIONS: Small = {"memory": "1MiB", "page_size": 4096}
ROUNDS = 4


def mixed(number: int) -> int:
    """Return an operation's own random number."""
    return (number * 0x9E3779B97F4A7C15 >> 20) & 0xFFFFFF


def operation(number: int) -> tuple[bytes, bytes | None]:
    """Return the key of an operation and the value it gets, None for a deletion."""
    draw = mixed(number)
    key = b"key%d" % (draw % KEYS)
    if draw % 7 == 0:
        return key, None
    size = (10, 100, 1000, 3000, 6000)[draw // 7 % 5]
    return key, (b"%d," % number * (size // 4))[:size]


def clears(number: int) -> bool:
    """Return whether the store is cleared after an operation, by the writer that clears."""
    return mixed(number) % 150 == 0


def state(count: int, clearing: bool = False) -> dict[bytes, bytes]:
    """Return what a store holds after the first operations."""
    held: dict[bytes, bytes] = {}
    for number in range(1, count + 1):
        if clearing and clears(number - 1):
            held.clear()
        key, value = operation(number)
        if value is None:
            held.pop(key, None)
        else:
            held[key] = value
    return held


def apply(session: Session, number: int) -> None:
    """Do an operation."""
    key, value = operation(number)
    if value is None:
        session.delete(key)
    elif number % 3 == 0:
        session.rmw(key, lambda old: value, value)
    else:
        session.upsert(key, value)


def write_for_ever(path: str, mode: str) -> None:
    """The writer: go on where the last one was killed, and report each time which operations are durable."""
    durability = cast(Durability, mode) if mode in ("always", "interval") else "manual"
    while True:
        store = Store(path, durability=durability, interval=0.01, ordered=mode == "ordered", **OPTIONS)
        session = store.session("writer")
        reported = -1
        if mode == "clearing" and clears(session.serial):
            store.clear()  # the last writer may have been killed before it came to that
        while True:
            number = session.serial + 1
            apply(session, number)
            draw = mixed(number)
            if mode in ("manual", "clearing", "ordered", "expiring") and draw % 50 == 0:
                session.commit()
            if mode == "clearing" and clears(number):
                store.clear()
            if mode == "ordered" and draw % 20 == 0:
                assert [*store.range()] == sorted(store.items())
            if mode == "expiring":
                store.touch(b"key%d" % (draw % KEYS), expire=(None, 10**6, 10**7)[draw % 3])
            if mode == "compacting" and draw % 100 == 0:
                store.reorganize()
            if session.durable_serial > reported:
                reported = session.durable_serial
                os.write(1, b"%d\n" % reported)
            if mode == "closing" and draw % 100 == 0:
                store.close()
                os.write(1, b"%d\n" % number)
                break


def killed_writer(path: Path, mode: str, seconds: float, writer: str = "write_for_ever") -> int:
    """Run a writer, kill it some time after its first report, and return what it last reported durable."""
    code = f"import sys; from tests.crash.test_kill import {writer}; {writer}(*sys.argv[1:])"
    with started([sys.executable, "-c", code, str(path), mode], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, "the writer ended before it reported anything"
        time.sleep(seconds)
        process.kill()
        lines = process.stdout.read().split(b"\n")
        assert process.wait() == -signal.SIGKILL
    return int(lines[-2] if len(lines) > 1 else first)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", ["always", "interval", "manual", "compacting", "closing", "clearing", "ordered", "expiring"]
)
def test_killed_writer_leaves_a_prefix(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "store"
    chance = random.Random(mode)
    serial = 0
    for _ in range(soaked(ROUNDS, least=2)):
        reported = killed_writer(path, mode, chance.uniform(0, 0.15))
        assert reported >= serial
        with Store(path, durability="manual", **OPTIONS) as store:
            assert store.check() == []
            session = store.session("writer")
            serial = session.serial
            assert serial >= reported
            cleared = mode == "clearing" and clears(serial) and not store
            assert cleared or dict(store.items()) == state(serial, mode == "clearing")
            session.close()


def test_killed_writer_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "store"
    killed_writer(path, "manual", 0)
    with Store(path, **OPTIONS) as store, pytest.raises(oxidbm.LockedError, match=str(os.getpid())):
        Store(path, checkpoints=False, **OPTIONS)
    assert store.closed


BATCH_KEYS = 40


def batches_for_ever(path: str, mode: str) -> None:
    """The writer of batches: each puts its number under all keys, with values that are at times larger than a page."""
    store = Store(path, durability="interval", interval=0.002, **OPTIONS)
    number = int(store.get(b"key0", b"0").split(b",")[0])
    session = store.session("writer")
    while True:
        number += 1
        draw = mixed(number)
        with store.batch() as batch:
            for i in range(BATCH_KEYS):
                batch[b"key%d" % i] = b"%d," % number * (1 + (draw >> i % 20) % 1500 // (1 + i))
            batch.delete(b"even" if number % 2 else b"odd")
            batch[b"odd" if number % 2 else b"even"] = b"%d" % number
        if draw % 10 == 0:
            session.upsert(b"beside", b"%d" % number)
            session.commit()
            os.write(1, b"%d\n" % number)


@pytest.mark.slow
def test_killed_writer_leaves_whole_batches(tmp_path: Path) -> None:
    path = tmp_path / "store"
    chance = random.Random("batches")
    for _ in range(soaked(ROUNDS, least=2)):
        reported = killed_writer(path, "batches", chance.uniform(0.02, 0.15), writer="batches_for_ever")
        with Store(path, durability="manual", **OPTIONS) as store:
            assert store.check() == []
            numbers = {number for i in range(BATCH_KEYS) for number in store[b"key%d" % i].split(b",")[:-1]}
            assert len(numbers) == 1
            number = int(numbers.pop())
            assert number >= reported
            parity = b"odd" if number % 2 else b"even"
            assert store[parity] == b"%d" % number
            assert len(store) == BATCH_KEYS + 2


def forgotten(number: int) -> bool:
    """Return whether a step of the writer of sessions ends by forgetting its session."""
    return mixed(number) % 5 == 0


def sessions_for_ever(path: str, mode: str) -> None:
    """The writer of sessions: each step is an operation of one of many, which may be forgotten, and one of its own."""
    store = Store(path, durability="interval", interval=0.002, **OPTIONS)
    writer = store.session("writer")
    reported = -1
    while True:
        number = writer.serial + 1
        name = f"run {mixed(number) % 30}"
        with store.session(name) as session:
            session.upsert(name, b"%d" % (session.serial + 1))
            if mixed(number) % 11:  # most of them are left to the interval's commit
                session.close()
        if forgotten(number):
            assert store.forget_session(name)
        writer.upsert(b"step", b"%d" % number)
        if mixed(number) % 200 == 0:
            store.clear()
        if mixed(number) % 300 == 0:
            store.reorganize()
        if writer.durable_serial > reported:
            reported = writer.durable_serial
            os.write(1, b"%d\n" % reported)


def sessions_after(first: int, before: dict[str, int], count: int) -> list[dict[str, int]]:
    """Return what the sessions' numbers may be when `count` steps are whole, and perhaps a part of the next one.

    before: what they were before the step `first`; a part of that one may have been there already.
    """
    held = dict(before)
    for number in range(first, count + 1):
        name = f"run {mixed(number) % 30}"
        held[name] = held.get(name, 0) + 1
        if forgotten(number):
            del held[name]
    following = f"run {mixed(count + 1) % 30}"
    begun = {**held, following: held.get(following, 0) + 1}
    return [held, begun, {name: serial for name, serial in begun.items() if name != following}]


@pytest.mark.slow
def test_killed_writer_leaves_its_sessions(tmp_path: Path) -> None:
    path = tmp_path / "store"
    chance = random.Random("sessions")
    number, found = 0, dict[str, int]()
    for _ in range(soaked(ROUNDS, least=2)):
        reported = killed_writer(path, "sessions", chance.uniform(0.02, 0.3), writer="sessions_for_ever")
        with Store(path, durability="manual", **OPTIONS) as store:
            assert store.check() == []
            before, first = found, number + 1
            found = {known.name: known.serial for known in store.sessions()}
            number = found.pop("writer")
            assert number >= reported
            assert found in sessions_after(first, before, number)
            store.reorganize()
            assert {known.name: known.serial for known in store.sessions()} == {**found, "writer": number}
