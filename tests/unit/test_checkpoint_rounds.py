"""Rounds of writing and checkpoints: a store that is opened from them has the same log and index, and all of it."""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

import oxidbm
from oxidbm._core.durability.checkpointer import IMAGE, NAMES, REST
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES
from tests.inside import abandon, checkpointer_of, disk_of, log_of, table_of
from tests.support import PURE, scaled, started
from tests.unit.helpers import begun, disk_store, opened_at, push_to_disk, steps_until

Kind = Literal["fold-over", "log", "snapshot", "incremental"]
KEYS = scaled(1000, 200)
STATES: tuple[Kind, ...] = ("fold-over", "log", "snapshot", "incremental")  # the kinds that a store can go back to
PLANS: dict[str, list[tuple[str, ...]]] = {
    "the log each time": [("log",)] * 5,
    "all of it each time": [("fold-over",)] * 5,
    "the index once, then the log": [("index", "log"), *[("log",)] * 4],
    "the index, the log": [("index",), ("log",)] * 3,
    "a snapshot each time": [("snapshot",)] * 4,
    "a snapshot, then what has changed": [("snapshot",), *[("incremental",)] * 4],
    "one of each": [
        ("incremental",),
        ("fold-over",),
        ("incremental",),
        ("log",),
        ("snapshot",),
        ("index", "incremental"),
    ],
}


def keys_of(number: int) -> dict[bytes, bytes]:
    """Return what a round writes."""
    return {b"%d %d" % (number, key): b"%d" % (number * key) for key in range(KEYS)}


def grow(store: oxidbm.Store, mask: int) -> None:
    """Let the index have more buckets than its keys need."""
    while table_of(store).index.low_mask < mask:
        store.grow_index()


def addresses_of(store: oxidbm.Store) -> tuple[int, int, list[int]]:
    """Return where the log begins and ends, and what the index leads to."""
    log = log_of(store)
    index = table_of(store).index
    entries = [int(entry) for bucket in range(index.buckets()) for entry in index.entries_in(bucket)]
    return int(log.begin), int(log.tail), sorted(entries)


@pytest.mark.parametrize("cold", [False, True], ids=["", "cold"])
@pytest.mark.parametrize("mask", [127, 8191], ids=["few buckets", "many buckets"])
@pytest.mark.parametrize("wait", [True, False], ids=["waiting", "not waiting"])
@pytest.mark.parametrize("kind", STATES)
def test_a_second_store_has_the_same_addresses(tmp_path: Path, kind: Any, wait: bool, mask: int, cold: bool) -> None:
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        grow(store, mask)
        store.update(keys_of(1))
        if cold:
            push_to_disk(store)
        disk_of(store).stop()
        made = store.checkpoint(kind, wait=wait)
        checkpointer_of(store).finish()
        made.result(60)
        begin, tail, entries = addresses_of(store)
        aside = COMMIT_RECORD_BYTES if kind in ("snapshot", "incremental") else 0
        assert made.end - tail in (0, aside)  # 0 where the log ended with a commit and its page with that
        expected = begin, made.end, entries  # the commit of a snapshot comes into the log with the next one, or never
        with disk_store(path, read_only=True, checkpoint=made.token) as second:
            assert addresses_of(second) == expected
            assert dict(second.items()) == keys_of(1)
    with disk_store(path, checkpoints=False) as second:
        assert addresses_of(second) == expected
        assert dict(second.items()) == keys_of(1)
        assert second.check() == []


@pytest.mark.parametrize("plan", PLANS)
def test_rounds_into_one_store_that_is_open(tmp_path: Path, plan: str) -> None:
    """A reader moves on after each round, and one is opened at the round's checkpoint: both have everything so far."""
    path = tmp_path / "store"
    model: dict[bytes, bytes] = {}
    with disk_store(path, checkpoints=False) as store:
        store.sync()
        store[b"first"] = model[b"first"] = b"1"
        store.sync()
        with disk_store(path, read_only=True) as reader:
            for number, kinds in enumerate(PLANS[plan]):
                store.update(keys_of(number))
                model.update(keys_of(number))
                for kind in kinds:
                    made = store.checkpoint(kind)  # type: ignore[arg-type]
                    store.grow_index()
                assert reader.refresh()
                assert dict(reader.items()) == model
                assert len(reader) == len(model)
                if made.kind != "index":
                    assert opened_at(path, made) == model
        abandon(store)
    with disk_store(path) as store:
        assert dict(store.items()) == model
        assert store.check() == []


def test_the_log_at_a_checkpoint_is_read_from_an_earlier_image_on(tmp_path: Path) -> None:
    """An image of the index and a state of the log, each with its token, go together; a later image does not."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update(keys_of(1))
        early = store.checkpoint("index")
        store.update(keys_of(2))
        made = store.checkpoint("log")
        store.update(keys_of(3))
        later = store.checkpoint("index")
        abandon(store)
    with disk_store(path, read_only=True, checkpoint=made.token) as store:
        assert store.recovery.checkpoint == early.token
        assert store.recovery.records == KEYS + 1
        assert dict(store.items()) == keys_of(1) | keys_of(2)
    for image in (early, later):
        with pytest.raises(oxidbm.FormatError, match="image of the index alone"):
            oxidbm.recover(path, image.token)
    with disk_store(path) as store:
        assert store.recovery.checkpoint == later.token
        assert store.purge(token=early.token) == [early.token]
    with disk_store(path, read_only=True, checkpoint=made.token) as store:
        assert store.recovery.checkpoint is None
        assert dict(store.items()) == keys_of(1) | keys_of(2)


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("clear", [True, False], ids=["cleared", "compacted"])
def test_where_the_log_begins_comes_back(tmp_path: Path, clear: bool, kind: Any) -> None:
    """What was cut off the log's beginning before a checkpoint stays away, though its files may still be there."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update(keys_of(1))
        before = store.checkpoint("log")  # which keeps the files
        if clear:
            store.clear()
        else:
            for key in list(keys_of(1))[1:]:
                del store[key]
            store.reorganize()
        store[b"kept"] = b"value"
        made = store.checkpoint(kind)
        assert made.begin > before.begin
        left = dict(store.items())
        assert len(left) == (1 if clear else 2)
        assert opened_at(path, made) == left
        assert opened_at(path, before) == keys_of(1)
        abandon(store)
    oxidbm.recover(path, made.token)
    with disk_store(path) as store:
        assert log_of(store).begin == made.begin
        assert dict(store.items()) == left
        assert store.check() == []


