"""check(): each sentence it can say, for one fault planted into a sound store, alone; [] for sound stores; and it ends.

As bbolt's surgeon tests do. The faults and their sentences are in the tables of the modules plants_*.
"""

import ast
import os
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from tests.inside import abandon
from tests.support import ROOT, scaled
from tests.unit import plants_counters, plants_index, plants_log, surgeon
from tests.unit.helpers import (
    PAGE_BYTES,
    Clock,
    colliding_keys,
    disk_store,
    keys_of_a_bucket,
    push_to_disk,
    slot_hash,
)
from tests.unit.plants import FAULTS, Maker, mixed_chain, on_disk, overflowing, sealed, three, twice_on_disk, with_free

# what says the sentences: all of a module, or functions of it
SPEAKERS: dict[str, set[str]] = {
    "durability/check.py": set(),
    "log/places.py": set(),
    "index/faults.py": set(),
    "log/record.py": {"fault_of"},
    "log/cursor.py": {"step_disk", "check_gap"},
    "log/reader.py": {"read_disk", "fault_at"},
}


def said(faults: list[str], path: Path) -> list[str]:
    """Return faults without the directory of the store's segments, and without checksums: the store's id is in them."""
    return [re.sub(r"0x[0-9a-f]{8}\b", "0x*", fault.replace(f"{path / 'log'}{os.sep}", "")) for fault in faults]


@contextmanager
def given_up(maker: Maker, path: Path) -> Iterator[oxidbm.Store]:
    """Yield a store, and give it up without a commit, which a fault may not let pass."""
    store = maker(path)
    try:
        yield store
    finally:
        abandon(store)


def test_the_tables_are_there() -> None:
    modules = {maker.__module__ for maker, _ in FAULTS}
    assert modules == {module.__name__ for module in (plants_counters, plants_index, plants_log)}


@pytest.mark.parametrize(("maker", "sentences"), FAULTS, ids=[maker.__name__ for maker, _ in FAULTS])
def test_a_fault_is_said_in_one_sentence(maker: Maker, sentences: list[str], tmp_path: Path) -> None:
    path = tmp_path / "store"
    with given_up(maker, path) as store:
        assert said(store.check(), path) == sentences
        assert said(store.check(), path) == sentences, "nothing is repaired"


def sentences_of(text: str, names: set[str]) -> list[str]:
    """Return the sentences in a source, of the named functions or of all, with {} for what is filled in.

    A string with a space is one, but for docstrings.
    """
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert names <= {function.name for function in functions}
    found = []
    for function in functions:
        if names and function.name not in names:
            continue
        inside = {id(part) for node in ast.walk(function) if isinstance(node, ast.JoinedStr) for part in node.values}
        inside |= {id(node.value) for node in function.body if isinstance(node, ast.Expr)}
        for node in ast.walk(function):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
                found.append(node.value)
    return [sentence for sentence in found if " " in sentence]


def unplanted(sentences: list[str]) -> list[str]:
    """Return those of the sentences, or parts of one, that no fault in the tables expects."""
    expected = [sentence for _, several in FAULTS for sentence in several]
    patterns = [(s, re.compile(r"[^:]+".join(map(re.escape, s.split("{}"))))) for s in sentences]
    return [s for s, pattern in patterns if not any(pattern.search(sentence) for sentence in expected)]


def test_every_sentence_is_planted() -> None:
    sentences: list[str] = []
    for module, names in SPEAKERS.items():
        found = sentences_of((ROOT / "oxidbm/_core" / module).read_text(encoding="utf-8"), names)
        assert found, f"{module} says nothing"
        sentences += found
    assert unplanted(sentences) == []


@pytest.mark.parametrize(
    "line",
    [
        'faults.append(f"index: {count} entries are blue")',
        'raise CorruptionError(f"{place}: the record at address {address} is " "missing")',
        'return "it is blue"',
    ],
)
def test_a_sentence_that_is_not_planted_is_noticed(line: str) -> None:
    assert len(unplanted(sentences_of(f'def speak():\n    """Say it."""\n    {line}\n', {"speak"}))) == 1


SOUND: list[Maker] = [three, sealed, on_disk, twice_on_disk, overflowing, with_free]


def sound(maker: Maker) -> Maker:
    """Note a function that makes a sound store."""
    SOUND.append(maker)
    return maker


@sound
def empty(path: Path) -> oxidbm.Store:
    return disk_store(path)


@sound
def reopened(path: Path) -> oxidbm.Store:
    twice_on_disk(path).close()
    return disk_store(path)


@sound
def opened_read_only(path: Path) -> oxidbm.Store:
    twice_on_disk(path).close()
    return disk_store(path, read_only=True)


@sound
def recovered(path: Path) -> oxidbm.Store:
    store = twice_on_disk(path)
    store[b"lost"] = b""
    abandon(store)
    return disk_store(path)


