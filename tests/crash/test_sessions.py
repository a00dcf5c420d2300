"""Sessions that resume: after any crash there is what each one's number says, and an ingest by position counts once.

Each session writes its own increasing numbers, and adds to a counter that all of them share. So what a crash leaves
says itself whether it is the state of one instant: of each session all up to its number and nothing behind, and in the
counter the sum of the numbers.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Session, Store
from oxidbm.testing import CrashDevice, check_crashes
from tests.inside import abandon
from tests.support import Small, run, scaled, soaked, started

PAGE_BYTES = 4096
SMALL: Small = {"memory": "1MiB", "page_size": PAGE_BYTES}
THREADS = 4
KINDS = ("upsert", "rmw", "long keys", "larger than memory")
COMMAND = "import sys; from tests.crash.test_sessions import {}; {}(*sys.argv[1:])"

needs_sigkill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")


def add_one(old: bytes) -> bytes:
    """Return the decimal number behind `old`, plus one."""
    return b"%d" % (int(old) + 1)


def key_of(kind: str, name: str, number: int) -> str:
    """Return the key of a session's operation."""
    return f"{name}/{number}" + ("/long" * (number * 7 % 300) if kind == "long keys" else "")


def value_of(kind: str, number: int) -> bytes:
    """Return the value of a session's operation."""
    return b"%d." % number * (number * 13 % 500 if kind == "larger than memory" else 1)


def step(session: Session, kind: str) -> None:
    """Do a session's next operation: an even one writes its own number, an odd one counts in what all share."""
    number = session.serial + 1
    if number % 2:
        session.rmw("counter", add_one, b"1")
    elif kind == "rmw":
        session.rmw(key_of(kind, str(session.name), number), lambda old: old, value_of(kind, number))
    else:
        session.upsert(key_of(kind, str(session.name), number), value_of(kind, number))


