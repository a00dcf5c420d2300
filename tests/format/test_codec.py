"""The second writing of the format (codec.py), from the document alone, agrees with the core's."""

from hashlib import blake2b
from pathlib import Path

import pytest

from oxidbm._core import hashing
from tests.format import codec
from tests.format.stores import clock, contents, make_directory, make_paged, make_tiny, open_store
from tests.format.test_document import rows


def test_the_documents_constants() -> None:
    said = {row["name"]: int(row["number"].strip("`"), 16) for row in rows("checksum")}
    assert said == {name: getattr(hashing, name) for name in said} == {name: getattr(codec, name) for name in said}
    assert len(said) == 5


@pytest.mark.parametrize("make", [make_tiny, make_paged])
def test_a_store_is_read_and_written_as_it_was(tmp_path: Path, make: object) -> None:
    assert callable(make)
    expected = make(tmp_path / "store")
    image = codec.read_image(tmp_path / "store")
    records = image.records()
    assert {record.key for _, _, record in records if not record.flags & codec.COMMIT} >= expected.keys()
    for page, offset, record in records:
        before = bytes(image.segments[page])
        image.put(page, offset, record)
        assert bytes(image.segments[page]) == before
    image.write(tmp_path / "again")
    for name in ("STORE", "CLEAN"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "store" / name).read_bytes()
    assert contents(tmp_path / "again") == expected


def by_the_document(letter: bytes, data: bytes) -> int:
    """Return the tag that a record has by the document."""
    return int.from_bytes(blake2b(letter + data, digest_size=8).digest(), "little") & (1 << 62) - 1 or 1


def test_the_words_that_only_some_records_have(tmp_path: Path) -> None:
    make_directory(tmp_path / "store")
    with open_store(tmp_path / "store") as store:
        store[b"neither"] = b"1"
        store.set(b"expiry", b"2", expire=100)
        store.set(b"tag", b"3", tag="\u00e9")
        store.set(b"both", b"4", expire=100, tag=b"page")
        store.set(b"number", b"5", tag=-256)
        store.set(b"none", b"6", tag=0)
    found = {
        record.key: (record.flags, record.expiry, record.tag)
        for _, _, record in codec.read_image(tmp_path / "store").records()
        if not record.flags & codec.COMMIT
    }
    later = int(clock() + 100) * 1000
    assert found == {
        b"neither": (0, 0, 0),
        b"expiry": (codec.HAS_EXPIRY, later, 0),
        b"tag": (codec.HAS_TAG, 0, by_the_document(b"s", b"\xc3\xa9")),
        b"both": (codec.HAS_EXPIRY | codec.HAS_TAG, later, by_the_document(b"b", b"page")),
        b"number": (codec.HAS_TAG, 0, by_the_document(b"i", b"\x00\xff")),
        b"none": (codec.HAS_TAG, 0, by_the_document(b"i", b"\x00")),
    }


def test_a_tag_that_cannot_be_one_is_a_fault(tmp_path: Path) -> None:
    make_directory(tmp_path / "store")
    with open_store(tmp_path / "store") as store:
        store.set(b"a", b"1", tag="a")
    image = codec.read_image(tmp_path / "store")
    page, offset, record = next(entry for entry in image.records() if entry[2].key == b"a")
    image.put(page, offset, record.with_fields(tag=0))
    image.write(tmp_path / "again")
    with open_store(tmp_path / "again") as store:
        assert store[b"a"] == b"1"
        (fault,) = store.check()
        assert f"the tag of address {record.address} is none of 62 bits" in fault


def test_a_store_made_from_nothing_opens(tmp_path: Path) -> None:
    image = codec.Image(store_id=b"0123456789abcdef", seed=12345)
    log = bytearray(64)
    for key, value in ((b"a", b"1"), (b"long", b"v" * 100)):
        log += codec.Record(len(log), key, value).encode(image.checksum_key)
    first = len(log)
    numbers = [1, 0, 64, 2, 0, 2, first - 64, 0, 0]
    log += codec.Record(first, value=codec.of_words(numbers), flags=codec.COMMIT).encode(image.checksum_key)
    image.segments[0] = log
    image.mark = (len(log), 1, 2)
    image.write(tmp_path / "store")
    assert contents(tmp_path / "store") == {b"a": b"1", b"long": b"v" * 100}