@sound
def tombstones(path: Path) -> oxidbm.Store:
    """In place, appended to what is sealed and to what is on disk, and on disk themselves."""
    store = twice_on_disk(path)
    del store[b"k0"]
    push_to_disk(store)
    store[b"k6"] = store[b"k7"] = b"value"
    store.sync()
    store[b"k8"] = b"value"
    for key in (b"k1", b"k6", b"k8"):
        del store[key]
    return store


@sound
def mixed(path: Path) -> oxidbm.Store:
    return mixed_chain(path)[0]


@sound
def mixed_and_not_settled(path: Path) -> oxidbm.Store:
    """Chains of one key and of two, several blind writes long; nothing has asked for the number of keys."""
    a, b, c, _ = colliding_keys()
    store = disk_store(path)
    for turn in range(4):
        for key in (a, b, c):
            store[key] = b"%d" % turn
        push_to_disk(store)
    del store[a]
    assert surgeon.pending_count(store)
    return store


@sound
def mixed_and_recovered(path: Path) -> oxidbm.Store:
    """The last commit did not know all live bytes."""
    mixed_and_not_settled(path).close()
    store = disk_store(path)
    store[b"other"] = b"value"
    store.sync()
    return store


@sound
def expired(path: Path) -> oxidbm.Store:
    clock = Clock()
    store = disk_store(path, clock=clock)
    store.set(b"a", b"1", expire=10)
    store.set(b"b", b"2", expire=1000)
    push_to_disk(store)
    store.set(b"c", b"3", expire=10)
    clock.now += 100
    assert b"a" not in store
    return store


@sound
def runs_of_pages(path: Path) -> oxidbm.Store:
    """Records larger than a page, first of all too, one that was overwritten by less, in memory and on disk."""
    store = disk_store(path)
    store[b"first"] = b"1" * 5000
    store[b"exact"] = b"2" * (PAGE_BYTES - 32)
    store[b"long"] = b"3" * 20_000
    push_to_disk(store)
    store[b"more"] = b"4" * 5000
    store[b"more"] = b"5" * 4000
    store[b"small"] = b""
    return store


@sound
def run_first_of_all(path: Path) -> oxidbm.Store:
    """The log begins at the second page, and nothing has been committed."""
    store = disk_store(path)
    store[b"first"] = b"1" * 5000
    return store


@sound
def runs_on_disk(path: Path) -> oxidbm.Store:
    store = runs_of_pages(path)
    push_to_disk(store)
    return store


@sound
def compacted(path: Path) -> oxidbm.Store:
    store = tombstones(path)
    store.reorganize()
    assert surgeon.log_address(store, "begin") > 64
    store[b"k9"] = b"value"
    return store


@sound
def compacted_chains(path: Path) -> oxidbm.Store:
    store = mixed_and_not_settled(path)
    store.reorganize()
    push_to_disk(store)
    return store


@sound
def cleared(path: Path) -> oxidbm.Store:
    store = twice_on_disk(path)
    store.clear()
    store[b"k0"] = b"value"
    return store


@sound
def cleared_and_reopened(path: Path) -> oxidbm.Store:
    cleared(path).close()
    return disk_store(path)


@sound
def session_and_batch(path: Path) -> oxidbm.Store:
    store = three(path)
    with store.session("a name that takes more than two words") as session:
        session.upsert(b"k3", b"value")
    with store.batch() as batch:
        batch[b"k4"] = b"value"
        del batch[b"k0"]
    push_to_disk(store)
    return store


@sound
def index_growing(path: Path) -> oxidbm.Store:
    store = overflowing(path, 60)
    for _ in range(1000):
        surgeon.split(store)
    return store


@sound
def size_limited(path: Path) -> oxidbm.Store:
    store = disk_store(path, size_limit="8KiB")
    store.update({b"%d" % number: b"v" * 100 for number in range(300)})
    assert len(store) < 300
    return store


@sound
def in_memory_only(path: Path) -> oxidbm.Store:
    store = oxidbm.Store(memory="1MiB", page_size="4KiB")
    for number in range(500):
        store[b"%d" % (number % 90)] = b"v" * (number % 50 * 8)
    store[b"long"] = b"v" * 9000
    del store[b"7"]
    store.reorganize()
    return store


@sound
def in_memory_and_evicting(path: Path) -> oxidbm.Store:
    store = oxidbm.Store(memory="1MiB", page_size="4KiB", evict=True)
    store.update({b"%d" % number: b"v" * 1000 for number in range(2000)})
    assert len(store) < 2000
    return store


@pytest.mark.parametrize("maker", SOUND, ids=[maker.__name__ for maker in SOUND])
def test_a_sound_store_has_no_fault(maker: Maker, tmp_path: Path) -> None:
    with given_up(maker, tmp_path / "store") as store:
        assert store.check() == []
        assert store.check() == [], "settled meanwhile"


