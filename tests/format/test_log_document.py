"""What docs/format.md says of a log by itself, and the bytes of one, which are decoded by the tables alone."""

import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import oxidbm
from oxidbm._core import address, cookies
from oxidbm._core.device import directory, segments
from oxidbm._core.durability import commit_record, superblock
from oxidbm._core.log import record
from tests.format import codec
from tests.format.test_document import DOCUMENT, bit_ranges, content, mask, rows

PAGE_BYTES = 4096


@dataclass
class Found:
    """A record of a log, its words taken apart as the document says."""

    address: int
    info: dict[str, int]
    shape: dict[str, int]
    seal: dict[str, int]
    flags: set[str]
    value: bytes


def parts(heading: str, word: int) -> dict[str, int]:
    """Return the fields of a word."""
    return {name: word >> shift & mask(width) for name, (shift, width) in bit_ranges(heading).items()}


def word_at(data: bytes, offset: int) -> int:
    """Return the word at an offset."""
    return int.from_bytes(data[offset : offset + 8], "little")


def records(path: Path) -> Iterator[Found]:
    """Return the records of a log in one segment, page by page, and assert that each has its checksum."""
    data = (path / directory.LOG / segments.segment_name(0)).read_bytes()
    key = int.from_bytes((path / directory.STORE).read_bytes()[16:20], "little")
    flags = {row["flag"]: int(row["bit"]) for row in rows("flags")}
    at = address.FIRST_ADDRESS
    while at < len(data):
        if word_at(data, at) == 0:
            at = -(-(at + 1) // PAGE_BYTES) * PAGE_BYTES
            continue
        info, shape, seal = (parts(name, word_at(data, at + 8 * i)) for i, name in enumerate(("info", "shape", "seal")))
        assert shape["key_length"] == 0
        start = at + record.HEADER_BYTES
        end = start + 8 * seal["value_capacity"]
        assert codec.checksum(data[at:end], at, key) == seal["checksum"]
        value = data[start : start + shape["value_length"]]
        yield Found(at, info, shape, seal, {name for name, bit in flags.items() if shape["flags"] >> bit & 1}, value)
        at = end if end - at <= PAGE_BYTES else -(-end // PAGE_BYTES) * PAGE_BYTES


def of_a_commit(found: Found) -> dict[str, int]:
    """Return the fields of a commit record of a log, the four that mean something else among them."""
    names = {int(row["word"]): row["field"] for row in rows("Commit record")}
    for row in rows("Commit record of a log"):
        assert names[int(row["word"])] == row["field"]
    return {name: word_at(found.value, 8 * word) for word, name in names.items()}


def test_files(tmp_path: Path) -> None:
    said = {row["what"]: row["of a log"].strip("`") for row in rows("A log by itself")}
    kind = superblock.A_LOG
    assert bytes.fromhex(said["magic of `STORE`"]) == kind.magic != superblock.MAGIC
    assert int(said["format_version of `STORE`"]) == kind.version
    with oxidbm.Log(tmp_path / "log", codec="int", page_size=PAGE_BYTES) as log:
        log.append_many(range(5))
        log.truncate(log.tail)
        log.append_many(range(3))
    block = (tmp_path / "log" / directory.STORE).read_bytes()
    offsets = {row["field"]: (int(row["offset"]), int(row["bytes"])) for row in rows("STORE")}
    at = {name: block[offset : offset + size] for name, (offset, size) in offsets.items()}
    assert at["magic"] == kind.magic
    assert int.from_bytes(at["format_version"], "little") == kind.version
    assert int.from_bytes(at["seed"], "little") == int(said["seed of `STORE`"])
    assert at["key_codec"][1:].rstrip(b"\0").decode() == said["key_codec of `STORE`"]
    assert at["value_codec"][1:].rstrip(b"\0") == b"int"
    (row,) = (row for row in rows("CLEAN") if row["field"] == "count")
    mark = (tmp_path / "log" / directory.CLEAN).read_bytes()
    assert word_at(mark, int(row["offset"])) == 3
    assert not (tmp_path / "log" / directory.CHECKPOINTS).exists()


def test_records(tmp_path: Path) -> None:
    entries = [b"", b"one", b"x" * 5000, b"zwei", bytes(4000)]
    with oxidbm.Log(tmp_path / "log", page_size=PAGE_BYTES) as log:
        places = [log.append(entry) for entry in entries[:3]]
        log.commit(b"a cookie")
        places += [log.append(entry) for entry in entries[3:]]
        assert log.commit(number=7) == 7
    found = list(records(tmp_path / "log"))
    plain = [one for one in found if not one.flags - {"page_run"}]
    assert [(one.address, one.value) for one in plain] == list(zip(places, entries, strict=True))
    for number, one in enumerate(plain):
        expected = {"previous_address": number, "version": int(content("Entry", "version"))}
        assert one.info == expected | {"tombstone": 0, "invalid": 0, "unverified": 0}
        assert one.seal["value_capacity"] == (len(one.value) + 7) // 8
        assert one.flags == ({"page_run"} if len(one.value) > PAGE_BYTES - record.HEADER_BYTES else set())
    (cookie,) = (one for one in found if "session" in one.flags)
    assert (cookie.value, cookie.info["previous_address"], cookie.flags) == (b"a cookie", 0, {"session"})
    commits = [one for one in found if one.flags == {"commit"}]
    assert len(found) == len(plain) + 1 + len(commits)
    assert found.index(commits[0]) == found.index(cookie) + 1
    first, second = (of_a_commit(one) for one in commits)
    assert [one.info["previous_address"] for one in commits] == [0, commits[0].address]
    assert (first["sequence"], first["durable_sequence"], first["count"], first["records"]) == (1, 0, 3, 4)
    assert (second["sequence"], second["durable_sequence"], second["count"], second["records"]) == (7, 1, 5, 2)
    for said in (first, second):
        assert said["pending"] == cookie.address
        assert (said["begin"], said["live_bytes"]) == (address.FIRST_ADDRESS, 0)
        assert said["sessions"] == int(content("Commit record of a log", "sessions"))


def test_truncation(tmp_path: Path) -> None:
    with oxidbm.Log(tmp_path / "log", page_size=PAGE_BYTES) as log:
        places = [log.append(b"entry") for _ in range(4)]
        log.commit(b"kept")
        log.truncate(places[2])
        log.commit()
        log.truncate(log.tail)
        end = log.tail
        log.commit()
    commits = [of_a_commit(one) for one in records(tmp_path / "log") if "commit" in one.flags]
    cookies = [one.address for one in records(tmp_path / "log") if "session" in one.flags]
    assert [(said["begin"], said["live_bytes"], said["count"]) for said in commits] == [
        (address.FIRST_ADDRESS, 0, 4),
        (places[2], 2, 4),
        (end, 4, 4),
    ]
    assert [said["pending"] for said in commits] == [cookies[0], cookies[0], cookies[1]]
    with oxidbm.Log(tmp_path / "log") as log:
        assert (len(log), log.cookie, log.begin) == (0, b"kept", end)


def test_numbers_in_the_text() -> None:
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    found = re.search(r"the cookie, 1 to (\d+) bytes, as its value", text)
    assert found is not None
    assert int(found[1]) == cookies.COOKIE_BYTES_MAX
    assert f"An entry takes {record.HEADER_BYTES} bytes at least" in text
    assert commit_record.COMMIT_SHAPE >> record.FLAGS_SHIFT == record.FLAG_COMMIT


def test_the_file_of_a_reader(tmp_path: Path) -> None:
    """The slots are written in turn, and say where the reader goes on, the number of the entry there, and when."""
    with oxidbm.Log(tmp_path / "log") as log:
        addresses = [log.append(b"%d" % number) for number in range(4)]
        log.commit()
        with log.reader("a b") as reader:
            for done in (0, 2):
                reader.done(addresses[done])
    data = (tmp_path / "log" / "readers" / "a%20b.pos").read_bytes()
    found = []
    for index, slot in enumerate((data[:64], data[64:])):
        said = {}
        for row in rows("Readers"):
            start = int(row["offset"])
            said[row["field"]] = slot[start : start + int(row["size"])]
        assert said["magic"] == bytes.fromhex(content("Readers", "magic").strip("`"))
        assert int.from_bytes(said["checksum"], "little") == zlib.crc32(slot[:48])
        assert not any(slot[52:])
        counter = word_at(said["counter"], 0)
        assert counter & 1 == index
        found.append((counter, word_at(said["address"], 0), word_at(said["number"], 0)))
        assert word_at(said["durable_sequence"], 0) == 1
        assert abs(word_at(said["time_ns"], 0) - time.time_ns()) < 10**12
    assert sorted(found) == [(2, addresses[1], 1), (3, addresses[3], 3)]
