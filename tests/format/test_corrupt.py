"""Every field damaged on its own: the error's type, and that its message names file and offset."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.address import PAGE_BITS_MAX, PAGE_BITS_MIN
from tests.format.stores import (
    PAGE_BYTES,
    SEGMENT,
    TINY_FILES,
    Items,
    commit_offsets,
    contents,
    edit,
    make_directory,
    make_paged,
    make_tiny,
    open_store,
    padded,
    record_offsets,
    reseal,
    resum,
    truncate,
    words_of,
)
from tests.inside import log_of


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The golden store, cleanly closed."""
    make_tiny(tmp_path / "tiny")
    return tmp_path / "tiny"


def refused(path: Path, kind: type[oxidbm.error], *words: str) -> None:
    """Assert that the store opens neither way, with an error of just that type and all of the words in its message."""
    for read_only in (True, False):
        with pytest.raises(oxidbm.error) as caught:
            contents(path, read_only=read_only)
        assert type(caught.value) is kind
        for word in words:
            assert word in str(caught.value)


def put_word(offset: int, value: int) -> Callable[[bytearray], None]:
    """Return a change that puts a 64-bit word at an offset and makes the file's checksum right again."""

    def change(data: bytearray) -> None:
        struct.pack_into("<Q", data, offset, value)
        resum(data)

    return change


def flip(offset: int, bit: int = 0) -> Callable[[bytearray], None]:
    """Return a change that flips one bit."""

    def change(data: bytearray) -> None:
        data[offset] ^= 1 << bit

    return change


SUPERBLOCK_FLIPS = [
    ("magic", 0, oxidbm.FormatError, "at offset 0"),
    ("newer version", 9, oxidbm.FormatError, "at offset 8 says format version 258"),
    ("version", 8, oxidbm.FormatError, "at offset 8 says format version 3"),
    ("store id", 16, oxidbm.CorruptionError, "offset 560"),
    ("seed", 32, oxidbm.CorruptionError, "offset 560"),
    ("page bits", 40, oxidbm.CorruptionError, "offset 560"),
    ("key codec", 49, oxidbm.CorruptionError, "offset 560"),
    ("value codec", 305, oxidbm.CorruptionError, "offset 560"),
    ("checksum", 560, oxidbm.CorruptionError, "offset 560"),
]


@pytest.mark.parametrize(("field", "offset", "kind", "words"), SUPERBLOCK_FLIPS, ids=[x[0] for x in SUPERBLOCK_FLIPS])
def test_superblock_field_flipped(tiny: Path, field: str, offset: int, kind: type[oxidbm.error], words: str) -> None:
    edit(tiny / "STORE", flip(offset))
    refused(tiny, kind, str(tiny / "STORE"), words)


@pytest.mark.parametrize(
    ("offset", "value", "kind", "words"),
    [
        (8, 3, oxidbm.FormatError, "at offset 8 says format version 3; this release reads 2"),
        (8, 1, oxidbm.FormatError, "at offset 8 says format version 1, of before the first release"),
        (8, 0, oxidbm.CorruptionError, "at offset 8 says format version 0"),
        (40, PAGE_BITS_MIN - 1, oxidbm.CorruptionError, "at offset 40"),
        (40, PAGE_BITS_MAX + 1, oxidbm.CorruptionError, "at offset 40"),
        (48, 0, oxidbm.CorruptionError, "at offset 48 has no codec's name"),
        (48, 0xFF04, oxidbm.CorruptionError, "at offset 48 has no codec's name"),
        (304, 0, oxidbm.CorruptionError, "at offset 304 has no codec's name"),
        (96, 1, oxidbm.CorruptionError, "from offset 48 on has bytes behind a codec's name"),
    ],
)
def test_superblock_with_a_right_checksum_and_a_wrong_field(
    tiny: Path, offset: int, value: int, kind: type[oxidbm.error], words: str
) -> None:
    edit(tiny / "STORE", put_word(offset, value))
    refused(tiny, kind, str(tiny / "STORE"), words)