def test_what_is_appended_meanwhile_is_no_fault(tmp_path: Path) -> None:
    """The clock is asked in the middle of nothing; what stands behind the tail of the check's begin is not compared."""
    with disk_store(tmp_path / "store", compaction=True, durability="interval", interval=0.001) as store:
        for turn in range(scaled(200, least=10)):
            store.update({b"%d" % number: b"v" * turn for number in range(100)})
            assert store.check() == []


def everything(path: Path) -> oxidbm.Store:
    """Return a store that has something of all: disk and memory, sealed and not, overflow and free buckets, chains."""
    store = disk_store(path)
    a, b, *_ = colliding_keys()
    store.update({a: b"1", b"long": b"v" * 5000, **dict.fromkeys(keys_of_a_bucket(24), b"value")})
    push_to_disk(store)
    store[b] = b"2"
    store[b"long"] = b"w" * 6000
    store.sync()
    for key in keys_of_a_bucket(24)[15:]:
        del store[key]
    store[a] = b"3"
    surgeon.stop_background(store)
    return store


def wound(store: oxidbm.Store, draw: random.Random, head: int, tail: int) -> None:
    """Write something into some place of index, log, files or counters; head and tail are where they should be."""
    anything = [0, 1, -1, draw.getrandbits(62), -draw.getrandbits(62), draw.randrange(tail) & -8, tail, 1 << 48 | 64]
    value = draw.choice(anything)
    bucket = slot_hash(keys_of_a_bucket(1)[0]) & 0xFFF
    link = surgeon.bucket_word(store, bucket, surgeon.LINK)
    links = [link, 3, 11, 19, 27, 1 << 20 | 3, value]
    wounds: list[Callable[[], None]] = [
        lambda: surgeon.set_bucket_word(store, bucket, draw.randrange(7), draw.choice([value, value >> 3])),
        lambda: surgeon.set_bucket_word(store, draw.choice([bucket, 1]), surgeon.LINK, draw.choice(links)),
        lambda: surgeon.set_overflow_word(store, draw.choice([3, 11, 19]), draw.randrange(7), value),
        lambda: surgeon.set_overflow_word(store, draw.choice([3, 11, 19]), surgeon.LINK, draw.choice(links)),
        lambda: surgeon.set_word(store, head, draw.randrange(60), value),
        lambda: surgeon.set_word(store, tail - draw.choice([8, 40, 48, 96]), 0, value),
        lambda: surgeon.set_page_end(store, draw.choice([head, tail - 8]), draw.choice([value, tail, head + 8])),
        lambda: surgeon.damage(store, draw.randrange(64, 4000), draw.randbytes(draw.randrange(1, 9))),
        lambda: surgeon.rechain(store, draw.choice([64, 104]), draw.randrange(tail)),
        lambda: surgeon.cut(store, draw.randrange(200, 8192)),
        lambda: surgeon.add_pending(store, value & 0xFFFFFFFFFFFF),
        lambda: surgeon.change_log(store, **{draw.choice(surgeon.ADDRESSES): draw.choice([value, tail + 8, head - 8])}),
        lambda: surgeon.change_index(store, **{draw.choice(surgeon.INDEX_FIELDS): draw.choice(links)}),
        lambda: surgeon.change_counters(store, **{draw.choice(surgeon.COUNTERS): value}),
    ]
    draw.choice(wounds)()


@pytest.mark.parametrize("seed", range(scaled(400, least=40)))
def test_it_ends_and_does_not_raise_whatever_is_written(seed: int, tmp_path: Path) -> None:
    """Some wounds show and some do not; a store with none has no fault."""
    draw = random.Random(seed)
    with given_up(everything, tmp_path / "store") as store:
        assert store.check() == []
        head, tail = surgeon.log_address(store, "head"), surgeon.log_address(store, "tail")
        for _ in range(draw.choice([1, 1, 2, 5])):
            wound(store, draw, head, tail)
        assert all(isinstance(fault, str) and fault for fault in store.check())


@pytest.mark.parametrize("kind", ["fold-over", "log", "snapshot"])
def test_checkpoints_that_were_made_behind_a_recovery_that_passed_a_reader_by(tmp_path: Path, kind: Any) -> None:
    """They are not of the log that it has, and no faults of the store."""
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        store[b"a"] = b"1"
        first = store.checkpoint("log")
        for number in range(20):
            store[b"b"] = b"%d" % number * 100
            store.sync()
    with disk_store(path, read_only=True) as reader, disk_store(path, read_only=True, checkpoint=first.token) as then:
        oxidbm.recover(path, first.token)
        with disk_store(path, checkpoints=False) as store:
            store[b"c"] = b"3"
            made = store.checkpoint(kind)
            assert first.commit < made.commit < reader.stats()["commit_sequence"]
            for other in (reader, then, store):
                assert other.check() == []
            (path / "checkpoints" / f"{made.token}.json").write_bytes(b"damaged")
            for other in (reader, then, store):
                assert [made.token in fault for fault in other.check()] == [True]
