"""Salvage: every record whose bytes are untouched comes back, nothing that was deleted, and the source stays as it is.

What is to be expected is computed with the second writing of the format (tests/format/codec.py): which of the records
that were there have lost no byte, and what the newest of them say of each key.
"""

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import _publish, _salvage
from oxidbm.codecs import RAW
from tests.format.codec import COMMIT, SESSION, Image, Record, read_image
from tests.format.fuzz import state_of
from tests.format.stores import PAGE_BYTES, Items, contents, make_directory, make_paged, open_store
from tests.inside import abandon, handle_of, log_of
from tests.support import ROOT

Damage = Callable[[Path], None]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A store of three segments: updates, tombstones, a run of pages, an expiry, two sessions."""
    path = tmp_path / "source"
    make_directory(path)
    store = open_store(path)
    for turn in range(3):
        for number in range(60):
            store[b"%d" % number] = b"%d/%d" % (turn, number) * 20
        with store.session(f"session {turn % 2}") as session:
            session.upsert(b"by session", b"%d" % turn)
            session.delete(b"%d" % turn)
        store.set(b"expiring", b"%d" % turn, expire=10 + turn)
        if turn == 1:
            store[b"run"] = b"r" * 3 * PAGE_BYTES
        store.sync()
        log_of(store).device.roll()
    for number in range(40):
        store[b"last %d" % number] = b"l" * 100
    store.close()
    assert len(segments(path)) == 4
    return path


def segments(path: Path) -> list[Path]:
    """Return the files of the log in order."""
    return sorted((path / "log").iterdir())


def left(before: Image, path: Path) -> Items:
    """Return what the records say that stand in the files as they did before, at the place that they are named for."""
    files = {int(file.stem): file.read_bytes() for file in segments(path) if file.stem.isdigit()}
    return newest(
        [
            record
            for page, offset, record in before.records()
            if files.get(page, b"")[offset : offset + record.size()]
            == bytes(before.segments[page][offset : offset + record.size()])
        ]
    )


def newest(records: list[Record]) -> Items:
    """Return what records say of each key, in order."""
    found: Items = {}
    for record in records:
        if record.flags & (COMMIT | SESSION):
            continue
        if record.tombstone:
            found.pop(record.key, None)
        else:
            found[record.key] = record.value
    return found


def saved(path: Path) -> Items:
    """Return what a salvaged store holds, which is sound."""
    with oxidbm.Store(path, read_only=True, memory="64MiB", key=RAW, value=RAW, clock=lambda: 0.0) as store:
        assert store.check() == []
        return dict(store.items())


def at(file: int, offset: int, data: bytes) -> Damage:
    """Return what overwrites a part of one file of the log."""

    def damage(path: Path) -> None:
        with segments(path)[file].open("r+b") as opened:
            opened.seek(offset)
            opened.write(data)

    return damage


def cut(file: int, size: int) -> Damage:
    """Return what cuts a file of the log."""

    def damage(path: Path) -> None:
        os.truncate(segments(path)[file], size)

    return damage


def without(file: int) -> Damage:
    """Return what deletes a file of the log."""

    def damage(path: Path) -> None:
        segments(path)[file].unlink()

    return damage


def nothing(path: Path) -> None:
    """Do no damage."""


DAMAGES: dict[str, Damage] = {
    "none": nothing,
    "first missing": without(0),
    "middle missing": without(1),
    "last missing": without(3),
    "cut at a word": cut(1, 800),
    "cut inside of a word": cut(1, 5001),
    "longer than its data": cut(2, 5001),
    "the last one longer": cut(3, 50_000),
    "longer, and not empty": at(2, 5001, b"x"),
    "cut to nothing": cut(0, 0),
    "a length flipped": at(0, 64 + 8, b"\xff"),
    "a capacity flipped": at(0, 64 + 22, b"\x7f"),
    "an info of zero": at(0, 64, bytes(8)),
    "zeros": at(1, 500, bytes(6000)),
    "zeros over a whole page": at(1, 0, bytes(PAGE_BYTES)),
    "noise": at(1, 300, bytes(range(256)) * 20),
    "a run's inside": at(1, 3 * PAGE_BYTES, b"\xff" * 8),
    "a commit record": at(3, 40, b"\xff" * 8),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("lost", [(), ("STORE",), ("CLEAN",), ("STORE", "CLEAN")], ids=" ".join)
def test_every_untouched_record_is_saved(source: Path, tmp_path: Path, damage: Damage, lost: tuple[str, ...]) -> None:
    before = read_image(source)
    for name in lost:
        (source / name).unlink()
    damage(source)
    expected = left(before, source)
    state = state_of(source)
    report = oxidbm.salvage(source, tmp_path / "saved", memory="1MiB")
    assert state_of(source) == state
    assert saved(tmp_path / "saved") == expected
    assert report.keys == len(expected)
    harmless = [DAMAGES[name] for name in ("none", "longer than its data", "the last one longer")]
    silent = (damage in harmless or (damage is DAMAGES["last missing"] and lost != ())) and "STORE" not in lost
    assert (
        report.lost == [] and report.faults == []
    ) == silent  # without CLEAN nothing says that a last file was there
    for found in report.lost:
        assert found.file.startswith(str(source / "log"))
        assert found.size > 0
    assert report.lost_bytes == sum(found.size for found in report.lost)


def test_what_was_lost_is_told_by_file_and_offset(source: Path, tmp_path: Path) -> None:
    records = [(page, offset, record) for page, offset, record in read_image(source).records() if page == 0]
    _, offset, record = records[5]
    at(0, offset + 24, b"\xff")(source)
    report = oxidbm.salvage(source, tmp_path / "saved", memory="1MiB")
    (found,) = report.lost
    assert (found.file, found.offset, found.size) == (str(segments(source)[0]), offset, record.size())
    assert found.committed
    assert "does not match its checksum" in found.reason
    assert report.missing == 1
    assert report.as_dict()["lost"][0]["offset"] == offset


def test_expiry_sessions_and_the_commit_are_kept(source: Path, tmp_path: Path) -> None:
    report = oxidbm.salvage(source, tmp_path / "saved", memory="1MiB")
    assert report.sessions == {"session 0": 4, "session 1": 2}
    assert report.commit_sequence > 3
    with open_store(source, read_only=True) as old, open_store(tmp_path / "saved") as new:
        assert new.ttl(b"expiring") == old.ttl(b"expiring") == 12.0
        assert new.session("session 0").serial == 4
        assert new.session("session 1").serial == 2


@pytest.mark.parametrize("clean", [True, False])
def test_a_damaged_commit_counts_where_it_is_known_that_it_was_durable(tmp_path: Path, clean: bool) -> None:
    """Its sessions and where it says that the log begins count, although one of its records is lost."""
    path = tmp_path / "source"
    make_directory(path)
    with open_store(path) as store:
        store[b"cleared"] = b"1"
        store.clear()
        with store.session("s") as session:
            session.upsert(b"lost", b"1")
            session.upsert(b"kept", b"2")
        if not clean:
            store.sync()
            store[b"behind"] = b"3"
            store.sync()
    image = read_image(path)
    (found,) = (entry for entry in image.records() if entry[2].key == b"lost")
    at(0, found[1] + 24, b"\xff")(path)
    if not clean:
        (path / "CLEAN").unlink()
    report = oxidbm.salvage(path, tmp_path / "saved", memory="1MiB")
    assert report.sessions == {"s": 2}
    assert saved(tmp_path / "saved").keys() == {b"kept"} | (set() if clean else {b"behind"})


@pytest.mark.parametrize("swap", [False, True])
def test_files_under_a_wrong_name(source: Path, tmp_path: Path, swap: bool) -> None:
    expected = saved(source)
    one, two = segments(source)[1:3]
    one.rename(source / "log" / "lost+found")
    if swap:
        two.rename(one)
        (source / "log" / "lost+found").rename(two)
    report = oxidbm.salvage(source, tmp_path / "saved", memory="1MiB")
    assert saved(tmp_path / "saved") == expected
    assert report.lost == []
    assert f"is the segment {one.name} under another name" in "\n".join(report.faults)


@pytest.mark.parametrize("offset", [0, 9, 20, 35, 41, 100, 400, 561])
def test_one_wrong_byte_of_the_superblock_is_put_right(source: Path, tmp_path: Path, offset: int) -> None:
    expected = saved(source)
    data = bytearray((source / "STORE").read_bytes())
    data[offset] ^= 0x55
    (source / "STORE").write_bytes(data)
    (source / "CLEAN").unlink()
    for file in segments(source)[:1]:
        file.unlink()
    report = oxidbm.salvage(source, tmp_path / "saved", memory="1MiB")
    assert saved(tmp_path / "saved").items() <= expected.items()
    assert report.keys > 50
    assert str(source / "STORE") in report.faults[0]


def test_a_store_whose_key_cannot_be_found_is_refused(tmp_path: Path) -> None:
    image = Image()
    image.segments[0] = bytearray(64) + Record(64, b"only", b"one").encode(image.checksum_key)
    image.write(tmp_path / "source")
    (tmp_path / "source" / "STORE").unlink()
    with pytest.raises(oxidbm.CorruptionError, match="no segment begins with two records that agree"):
        oxidbm.salvage(tmp_path / "source", tmp_path / "saved")
    assert os.listdir(tmp_path) == ["source"]


def test_a_lost_page_size_is_found_where_pages_have_gaps(tmp_path: Path) -> None:
    make_paged(tmp_path / "source")
    (tmp_path / "source" / "STORE").unlink()
    (tmp_path / "source" / "CLEAN").unlink()
    report = oxidbm.salvage(tmp_path / "source", tmp_path / "saved", memory="1MiB")
    assert report.lost == []
    assert "2**12 bytes" in report.faults[1]
    assert report.keys == 5


def make_with_tail(path: Path) -> None:
    """Make a store that was killed with sound records, and one damaged one, behind its last commit."""
    make_directory(path)
    with open_store(path) as store:
        store[b"a"] = b"committed"
        store[b"b"] = b"committed"
    image = read_image(path)
    image.mark = None
    log = image.segments[0]
    log += Record(len(log), b"a", b"later").encode(image.checksum_key)
    log += Record(len(log), b"damaged", b"1").encode(image.checksum_key ^ 1)
    log += Record(len(log), b"b", tombstone=True).encode(image.checksum_key)
    shutil.rmtree(path)
    image.write(path)


def test_what_stands_behind_the_last_commit(tmp_path: Path) -> None:
    make_with_tail(tmp_path / "source")
    report = oxidbm.salvage(tmp_path / "source", tmp_path / "all", memory="1MiB")
    assert saved(tmp_path / "all") == {b"a": b"later"}
    assert report.behind_commit == 2
    assert [found.committed for found in report.lost] == [False]
    report = oxidbm.salvage(tmp_path / "source", tmp_path / "committed", committed_only=True, memory="1MiB")
    assert saved(tmp_path / "committed") == {b"a": b"committed", b"b": b"committed"} == contents(tmp_path / "source")
    assert report.behind_commit == 0


def test_what_was_cleared_does_not_come_back(tmp_path: Path) -> None:
    make_directory(tmp_path / "source")
    with open_store(tmp_path / "source") as store:
        for number in range(100):
            store[b"%d" % number] = b"old"
        store.sync()
        store.clear()
        store[b"1"] = b"new"
    (tmp_path / "source" / "STORE").unlink()
    report = oxidbm.salvage(tmp_path / "source", tmp_path / "saved", memory="1MiB")
    assert saved(tmp_path / "saved") == {b"1": b"new"}
    assert report.below_begin == 100


def test_values_full_of_headers_hide_nothing_and_are_not_taken(tmp_path: Path) -> None:
    """Headers that claim the rest of the page and do not verify, in front of a record that does, in a damaged page."""
    bits = 16
    image = Image(page_bits=bits)
    log = bytearray(64)
    fake = struct.pack("<QQQ", 1 << 48, 30_000, 4000 << 32 | 1)
    log += Record(64, b"hostile", fake * 1500).encode(image.checksum_key)
    log += Record(len(log), b"small", b"sound").encode(image.checksum_key)
    forged = Record(0, b"forged", b"x").with_fields(address=200)
    log[200 : 200 + forged.size()] = forged.encode(image.checksum_key ^ 7)
    image.segments[0] = log
    image.write(tmp_path / "source")
    report = oxidbm.salvage(tmp_path / "source", tmp_path / "saved", memory="1MiB")
    assert saved(tmp_path / "saved") == {b"small": b"sound"}
    assert report.records == 1


def test_a_record_larger_than_the_targets_memory(tmp_path: Path) -> None:
    value = os.urandom(5 << 20)
    with oxidbm.Store(tmp_path / "source", memory="64MiB", page_size=4096) as store:
        store[b"large"] = value
        store[b"small"] = b"1"
    (tmp_path / "source" / "CLEAN").write_bytes(b"")
    report = oxidbm.salvage(tmp_path / "source", tmp_path / "saved", memory="1MiB")
    assert report.keys == 2
    with oxidbm.Store(tmp_path / "saved", memory="64MiB", read_only=True) as store:
        assert store[b"large"] == value


def test_codecs_are_kept_also_where_they_cannot_be_imported(tmp_path: Path) -> None:
    with oxidbm.Store(tmp_path / "source", key=int, value="json", memory="1MiB", page_size=4096) as store:
        store[5] = {"a": [1]}
        store[6] = None
    report = oxidbm.salvage(tmp_path / "source", tmp_path / "saved")
    assert (report.key_codec, report.value_codec) == ("int", "json")
    with oxidbm.Store(tmp_path / "saved", key=int, value="json", read_only=True) as again:
        assert dict(again) == {5: {"a": [1]}, 6: None}
    with pytest.raises(oxidbm.CodecError, match="keeps keys of the codec 'int', not 'str'"):
        oxidbm.salvage(tmp_path / "source", tmp_path / "other", key=str)
    (tmp_path / "source" / "STORE").unlink()
    oxidbm.salvage(tmp_path / "source", tmp_path / "named", key=int, value="module:not_here")
    with oxidbm.Store(tmp_path / "named", key=RAW, value=RAW, read_only=True) as raw:
        assert (raw.key_codec, raw.value_codec) == ("int", "module:not_here")


def test_a_target_that_is_there_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    (tmp_path / "half.unfinished").mkdir()
    for target, words in [
        (tmp_path / "full", "is there already"),
        (tmp_path / "half", "left by a salvage that did not end"),
        (source / "inside", "is inside of .* which is only read"),
        (source, "is there already"),
    ]:
        with pytest.raises(oxidbm.FormatError, match=words):
            oxidbm.salvage(source, target)
    (tmp_path / "empty").mkdir()
    oxidbm.salvage(source, tmp_path / "empty", memory="1MiB")
    assert saved(tmp_path / "empty") == saved(source)


def test_a_salvage_that_fails_leaves_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(_salvage, "copy", fail)
    with pytest.raises(OSError, match="no space"):
        oxidbm.salvage(source, tmp_path / "saved", memory="1MiB")
    monkeypatch.setattr(_publish, "remove_directory", fail)
    with pytest.raises(OSError, match="no space") as caught:
        oxidbm.salvage(source, tmp_path / "saved", memory="1MiB")
    assert "could not be deleted" in caught.value.__notes__[0]
    assert not (tmp_path / "saved").exists()
    assert sorted(os.listdir(tmp_path)) == ["saved.unfinished", "source"]


def test_a_store_with_a_writer_is_refused_and_its_lock_left_alone(tmp_path: Path) -> None:
    store = open_store_with_fault(tmp_path / "source")
    with pytest.raises(oxidbm.LockedError, match="open for writing"):
        oxidbm.salvage(tmp_path / "source", tmp_path / "saved")
    faults = oxidbm.check(tmp_path / "source")
    assert "a writer has the store open" in faults[-1]
    abandon(store)
    assert "a writer" not in "".join(oxidbm.check(tmp_path / "source"))


def open_store_with_fault(path: Path) -> oxidbm.Store:
    """Return a store that is open for writing, and damaged since."""
    make_directory(path)
    store = open_store(path)
    store[b"a"] = b"1"
    store.sync()
    (path / "CLEAN").write_bytes(b"damaged")
    assert handle_of(store).lock is not None
    return store


def test_check_lists_every_fault_of_a_store_that_does_not_open(source: Path) -> None:
    one, two, three = segments(source)[:3]
    at(0, 64 + 24, b"\xff")(source)
    at(0, 300, b"\xff")(source)
    two.unlink()
    three.rename(source / "log" / "wrong.seg")
    (source / "CLEAN").write_bytes(b"")
    state = state_of(source)
    faults = oxidbm.check(source)
    assert state_of(source) == state
    text = "\n".join(faults)
    assert f"{one} at offset 64: " in text
    assert text.count("does not match its checksum") + text.count("corrupt") == 2
    assert f"{two} at offset 0: " in text
    assert f"wrong.seg is the segment {three.name}" in text
    assert f"{source / 'CLEAN'} has 0 bytes" in text
    assert len(faults) == 5


def test_check_of_a_store_that_opens_is_that_of_the_store(source: Path, tmp_path: Path) -> None:
    assert oxidbm.check(source) == []
    with pytest.raises(oxidbm.MissingError):
        oxidbm.check(tmp_path / "nowhere")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(oxidbm.MissingError):
        oxidbm.check(tmp_path / "letters")
    (tmp_path / "letters" / "STORE").write_bytes(b"SQLite format 3\0")
    (tmp_path / "letters" / "log").mkdir()
    with pytest.raises(oxidbm.FormatError):
        oxidbm.check(tmp_path / "letters")


def test_commits_that_do_not_follow_are_said(tmp_path: Path) -> None:
    make_directory(tmp_path / "source")
    with open_store(tmp_path / "source") as store:
        for number in range(3):
            store[b"%d" % number] = b"1"
            store.sync()
    image = read_image(tmp_path / "source")
    commits = [entry for entry in image.records() if entry[2].flags & COMMIT]
    page, offset, record = commits[1]
    numbers = struct.unpack("<9q", record.value)
    image.put(page, offset, record.with_fields(value=struct.pack("<9q", 7, *numbers[1:])))
    (tmp_path / "source" / "log" / "0000000000.seg").write_bytes(image.segments[0])
    faults = oxidbm.check(tmp_path / "source")
    assert f"at offset {commits[2][1]}: commit 3 follows the one at address" in faults[0]
    assert "not commit 7 at" in faults[0]


def test_salvage_is_imported_when_it_is_used() -> None:
    code = "import sys, oxidbm; a = 'oxidbm._salvage' in sys.modules; print(a, oxidbm.salvage.__name__)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "False salvage\n"