@pytest.mark.parametrize(
    "offset", [0, 8, 24, 32, 40, 48], ids=["magic", "store id", "tail", "sequence", "count", "checksum"]
)
def test_clean_mark_field_flipped(tiny: Path, offset: int) -> None:
    edit(tiny / "CLEAN", flip(offset))
    refused(tiny, oxidbm.CorruptionError, str(tiny / "CLEAN"), "offset 48")


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (0, 0, ["CLEAN", "magic at offset 0"]),
        (8, 0, ["CLEAN", "store id at offset 8"]),
        (24, 601, [SEGMENT, "offset 600", "ending at address 601", "address 600"]),
        (24, 328, [SEGMENT, "ending at address 328"]),
        (32, 1, [SEGMENT, "closed cleanly with commit 1"]),
        (32, 3, [SEGMENT, "closed cleanly with commit 3"]),
    ],
)
def test_clean_mark_with_a_right_checksum_and_a_wrong_field(
    tiny: Path, offset: int, value: int, words: list[str]
) -> None:
    edit(tiny / "CLEAN", put_word(offset, value))
    refused(tiny, oxidbm.CorruptionError, *words)


RECORD_FIELDS = {
    "previous_address": (0, 3),
    "version": (6, 1),
    "tombstone": (7, 5),
    "invalid": (7, 6),
    "unverified": (7, 7),
    "value_length": (8, 0),
    "value_length above the capacity": (11, 0),
    "key_length": (12, 0),
    "flag has_expiry": (14, 0),
    "flag page_run": (14, 1),
    "flag commit": (14, 2),
    "flag session": (14, 3),
    "flag has_tag": (14, 4),
    "unknown flag": (14, 5),
    "last unknown flag": (15, 7),
    "checksum": (16, 0),
    "value_capacity": (20, 0),
    "value_capacity beyond the file": (23, 7),
}


@pytest.mark.parametrize(
    "which", [0, 1, 3, 5, 6, -1], ids=["first", "empty key", "old", "newest", "tombstone", "commit"]
)
@pytest.mark.parametrize("field", RECORD_FIELDS)
def test_record_header_field_flipped(tiny: Path, field: str, which: int) -> None:
    at, bit = RECORD_FIELDS[field]
    offset = record_offsets((tiny / SEGMENT).read_bytes())[which]
    edit(tiny / SEGMENT, flip(offset + at, bit))
    refused(tiny, oxidbm.CorruptionError, f"{tiny / SEGMENT} at offset {offset}")


@pytest.mark.parametrize("part", ["key", "key padding", "value", "value padding"])
def test_key_and_value_flipped(tiny: Path, part: str) -> None:
    data = (tiny / SEGMENT).read_bytes()
    offset = record_offsets(data)[5]
    _, shape, _ = words_of(data, offset)
    key, value = shape >> 32 & 0xFFFF, shape & 0xFFFFFFFF
    at = {"key": 0, "key padding": key, "value": padded(key), "value padding": padded(key) + value}[part]
    edit(tiny / SEGMENT, flip(offset + 24 + at))
    refused(tiny, oxidbm.CorruptionError, f"{tiny / SEGMENT} at offset {offset}")


def test_unknown_flag_is_named_even_with_a_right_checksum(tiny: Path) -> None:
    offset = record_offsets((tiny / SEGMENT).read_bytes())[0]

    def change(data: bytearray) -> None:
        data[offset + 14] |= 32
        reseal(data, offset)

    edit(tiny / SEGMENT, change)
    refused(tiny, oxidbm.CorruptionError, f"{tiny / SEGMENT} at offset {offset}", "unknown bits 0x20")


def test_unknown_version_is_named_even_with_a_right_checksum(tiny: Path) -> None:
    offset = record_offsets((tiny / SEGMENT).read_bytes())[0]

    def change(data: bytearray) -> None:
        data[offset + 6] = 2
        reseal(data, offset)

    edit(tiny / SEGMENT, change)
    refused(tiny, oxidbm.CorruptionError, f"{tiny / SEGMENT} at offset {offset}", "version is 2")


COMMIT_WORDS = [
    "sequence", "durable_sequence", "begin", "count", "pending", "records", "live_bytes", "time_ns", "sessions",
]  # fmt: skip


