"""Entries: bytes and what becomes bytes, typed ones, the smallest and the largest; and what is none."""

import array
import dataclasses
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Log, codecs
from tests.faster_log.helpers import SMALL_PAGE, Place, data_of, entries, pairs, push_to_disk


@dataclasses.dataclass
class Point:
    """An entry of a typed log."""

    x: int
    name: str


class Mine(bytes):
    """A subclass, which comes back as bytes."""


class Text(str):
    """A subclass of str."""


def test_bytes_text_and_buffers(place: Place) -> None:
    """Each comes back as bytes of its own: what happens to a buffer afterwards does not change the entry."""
    log = place.open()
    buffer = bytearray(b"buffer")
    given: list[Any] = [
        b"bytes", Mine(b"mine"), "\u00fcml\u00e4ut", Text("text"), buffer, memoryview(b"view")[1:3],
        array.array("i", [1, 2]), b"", "", bytearray(), memoryview(b""),
    ]  # fmt: skip
    expected = [
        b"bytes", b"mine", "\u00fcml\u00e4ut".encode(), b"text", b"buffer", b"ie",
        array.array("i", [1, 2]).tobytes(), b"", b"", b"", b"",
    ]  # fmt: skip
    addresses = [log.append(entry) for entry in given]
    log.append_many(given)
    log.append_many(iter(given))
    with log.batch() as batch:
        for entry in given:
            batch.append(entry)
    for entry in given:
        assert log.try_append(entry) is not None
    buffer[:] = b"change"
    found = [data for _, data in pairs(log)]
    assert found == expected * 5
    assert {type(data) for data in found} == {bytes}
    assert [log[address] for address in addresses] == expected
    assert log.codec == "bytes"


@pytest.mark.parametrize("wrong", [5, None, 1.5, ["a"], {"a": 1}, object(), ("a",), range(3)])
def test_what_is_no_entry(place: Place, wrong: Any) -> None:
    log = place.open()
    many: list[Any] = [wrong]
    with log.batch() as batch:
        calls: list[Any] = [log.append, log.try_append, batch.append, lambda one: log.append_many([one])]
        for call in calls:
            with pytest.raises(TypeError, match=f"entries are bytes or str, not {type(wrong).__name__}; give"):
                call(wrong)
    with pytest.raises(TypeError):
        log.append_many(iter(many))
    for one in (b"one", "one", bytearray(b"one"), memoryview(b"one")):
        with pytest.raises(TypeError, match=r"append_many\(\) takes an iterable of entries"):
            log.append_many(one)
    no_iterable: Any = 5
    with pytest.raises(TypeError, match="entries is an iterable of entries, not 5"):
        log.append_many(no_iterable)
    with pytest.raises(TypeError, match="holds pointers"):
        log.append(pointer())
    assert len(log) == 0


def pointer() -> Any:
    """Return a buffer that says nothing to another process."""
    import ctypes

    return (ctypes.py_object * 1)()


def test_the_largest_entry_and_one_byte_more(place: Place) -> None:
    """Half of the memory budget, less a header's bytes; more is refused with both numbers, and nothing has changed."""
    if place.page_bytes != SMALL_PAGE:
        pytest.skip("the budget is the same, whatever the pages")
    log = place.open()
    largest = place.memory // 2 - 64
    log.append(b"before")
    address = log.append(data_of(1, largest))
    tail = log.tail
    with log.batch() as batch:
        for call in (log.append, log.try_append, batch.append, lambda one: log.append_many([one])):
            with pytest.raises(
                ValueError, match=f"an entry of {largest + 1} bytes does not fit: half.*{largest} bytes"
            ):
                call(bytes(largest + 1))
        for call in (log.append, batch.append):
            with pytest.raises(ValueError, match="does not fit"):
                call(bytes(place.memory))
    assert (log.tail, len(log)) == (tail, 2)
    assert log.read(address) == data_of(1, largest)
    if place.durable:
        for _ in range(3):
            log.append(data_of(2, largest))
        with log.batch() as batch:
            batch.append(data_of(3, largest - 24))
        push_to_disk(log)
        assert log.read(address) == data_of(1, largest)
        assert [len(data) for data in entries(log)] == [6, *[largest] * 4, largest - 24]
        log.close()
        assert [len(data) for data in entries(place.open())] == [6, *[largest] * 4, largest - 24]


