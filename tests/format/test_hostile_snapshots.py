"""Snapshots that no oxidbm writes, or that have lost a bit or their end: an earlier state with a warning, no wrong one.

The store's log has one commit; a snapshot and an incremental one are newer. What the newest one has lost is lost, but
what is opened in its place is the state of the one before, or of the log, whole.
"""

import json
import shutil
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zstandard

import oxidbm
from tests.format.checkpoint_codec import sum_of
from tests.format.stores import Items, make_directory, open_store
from tests.inside import abandon
from tests.support import one_in

HEADER = struct.Struct("<8s6q")
FIELDS = ("version", "sequence", "commit", "copied_from", "copied_to", "previous")
RECORD_BYTES = 96
HUGE: tuple[Any, ...] = (1 << 62, 1 << 63, -1, 1 << 200, True, 1.5, "1", None, [], {})
NO_BASES: tuple[Any, ...] = (5, [], {}, "", "../../x", "\0", "000000000001-00000000", None)
NO_SUMS: tuple[Any, ...] = (5, None, "", "00000000", [])
SUFFIXES = (".json", ".snapshot.zst")


@dataclass
class Snapshot:
    """A snapshot's two files, each number of which may be set to what cannot be."""

    said: dict[str, Any]
    fields: dict[str, int]
    record: bytes
    buried: list[int]
    pieces: list[tuple[int, bytes]]
    count: int | None = None  # of the buried ones, None for as many as there are
    copied: int | None = None  # as that, of the pieces' bytes
    behind: bytes = b""
    changed: dict[str, Any] = field(default_factory=dict)  # what is said in place of what should be

    def content(self) -> bytes:
        """Return what is compressed."""
        parts = [HEADER.pack(b"\x89oxisnp\n", *[self.fields[name] for name in FIELDS]), self.record]
        count = len(self.buried) if self.count is None else self.count
        parts.append(struct.pack(f"<q{len(self.buried)}q", count, *self.buried))
        for address, data in self.pieces:
            parts += [struct.pack("<2q", address, len(data)), data]
        copied = sum(len(data) for _, data in self.pieces) if self.copied is None else self.copied
        return b"".join(parts) + struct.pack("<3q", 0, 0, copied) + self.behind

    def write(self, path: Path) -> None:
        """Write both into a store's directory, with the sizes and checksums that they should have."""
        packer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
        data = packer.compress(self.content()) + packer.flush()
        said = {**self.said, "snapshot_bytes": len(data), "snapshot_sum": data[-4:].hex(), **self.changed}
        said["checksum"] = sum_of(said)
        (path / "checkpoints" / f"{self.said['token']}.snapshot.zst").write_bytes(data)
        (path / "checkpoints" / f"{self.said['token']}.json").write_text(json.dumps(said))


def read_snapshot(path: Path, token: str) -> Snapshot:
    """Return what a snapshot's files say."""
    said = json.loads((path / "checkpoints" / f"{token}.json").read_text())
    assert said.pop("checksum") == sum_of(said)
    packed = (path / "checkpoints" / f"{token}.snapshot.zst").read_bytes()
    assert (said["snapshot_bytes"], said["snapshot_sum"]) == (len(packed), packed[-4:].hex())
    content = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    magic, *numbers = HEADER.unpack_from(content)
    assert magic == b"\x89oxisnp\n"
    at = HEADER.size + RECORD_BYTES
    record = content[HEADER.size : at]
    (count,) = struct.unpack_from("<q", content, at)
    buried = list(struct.unpack_from(f"<{count}q", content, at + 8))
    at += 8 + 8 * count
    pieces = []
    while True:
        address, size = struct.unpack_from("<2q", content, at)
        at += 16
        if size == 0:
            break
        pieces.append((address, content[at : at + size]))
        at += size
    snapshot = Snapshot(said, dict(zip(FIELDS, numbers, strict=True)), record, buried, pieces)
    assert snapshot.content() == content
    return snapshot


@dataclass
class Base:
    """A store whose newest state is a chain of two snapshots."""

    path: Path
    states: list[Items]  # of the log, of the first one, of the second one
    tokens: list[str]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """The store, which the tests copy."""
    path = tmp_path_factory.mktemp("hostile") / "store"
    make_directory(path)
    states: list[Items] = []
    tokens = []
    with open_store(path) as store:
        store.update({b"key %d" % number: b"%d" % number for number in range(8)})
        store.sync()
        states.append(dict(store.items()))
        store.update({b"key %d" % number: b"snap" for number in range(4, 12)})
        tokens.append(store.checkpoint("snapshot").token)
        states.append(dict(store.items()))
        store[b"key 5"] = b"in p"
        del store[b"key 6"], store[b"key 1"]
        store[b"more"] = b"value"
        tokens.append(store.checkpoint("incremental").token)
        states.append(dict(store.items()))
        abandon(store)
    (path / "LOCK").unlink()
    return Base(path, states, tokens)


