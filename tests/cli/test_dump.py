"""The dump forms by themselves: exact round trips, and every fault named by its line or record. They need no extra."""

import io
import json
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxidbm import Store, dump
from oxidbm._dump_forms import END, MAGIC, MAGIC_1, MAGIC_2
from tests.cli.helpers import ODD_ITEMS

EXPIRIES = st.just(0) | st.integers(1, 2**62 - 1)
ITEMS = st.lists(st.builds(dump.Item, st.binary(max_size=40), st.binary(max_size=40), EXPIRIES, EXPIRIES), max_size=8)


def binary_of(items: list[dump.Item]) -> bytes:
    file = io.BytesIO()
    dump.write_binary(items, file)
    return file.getvalue()


def json_of(items: list[dump.Item]) -> bytes:
    file = io.BytesIO()
    dump.write_json_lines(items, file)
    return file.getvalue()


def items_of(pairs: dict[bytes, bytes]) -> list[dump.Item]:
    return [dump.Item(key, value) for key, value in pairs.items()]


def read(data: bytes) -> tuple[list[dump.Item], str]:
    """Return the items before the first fault, and the fault."""
    items: list[dump.Item] = []
    try:
        items.extend(dump.read_dump(io.BytesIO(data)).items)
    except dump.BadInput as failure:
        return items, str(failure)
    return items, ""


@given(ITEMS)
def test_both_forms_come_back_exactly(items: list[dump.Item]) -> None:
    assert read(binary_of(items)) == (items, "")
    assert read(json_of(items)) == (items, "")


def test_odd_items_come_back_exactly() -> None:
    items = items_of(ODD_ITEMS)
    assert read(binary_of(items)) == (items, "")
    assert read(json_of(items)) == (items, "")


def test_json_lines_are_what_other_programs_expect() -> None:
    lines = json_of(items_of({b"a": "\u00e9".encode(), b"\xff": b"1\n2"})).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"key": "a", "value": "\u00e9"},
        {"key": {"base64": "/w=="}, "value": "1\n2"},
    ]


@given(ITEMS)
def test_every_cut_of_a_binary_dump_is_noticed(items: list[dump.Item]) -> None:
    data = binary_of(items)
    for length in range(1, len(data)):
        found, fault = read(data[:length])
        assert fault
        assert found == items[: len(found)]


def test_every_flipped_bit_of_a_binary_dump_is_noticed() -> None:
    items = [dump.Item(b"one", b"1"), dump.Item(b"", b"", 2**40), dump.Item(b"three", b"333")]
    data = binary_of(items)
    for place in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        found, fault = read(bytes(damaged))
        assert fault, place
        assert found == items[: len(found)]


def test_bytes_behind_a_binary_dump_are_noticed() -> None:
    items = items_of({b"a": b"b"})
    assert read(binary_of(items) + b"\n") == (items, "bytes follow the end of the file's 1 records")


def test_older_versions_load() -> None:
    def version_2(key: bytes, value: bytes, expiry: int, length: int | None = None) -> bytes:
        head = struct.pack("<IIQ", len(key) if length is None else length, len(value), expiry)
        return head + struct.pack("<I", zlib.crc32(head + key + value)) + key + value

    frames = [version_2(b"bytes", b"bytes", 0), version_2(b"k", b"v", 7), version_2(b"", struct.pack("<Q", 1), 0, END)]
    assert read(MAGIC_2 + b"".join(frames)) == ([dump.Item(b"k", b"v", 7)], "")


def test_a_tag_of_too_many_bits() -> None:
    items = [dump.Item(b"k", b"v", 0, 1 << 62)]
    assert read(binary_of(items)) == ([], "record 1: its tag 0x4000000000000000 has more than 62 bits")


def test_tags_go_along_into_another_store() -> None:
    for write in (dump.write_binary, dump.write_json_lines):
        file = io.BytesIO()
        with Store() as store:
            store.set("a", "1", 1000, tag="of a")
            store.set("b", "2", tag=7)
            store["c"] = "3"
            write(dump.checked_items(store), file)
        file.seek(0)
        with Store() as store:
            assert dump.load(file, store).stored == 3
            assert store.ttl("a") is not None
            assert (store.evict("of a"), store.evict(7)) == (1, 1)
            assert dict(store.items()) == {b"c": b"3"}


def test_a_length_that_cannot_be_costs_no_memory() -> None:
    head = struct.pack("<III", 1, 0xFFFFFFFF, 0)
    assert read(MAGIC_1 + head + b"kv") == ([], "record 1: the file is cut off in it")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"nonsense", "it is not JSON"),
        (b'{"key": "a", "val', "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b'["a", "b"]', 'exactly "key" and "value"'),
        (b'{"key": "a"}', 'exactly "key" and "value"'),
        (b'{"key": "a", "value": "b", "ttl": 1}', 'exactly "key" and "value"'),
        (b'{"key": "a", "value": 1}', '"value" is neither a string'),
        (b'{"key": "a", "value": "", "tag": 1}', '"tag" is not the 62 bits'),
        (b'{"key": "a", "value": "", "tag": "1"}', '"tag" is not the 62 bits'),
        (b'{"key": "a", "value": "", "tag": "0000000000000000"}', '"tag" is not the 62 bits'),
        (b'{"key": "a", "value": "", "tag": "4000000000000000"}', '"tag" is not the 62 bits'),
        (b'{"key": null, "value": "1"}', '"key" is neither a string'),
        (b'{"key": "a", "value": {"base64": "?"}}', '"value" is not valid base64'),
        (b'{"key": "a", "value": {"base64": "\\u00e9"}}', '"value" is not valid base64'),
        (b'{"key": "\\ud800", "value": ""}', '"key" has half a surrogate pair'),
        (b'{"key": "' + b"k" * 65_536 + b'", "value": ""}', "its key has 65536 bytes"),
    ],
)
def test_a_bad_line_is_named_and_what_stands_before_it_is_there(line: bytes, fault: str) -> None:
    items, found = read(json_of(items_of({b"a": b"1"})) + b"  \r\n" + line + b"\n" + json_of(items_of({b"b": b"2"})))
    assert items == items_of({b"a": b"1"})
    assert found.startswith("line 3: ")
    assert fault in found


def test_no_dump_at_all() -> None:
    assert read(b"") == ([], "")
    assert read(b"\n\n") == ([], "")
    assert "no dump" in read(MAGIC[:3] + b"another")[1]