@pytest.mark.parametrize("word", COMMIT_WORDS)
def test_commit_record_word_flipped(tiny: Path, word: str) -> None:
    offset = commit_offsets((tiny / SEGMENT).read_bytes())[-1]
    edit(tiny / SEGMENT, flip(offset + 24 + 8 * COMMIT_WORDS.index(word)))
    refused(tiny, oxidbm.CorruptionError, f"{tiny / SEGMENT} at offset {offset}", "checksum")


@pytest.mark.parametrize(
    ("word", "value", "words"),
    [
        ("sequence", 1, ["a commit record of sequence 1 that knew 1 to be durable"]),
        ("begin", 400, ["counted 3"]),
        ("count", 2, ["replay found 3 keys", "counted 2"]),
        ("records", 2, ["3 records stand before commit 2, which counted 2"]),
        ("sessions", 1, ["replay found 0 sessions", "counted 1"]),
        ("sessions", -1, ["a commit record that counts -1 sessions"]),
    ],
)
def test_commit_record_with_a_right_checksum_and_a_wrong_word(
    tmp_path: Path, word: str, value: int, words: list[str]
) -> None:
    """What a commit record says is compared with the log it stands in."""
    path = tmp_path / "store"
    make_directory(path)
    with open_store(path) as store:
        store.update({b"a": b"1", b"b": b"2"})
        store.sync()
        store.update({b"c": b"3", b"a": b"4", b"b": b"5"})
    offset = commit_offsets((path / SEGMENT).read_bytes())[-1]

    def change(data: bytearray) -> None:
        struct.pack_into("<q", data, offset + 24 + 8 * COMMIT_WORDS.index(word), value)
        reseal(data, offset)

    edit(path / SEGMENT, change)
    refused(path, oxidbm.CorruptionError, f"{path / SEGMENT} at offset {offset}", *words)


SESSION_NAME = 24  # where a session record's parts stand
SESSION_SERIAL = 32


@pytest.mark.parametrize("at", [SESSION_NAME, SESSION_SERIAL, SESSION_SERIAL + 8])
def test_session_record_flipped(tiny: Path, at: int) -> None:
    offset = record_offsets((tiny / SEGMENT).read_bytes())[-2]
    edit(tiny / SEGMENT, flip(offset + at))
    refused(tiny, oxidbm.CorruptionError, f"{tiny / SEGMENT} at offset {offset}", "checksum")


@pytest.mark.parametrize(
    ("at", "word", "words"),
    [
        (0, 1 << 48 | 64, "leads to another record"),
        (0, 1 << 63 | 1 << 48, "leads to another record"),
        (0, 1 << 61 | 1 << 48, "value of 16 bytes, 0 are needed"),
        (8, 8 << 48 | 2 << 32 | 8, "value of 8 bytes, 16 are needed"),
        (8, 8 << 48 | 1 << 48 | 2 << 32 | 8, "the flags 0x9"),
        (8, 12 << 48 | 2 << 32 | 16, "a commit record whose header is not that of one"),
        (SESSION_NAME, 0xFF, "name is not UTF-8"),
        (SESSION_SERIAL, 1 << 62, "serial number 4611686018427387904"),
        (SESSION_SERIAL, 1 << 63, "serial number -9223372036854775808"),
    ],
)
def test_session_record_that_cannot_be(tiny: Path, at: int, word: int, words: str) -> None:
    offset = record_offsets((tiny / SEGMENT).read_bytes())[-2]

    def change(data: bytearray) -> None:
        struct.pack_into("<Q", data, offset + at, word)
        reseal(data, offset)

    edit(tiny / SEGMENT, change)
    refused(tiny, oxidbm.CorruptionError, f"{tiny / SEGMENT} at offset {offset}", words)


def test_lost_session_is_noticed(tiny: Path) -> None:
    """A session record under another flag, and a tombstone in its place: the commit counted one session."""
    data = (tiny / SEGMENT).read_bytes()
    offset = record_offsets(data)[-2]

    def change(data: bytearray) -> None:
        struct.pack_into("<QQ", data, offset, 1 << 61 | 1 << 48, 8 << 48 | 2 << 32)
        reseal(data, offset)

    edit(tiny / SEGMENT, change)
    last = commit_offsets(data)[-1]
    refused(tiny, oxidbm.CorruptionError, f"{tiny / SEGMENT} at offset {last}", "0 sessions", "counted 1")