def add(number: int) -> Callable[[bytes], bytes]:
    """Return a function that adds to a decimal number."""
    return lambda old: b"%d" % (int(old) + number)


def test_sums_are_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    """Gone back, written to, checkpointed and gone back again; each session is taken up by its name and number."""
    path = tmp_path / "store"
    chance = random.Random(7)
    goal = scaled(120, 60)
    names = ("one", "other")
    token: str | None = None
    turns = 0
    serials = dict.fromkeys(names, 0)
    while min(serials.values()) < goal:
        if token is not None:
            oxidbm.recover(path, token)
        turns += 1
        with disk_store(path) as store:
            for name in names:
                with store.session(name) as session:
                    assert session.serial == serials[name]
                    for number in range(session.serial + 1, min(session.serial + chance.randrange(30), goal) + 1):
                        session.rmw(f"sum of {name}", add(number), b"%d" % number)
            made = store.checkpoint(chance.choice(STATES))
            if turns % 3:
                token = made.token
                serials = {known.name: known.serial for known in store.sessions()}
            for name in names:
                with store.session(name) as session:
                    session.rmw(f"sum of {name}", add(1_000_000), b"1000000")  # which going back undoes
    assert turns > 5
    assert token is not None
    oxidbm.recover(path, token)
    with disk_store(path) as store:
        assert dict(store.items()) == {f"sum of {name}".encode(): b"%d" % (goal * (goal + 1) // 2) for name in names}
        assert store.check() == []


@pytest.mark.parametrize("work", ["reorganize", "grow_index", "clear"])
@pytest.mark.parametrize("phase", range(IMAGE, len(NAMES)), ids=NAMES[IMAGE:])
def test_work_on_the_whole_log_or_index_in_each_phase(tmp_path: Path, phase: int, work: str) -> None:
    path = tmp_path / "store"
    model = keys_of(1) | keys_of(2)
    with disk_store(path) as store:
        store.update(keys_of(1))
        store.update(dict.fromkeys(keys_of(2), b"old"))
        store.update(keys_of(2))
        made = begun(store)
        steps_until(store, phase)
        getattr(store, work)()
        store[b"later"] = b"value"
        checkpointer_of(store).finish()
        assert made.result(0) is made
        assert checkpointer_of(store).phase == REST
        assert opened_at(path, made) == model
        now = {} if work == "clear" else model
        assert dict(store.items()) == now | {b"later": b"value"}
        assert store.check() == []
    with disk_store(path) as store:
        assert dict(store.items()) == now | {b"later": b"value"}
        assert store.check() == []


def test_the_background_leaves_it_to_whoever_brings_it_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        store.update(keys_of(1))
        made = begun(store)
        checkpoints = checkpointer_of(store)
        checkpoints.finishing += 1
        assert not disk_of(store).work()
        assert checkpoints.phase == IMAGE
        assert not made.done()
        checkpoints.finishing -= 1
        while not made.done() and checkpoints.making():
            disk_of(store).work()
        assert made.result(0) is made
        assert opened_at(path, made) == keys_of(1)


OPEN = """
import json, sys
from pathlib import Path
import oxidbm
read_only = sys.argv[2] == "read"
with oxidbm.Store(sys.argv[1], read_only=read_only, memory="8MiB", mapped=False, checkpoints=False) as store:
    most = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    print(json.dumps([store.recovery.records, len(store), int(most) * 1024]))
"""
MEMORY_MOST = 80 << 20  # Python and its modules take a third of it


@pytest.mark.slow
@pytest.mark.skipif(PURE, reason="the log has to be larger than the memory, and the sources write too slowly")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say what memory was used")
@pytest.mark.parametrize("mode", ["read", "write"])
@pytest.mark.parametrize("image", [True, False], ids=["image", "replay"])
def test_a_log_that_is_much_larger_than_the_memory(tmp_path: Path, image: bool, mode: str) -> None:
    path = tmp_path / "store"
    with oxidbm.Store(path, memory="8MiB", durability="manual", compaction=False, checkpoints=False) as store:
        for start in range(0, 200_000, 1000):
            store.update((b"%d" % (number % 100_000), bytes(1000)) for number in range(start, start + 1000))
        if image:
            store.checkpoint()
        assert log_of(store).device.size() > 2 * MEMORY_MOST
    with started([sys.executable, "-c", OPEN, str(path), mode], stdout=-1) as process:
        assert process.stdout is not None
        records, count, memory = json.loads(process.stdout.read())
        assert process.wait() == 0
    assert (records == 0, count) == (image, 100_000)
    assert memory < MEMORY_MOST
