"""The second writing of the format (codec.py), from the document alone, agrees with the core's."""

from pathlib import Path

import pytest

from oxidbm._core import hashing
from tests.format import codec
from tests.format.stores import contents, make_paged, make_tiny
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