def state_of(kind: str, serials: dict[str, int]) -> dict[bytes, bytes]:
    """Return what a store holds where the sessions have come so far, each to its number."""
    held = {
        key_of(kind, name, number).encode(): value_of(kind, number)
        for name, serial in serials.items()
        for number in range(2, serial + 1, 2)
    }
    count = sum((serial + 1) // 2 for serial in serials.values())
    return {**held, b"counter": b"%d" % count} if count else held


def serials_of(store: Store) -> dict[str, int]:
    """Return the number of each session."""
    return {known.name: known.serial for known in store.sessions()}


def check(store: Store, kind: str) -> dict[str, int]:
    """See that a store holds the state of one instant, and return the sessions' numbers then."""
    serials = serials_of(store)
    assert dict(store.items()) == state_of(kind, serials)
    assert store.check() == []
    return serials


def work(store: Store, kind: str, count: int, done: Callable[[str, int], object] = lambda name, serial: None) -> None:
    """Go on in a session for each thread, so many operations each; commits come from somebody else."""

    def use(part: int) -> None:
        session = store.session(f"thread {part}")
        for number in range(count):
            step(session, kind)
            if number % 10 == part:
                done(f"thread {part}", session.durable_serial)
        session.close()

    run(*[lambda part=part: use(part) for part in range(THREADS)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_threads_with_sessions_and_a_power_cut_at_any_moment(kind: str, tmp_path: Path) -> None:
    """Whatever a power cut leaves is of one instant, holds what each session knew durable, and can go on from there."""
    count = scaled(400, least=40)

    def program(path: str, device: CrashDevice) -> None:
        for _ in range(2):
            store = Store(path, device=device, durability="interval", interval=0.002, **SMALL)
            work(store, kind, count, lambda name, serial: device.note((name, serial)))
            store.close()

    def verify(path: str, device: CrashDevice, notes: list[Any]) -> None:
        with Store(path, device=device, durability="manual", **SMALL) as store:
            serials = check(store, kind)
            for name, serial in dict(notes).items():
                assert serials.get(name, 0) >= serial
            work(store, kind, 10)
            store.sync()
            wanted = {f"thread {part}": serials.get(f"thread {part}", 0) + 10 for part in range(THREADS)}
            assert check(store, kind) == wanted

    assert check_crashes(program, verify, page_bytes=PAGE_BYTES, limit=scaled(80, least=8)) > 5


def work_for_ever(path: str, kind: str) -> None:
    """The process of the next test: threads with sessions, and one that commits."""
    store = Store(path, durability="manual", **SMALL)

    def commit() -> None:
        while True:
            store.sync()
            if total := sum(known.durable_serial for known in store.sessions()):
                os.write(1, b"%d\n" % total)

    run(lambda: work(store, kind, 10**9), commit)


@needs_sigkill
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_threads_with_sessions(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "store"
    chance = random.Random(kind)
    reported = 0
    for _ in range(soaked(4, least=2)):
        command = [sys.executable, "-c", COMMAND.format(*["work_for_ever"] * 2), str(path), kind]
        with started(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first, "the process ended before it reported anything"
            time.sleep(chance.uniform(0.02, 0.1))
            process.kill()
            reported = int([first.rstrip(), *process.stdout.read().split(b"\n")[:-1]][-1])
        with Store(path, durability="manual", **SMALL) as store:
            assert sum(check(store, kind).values()) >= reported > 0


def one_of_six(path: str, number: str) -> None:
    """The process of the next test: resume all sessions, begin one, commit, go on, and be killed."""
    store = Store(path, durability="manual", **SMALL)
    known = serials_of(store)
    assert known == {f"process {i}": 10 * (int(number) - i) for i in range(int(number))}
    for name in [*known, f"process {number}"]:
        with store.session(name) as session:
            assert session.serial == known.get(name, 0)
            for _ in range(10):
                step(session, "upsert")
            session.close()  # without a commit of its own
    store.sync()
    for name in known:
        step(store.session(name), "upsert")  # never committed
    os.kill(os.getpid(), signal.SIGKILL)


@needs_sigkill
def test_six_processes_in_a_row(tmp_path: Path) -> None:
    path = tmp_path / "store"
    for number in range(6):
        command = [sys.executable, "-c", COMMAND.format(*["one_of_six"] * 2), str(path), str(number)]
        with started(command, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            assert process.stderr.read() == b""
            assert process.wait() == -signal.SIGKILL
    with Store(path, durability="manual", **SMALL) as store:
        assert check(store, "upsert") == {f"process {i}": 10 * (6 - i) for i in range(6)}
        assert store.stats()["sessions"] == 6
        assert store.forget_sessions(unused_for=0) == [f"process {i}" for i in range(6)]
        assert store.sessions() == []
        store.sync()
        abandon(store)
    with Store(path, **SMALL) as store:
        assert store.sessions() == []
        assert store.session("process 0").serial == 0
        assert len(store) == 106


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_is_recovered_over_and_over(kind: str, tmp_path: Path) -> None:
    """The sums are as though it had never stopped: what was lost of each session is done again, and nothing else."""
    path = tmp_path / "store"
    chance = random.Random(kind)
    names = ("odd one", "other", "third")
    goal = scaled(300, least=60)
    serials = dict.fromkeys(names, 0)
    crashes = 0
    while min(serials.values()) < goal:
        store = Store(path, durability="manual", **SMALL)
        assert serials_of(store) == {name: serial for name, serial in serials.items() if serial}
        sessions = [store.session(name) for name in names]
        commit_at, end = sorted(chance.sample(range(goal), 2))
        for number in range(end):
            session = chance.choice(sessions)
            if session.serial < goal:
                step(session, kind)
            if number == commit_at:
                chance.choice([store.sync, sessions[0].commit, store.reorganize])()
                serials = {str(session.name): session.serial for session in sessions}
        abandon(store)
        crashes += 1
    assert crashes > 3
    with Store(path, durability="manual", **SMALL) as store:
        assert check(store, kind) == dict.fromkeys(names, goal)


WORDS = {"interval": scaled(200_000, least=10_000), "always": scaled(3_000, least=300)}  # how many, by durability
SKIPPED = b"word 4"


def words_of(count: int) -> list[bytes]:
    """Return the words to be counted."""
    return [b"word %d" % (number * number % 37) for number in range(count)]


def ingest(session: Session, words: list[bytes], done: Callable[[int], object] = lambda serial: None) -> None:
    """Count words from where the session is; one that is not to be counted takes its number all the same."""
    reported = -1
    for word in words[session.serial :]:
        if word == SKIPPED:
            session.delete(b"")
        else:
            session.rmw(word, add_one, b"1")
        if session.durable_serial > reported:
            reported = session.durable_serial
            done(reported)


def counts(words: list[bytes]) -> dict[bytes, bytes]:
    """Return what an ingest of the words comes to."""
    return {word: b"%d" % count for word, count in Counter(words).items() if word != SKIPPED}


def ingest_to_the_end(path: str, durability: Any) -> None:
    """The process of the next test: report what is durable, and at last that the end is."""
    store = Store(path, durability=durability, interval=0.002, **SMALL)
    with store.session("ingest") as session:
        ingest(session, words_of(WORDS[durability]), lambda serial: os.write(1, b"%d\n" % serial))
    os.write(1, b"end\n")


@needs_sigkill
@pytest.mark.slow
@pytest.mark.parametrize("durability", ["interval", "always"])
def test_an_ingest_that_is_killed_counts_each_word_once(durability: str, tmp_path: Path) -> None:
    """Killed at random moments, resumed by position, until it comes to the end; in between all is exact too."""
    path = tmp_path / "store"
    chance = random.Random(durability)
    words = words_of(WORDS[durability])
    kills = serial = 0
    ended = False
    while not ended:
        command = [sys.executable, "-c", COMMAND.format(*["ingest_to_the_end"] * 2), str(path), durability]
        with started(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            reports = chance.randint(1, 4) if kills < scaled(20, least=4) else 10**9
            seen = list(itertools.islice(process.stdout, reports))
            process.kill()
            seen += process.stdout
        ended = seen[-1] == b"end\n"
        kills += not ended
        with Store(path, durability="manual", **SMALL) as store, store.session("ingest") as session:
            reported = max([int(line) for line in seen if line.endswith(b"\n") and line != b"end\n"], default=0)
            assert session.serial >= max(serial, reported)
            serial = session.serial
            assert dict(store.items()) == counts(words[:serial])
            assert store.check() == []
    assert kills > 0
    assert serial == len(words)


@pytest.mark.slow
def test_an_ingest_counts_each_word_once_whatever_a_power_cut_leaves(tmp_path: Path) -> None:
    words = words_of(scaled(1000, least=100))

    def program(path: str, device: CrashDevice) -> None:
        store = Store(path, device=device, durability="manual", **SMALL)
        for stop in range(100, len(words) + 1, 100):
            session = store.session("ingest")
            ingest(session, words[:stop])
            store.sync()
            device.note(session.durable_serial)
            session.close()
        store.close()

    def verify(path: str, device: CrashDevice, notes: list[Any]) -> None:
        with Store(path, device=device, durability="manual", **SMALL) as store:
            with store.session("ingest") as session:
                assert session.serial >= max(notes, default=0)
                assert dict(store.items()) == counts(words[: session.serial])
                ingest(session, words)
            assert dict(store.items()) == counts(words)

    assert check_crashes(program, verify, page_bytes=PAGE_BYTES, limit=scaled(300, least=20)) >= 8