def copied(base: Base, path: Path) -> Path:
    """Return a copy of the store."""
    shutil.copytree(base.path, path)
    return path


def opened(path: Path, base: Base, *, read_only: bool = True) -> int:
    """Open a store, and return which of its states it has: the last one, or an earlier one and a warning."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        store = open_store(path, read_only=read_only)
    with store:
        which = base.states.index(dict(store.items()))
        assert len(store) == len(base.states[which])
        assert all("cannot be used" in fault for fault in store.check())
        abandon(store)
    assert which == 2 or any(warning.category is oxidbm.RecoveryWarning for warning in warned)
    assert all(str(warning.message).strip() for warning in warned)
    return which


def check_all_ways(path: Path, base: Base, most: int) -> None:
    """See that a state up to that one is opened, that the later ones are refused, and that a writer loses no more."""
    which = opened(path, base)
    assert which <= most
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", oxidbm.RecoveryWarning)
        for token in base.tokens[most:]:
            with pytest.raises(oxidbm.error):
                oxidbm.Store(path, read_only=True, checkpoint=token, memory="1MiB")
            with pytest.raises(oxidbm.error):
                oxidbm.recover(path, token)
    assert opened(path, base) == which
    assert opened(path, base, read_only=False) == which


def test_the_second_writing_reads_and_writes_what_was_written(base: Base, tmp_path: Path) -> None:
    path = copied(base, tmp_path / "store")
    for token in base.tokens:
        read_snapshot(path, token).write(path)
    assert opened(path, base) == 2
    assert opened(path, base, read_only=False) == 2
    assert len(read_snapshot(path, base.tokens[1]).buried) == 1  # key 6; the tombstone of key 1 is at the tail


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1], ids=["base", "last"])
@pytest.mark.parametrize("suffix", [*SUFFIXES, ".index.zst"])
def test_flipped_and_cut_anywhere(base: Base, tmp_path: Path, suffix: str, which: int) -> None:
    """One bit of each byte, the end from each byte on, and zeros from it on. A lost image costs a replay, no more."""
    path = copied(base, tmp_path / "store")
    file = path / "checkpoints" / (base.tokens[which] + suffix)
    if suffix == ".index.zst" and which == 1:
        assert not file.exists()
        return
    data = file.read_bytes()
    most = 2 if suffix == ".index.zst" else which
    step = one_in(1 + len(data) // 100, 1 + len(data) // 20)
    for at in range(0, len(data), step):
        for damaged in (
            data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :],
            data[:at],
            data[:at] + bytes(len(data) - at),
        ):
            if damaged != data and not (suffix == ".json" and damaged.rstrip() == data.rstrip()):
                file.write_bytes(damaged)
                found = opened(path, base)
                assert found == 2 if most == 2 else found <= most or len(damaged) == len(data), f"byte {at}"
    file.write_bytes(data)
    assert opened(path, base) == 2


@pytest.mark.parametrize("which", [0, 1], ids=["base", "last"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_files_under_a_writer(base: Base, tmp_path: Path, suffix: str, which: int) -> None:
    """What is passed over costs nothing of the log, and stays away."""
    path = copied(base, tmp_path / "store")
    file = path / "checkpoints" / (base.tokens[which] + suffix)
    data = bytearray(file.read_bytes())
    data[len(data) * 2 // 3] ^= 16
    file.write_bytes(data)
    check_all_ways(path, base, which)


SAID: dict[str, dict[str, Any]] = {
    **{
        f"{name} {number!r}": {name: number}
        for name in ("copied_from", "copied_to", "previous", "durable_to", "snapshot_bytes", "snapshot_raw_bytes")
        for number in HUGE
    },
    **{f"base {wrong!r}": {"base": wrong} for wrong in NO_BASES},
    **{f"snapshot_sum {wrong!r}": {"snapshot_sum": wrong} for wrong in NO_SUMS},
    **{f"previous_sum {wrong!r}": {"previous_sum": wrong} for wrong in NO_SUMS if wrong not in ("", "00000000")},
    "another kind": {"kind": "snapshot"},
    "no copy": {"snapshot_bytes": 0},
    "a later commit": {"commit": 1 << 40, "end": (1 << 40) + RECORD_BYTES},
    "places out of order": {"copied_to": 64, "copied_from": 4096},
}


@pytest.mark.parametrize("what", SAID)
def test_what_it_says(base: Base, tmp_path: Path, what: str) -> None:
    path = copied(base, tmp_path / "store")
    snapshot = read_snapshot(path, base.tokens[1])
    snapshot.changed = SAID[what]
    snapshot.write(path)
    most = 2 if what.startswith("snapshot_raw_bytes") else 1
    assert opened(path, base) <= most
    assert opened(path, base, read_only=False) <= most


def test_a_chain_in_a_circle(base: Base, tmp_path: Path) -> None:
    path = copied(base, tmp_path / "store")
    for which, other in ((1, 1), (0, 1)):
        snapshot = read_snapshot(path, base.tokens[which])
        snapshot.changed = {"base": base.tokens[other], "kind": "incremental"}
        snapshot.write(path)
    check_all_ways(path, base, 0)


def everywhere(**numbers: int) -> Callable[[Snapshot], None]:
    """Return what sets numbers in both files."""

    def change(snapshot: Snapshot) -> None:
        for name, number in numbers.items():
            snapshot.changed[name] = number
            if name in snapshot.fields:
                snapshot.fields[name] = number

    return change


def with_pieces(change: Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]]) -> Callable[[Snapshot], None]:
    """Return what replaces the pieces."""

    def changed(snapshot: Snapshot) -> None:
        snapshot.pieces = change(snapshot.pieces)

    return changed


def with_attributes(**values: Any) -> Callable[[Snapshot], None]:
    """Return what sets attributes."""

    def changed(snapshot: Snapshot) -> None:
        for name, value in values.items():
            setattr(snapshot, name, value)

    return changed


CONTENTS: dict[str, Callable[[Snapshot], None]] = {
    "version": lambda snapshot: snapshot.fields.update(version=2),
    "another commit's number": everywhere(sequence=7),
    "copied from inside of a record": everywhere(copied_from=72),
    "copied from behind all": everywhere(copied_from=1 << 40, copied_to=1 << 40, commit=1 << 40, end=(1 << 40) + 96),
    "copied from nothing": everywhere(copied_from=4096, copied_to=4096, commit=4096, end=4192),
    "no commit before": everywhere(previous=0),
    "another commit before": everywhere(previous=8),
    "a commit before behind all": everywhere(previous=1 << 40),
    "no record": with_attributes(record=bytes(RECORD_BYTES)),
    "a record that ends early": with_attributes(record=b"\xff" * RECORD_BYTES),
    "no pieces": with_pieces(lambda pieces: []),
    "a piece less": with_pieces(lambda pieces: pieces[:-1]),
    "a piece twice": with_pieces(lambda pieces: [pieces[0], *pieces]),
    "pieces in another order": with_pieces(lambda pieces: [*pieces[::-1], (64, b"x" * 8)]),
    "a piece before the first": with_pieces(lambda pieces: [(0, b"x" * 8), *pieces]),
    "a piece behind the last": with_pieces(lambda pieces: [*pieces, (1 << 40, b"x" * 8)]),
    "a piece that is elsewhere": with_pieces(lambda pieces: [*pieces[:-1], (pieces[-1][0] + 8, pieces[-1][1][:-8])]),
    "zeros": with_pieces(lambda pieces: [(address, bytes(len(data))) for address, data in pieces]),
    "another value": with_pieces(
        lambda pieces: [(address, data.replace(b"in p", b"IN P")) for address, data in pieces]
    ),
    "fewer bytes than it says": with_attributes(copied=1 << 40),
    "something behind its end": with_attributes(behind=b"x"),
    "more deleted ones than there are": with_attributes(count=1 << 60),
    "fewer than none": with_attributes(count=-1),
    "one deleted before all": with_attributes(buried=[0]),
    "one deleted behind all": with_attributes(buried=[1 << 40]),
}
HARMLESS: dict[str, Callable[[Snapshot], None]] = {  # they cost an image, or nothing at all
    "copied from the beginning": everywhere(copied_from=0),
    "something else in place of what is durable": with_pieces(lambda pieces: [(64, b"x" * 8), *pieces[1:]]),
    "one deleted that was not": with_attributes(buried=[64]),
    "one deleted inside of a record": with_attributes(buried=[72]),
    "one deleted twice": with_attributes(buried=[64, 64]),
}


@pytest.mark.parametrize("what", CONTENTS)
def test_what_its_file_holds(base: Base, tmp_path: Path, what: str) -> None:
    path = copied(base, tmp_path / "store")
    snapshot = read_snapshot(path, base.tokens[1])
    CONTENTS[what](snapshot)
    snapshot.write(path)
    log = (path / "log" / "0000000000.seg").read_bytes()
    assert opened(path, base) <= 1
    assert (path / "log" / "0000000000.seg").read_bytes() == log
    assert opened(path, base, read_only=False) <= 1


@pytest.mark.parametrize("what", HARMLESS)
def test_what_costs_nothing(base: Base, tmp_path: Path, what: str) -> None:
    path = copied(base, tmp_path / "store")
    snapshot = read_snapshot(path, base.tokens[1])
    HARMLESS[what](snapshot)
    snapshot.write(path)
    assert opened(path, base) == 2
    assert opened(path, base, read_only=False) == 2