@pytest.mark.parametrize(
    ("at", "word"),
    [(0, 1 << 61 | 1 << 48 | 200), (0, 1 << 63 | 1 << 48 | 200), (8, 4 << 48 | 80), (8, 4 << 48 | 1 << 32 | 64)],
)
def test_commit_record_with_another_header(tiny: Path, at: int, word: int) -> None:
    offset = commit_offsets((tiny / SEGMENT).read_bytes())[0]

    def change(data: bytearray) -> None:
        if word & 0xFFFFFFFF == 80:
            struct.pack_into("<Q", data, offset + 16, 10 << 32)
        struct.pack_into("<Q", data, offset + at, word)
        reseal(data, offset)

    edit(tiny / SEGMENT, change)
    refused(tiny, oxidbm.CorruptionError, f"{tiny / SEGMENT} at offset {offset}", "a commit record whose header")


@pytest.mark.parametrize("name", TINY_FILES)
def test_truncated_file(tiny: Path, name: str) -> None:
    size = (tiny / name).stat().st_size
    whole = (tiny / name).read_bytes()
    for cut in range(size):
        truncate(tiny / name, cut)
        kind = oxidbm.FormatError if name == "STORE" and cut < 8 else oxidbm.CorruptionError
        with pytest.raises(kind) as caught:
            contents(tiny)
        assert str(tiny / name) in str(caught.value) or cut == 0
        (tiny / name).write_bytes(whole)


@pytest.mark.parametrize("name", ["STORE", "CLEAN"])
def test_small_file_with_more_bytes(tiny: Path, name: str) -> None:
    with (tiny / name).open("ab") as file:
        file.write(b"\0")
    refused(tiny, oxidbm.CorruptionError, str(tiny / name), f"{564 if name == 'STORE' else 52} were expected")


def test_what_follows_a_clean_end_is_cut_off(tiny: Path, tmp_path: Path) -> None:
    expected = contents(tiny)
    size = (tiny / SEGMENT).stat().st_size
    for rest in (bytes(40), b"\xff" * 100, (tiny / SEGMENT).read_bytes()[64:]):
        copy = tmp_path / "copy"
        shutil.copytree(tiny, copy)
        with (copy / SEGMENT).open("ab") as file:
            file.write(rest)
        assert contents(copy) == expected
        assert contents(copy, read_only=False) == expected
        assert (copy / SEGMENT).stat().st_size == size
        shutil.rmtree(copy)


def test_gap_at_the_end_of_a_page_is_zeros(tmp_path: Path) -> None:
    path = tmp_path / "store"
    expected = make_paged(path)
    assert contents(path) == expected
    data = (path / SEGMENT).read_bytes()
    _, shape, _ = words_of(data, PAGE_BYTES)
    end = PAGE_BYTES + 24 + 8 + padded(shape & 0xFFFFFFFF)
    assert data[end : 2 * PAGE_BYTES] == bytes(2 * PAGE_BYTES - end)
    for offset in (end, end + 9, 2 * PAGE_BYTES - 1):
        edit(path / SEGMENT, flip(offset))
        refused(path, oxidbm.CorruptionError, f"{path / SEGMENT} at offset {end}")
        edit(path / SEGMENT, flip(offset))
    assert contents(path) == expected


def test_lost_info_word_does_not_hide_the_rest_of_a_page(tmp_path: Path) -> None:
    """A record whose info word became 0 looks like the end of its page, also to a scan of a store that is open."""
    path = tmp_path / "store"
    make_directory(path)
    with open_store(path) as store:
        expected: Items = {b"%03d" % number: b"v" * 200 for number in range(60)}
        store.update(expected)
        store.sync()
        while log_of(store).evict_page():
            pass
        assert dict(store.items()) == expected
        offset = record_offsets((path / SEGMENT).read_bytes()[:PAGE_BYTES])[3]
        with (path / SEGMENT).open("r+b") as file:
            file.seek(offset + 6)
            file.write(b"\0")
        with pytest.raises(oxidbm.CorruptionError, match=f"{SEGMENT} at offset {offset}"):
            dict(store.items())
        assert any(f"offset {offset}" in fault for fault in store.check())
        with (path / SEGMENT).open("r+b") as file:
            file.seek(offset + 6)
            file.write(b"\1")
        assert store.check() == []