def test_empty_entries(place: Place) -> None:
    """Only a header each; so many that a page is full of them to its last byte but a few."""
    log = place.open()
    addresses = [log.append(b"") for _ in range(500)]
    assert len(set(addresses)) == 500
    log.commit()
    assert list(log) == [(address, b"") for address in addresses]
    assert {log.size(address) for address in addresses} == {0}
    if place.durable:
        push_to_disk(log)
        assert {log.read(address) for address in addresses} == {b""}
        log.close()
        assert len(list(place.open())) == 500


TYPED: list[tuple[Any, str, list[Any], Any, str]] = [
    (str, "str", ["", "a", "\u4e2d\u6587" * 500], b"bytes", "this log's entries are str, not bytes"),
    (int, "int", [0, -1, 1 << 70, -(1 << 700)], "5", "this log's entries are int, not str"),
    ("json", "json", [None, 1, {"a": [1, 2.5]}, "x"], object(), "object"),
    (Point, "", [Point(1, "a"), Point(-5, "\u00fc")], object(), "object"),
    (bytes, "bytes", [b"", b"a"], 5, "entries are bytes or str"),
]


@pytest.mark.parametrize(
    ("codec", "name", "given", "wrong", "message"), TYPED, ids=lambda one: getattr(one, "__name__", "")
)
def test_typed_entries(codec: Any, name: str, given: list[Any], wrong: Any, message: str, place: Place) -> None:
    """They come back as they were, by every way to read and append; another type is refused and leaves nothing."""
    if codec is Point:
        pytest.importorskip("msgspec")
    log = place.open(codec=codec)
    addresses = [log.append(entry) for entry in given]
    log.append_many(given)
    log.append_many(iter(given))
    with log.batch() as batch:
        for entry in given:
            batch.append(entry)
        with pytest.raises(TypeError, match=message):
            batch.append(wrong)
    for call in (log.append, log.try_append, lambda one: log.append_many([one])):
        with pytest.raises(TypeError, match=message):
            call(wrong)
    assert [log[address] for address in addresses] == given
    assert [data for _, data in pairs(log)] == given * 4
    assert log.codec == (name or log.codec)
    assert log.size(addresses[0]) >= 0
    if place.durable:
        log.close()
        log = place.open(codec=codec)
        assert entries(log) == given * 4


def test_another_codec_than_the_log_was_made_with(tmp_path: Path) -> None:
    """Or none, which would show bytes; codecs.RAW does that on purpose, and so may write what nobody can decode."""
    path = tmp_path / "log"
    with Log(path, codec=int) as numbers:
        numbers.append(5)
    for codec in (None, str, "json"):
        options: dict[str, Any] = {"codec": codec}
        with pytest.raises(oxidbm.CodecError, match="keeps entries of the codec 'int', and was opened with"):
            Log(path, **options)
    with Log(path, codec=codecs.RAW) as raw:
        assert raw.codec == "int"
        good = raw.append(b"\x81\x07")
        bad = raw.append(b"nonsense")
    log = Log(path, codec=int)
    assert log.read(good) == 7
    with pytest.raises(codecs.DecodeError, match=f"the entry at address {bad} cannot be decoded"):
        log.read(bad)
    scan = iter(log)
    assert [next(scan)[1], next(scan)[1]] == [5, 7]
    with pytest.raises(codecs.DecodeError, match=f"the entry at address {bad} cannot be decoded"):
        next(scan)
    with pytest.raises(StopIteration):
        next(scan)
    wrong: Any = 5
    with pytest.raises(TypeError):
        Log(codec=wrong)


def test_a_codec_that_gives_no_bytes() -> None:
    class Broken:
        """Not what a codec is."""

        name = "broken"

        def encode(self, value: Any) -> Any:
            """Return something else."""
            return 5 if value == "int" else bytearray(b"x")

        def decode(self, data: bytes) -> Any:
            """Return it."""
            return data

    log: Log[Any] = Log(codec=Broken())
    for value in ("int", "bytearray"):
        with pytest.raises(TypeError, match=f"the codec 'broken' of the log's entries gave {value}, not bytes"):
            log.append(value)
    assert len(log) == 0
