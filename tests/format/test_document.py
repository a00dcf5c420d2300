"""docs/format.md and the constants of the core say the same: the tables are read out of the document and compared."""

import io
import json
import re
import zlib
from pathlib import Path
from typing import Any

import zstandard

import oxidbm
from oxidbm._core import address, cookies
from oxidbm._core.device import directory, segments
from oxidbm._core.durability import (
    checkpoint,
    commit_record,
    compression,
    image_file,
    session_record,
    snapshot_file,
    superblock,
    tokens,
)
from oxidbm._core.durability.serials import SessionState
from oxidbm._core.index import entry, image
from oxidbm._core.log import record, snapshot
from oxidbm._core.table import pending
from tests.format import codec
from tests.format.stores import STORE_ID, clock, make_tiny, open_store
from tests.inside import abandon
from tests.support import ROOT

DOCUMENT = ROOT / "docs" / "format.md"
Row = dict[str, str]


def tables() -> dict[str, list[list[Row]]]:
    """Return heading to the tables below it; a table is its rows, each column title to cell."""
    found: dict[str, list[list[Row]]] = {}
    heading = ""
    titles: list[str] = []
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("#").strip()
            found[heading] = []
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            titles = []
        elif not titles:
            titles = cells
            found[heading].append([])
        elif not set(line) <= set("|-"):
            found[heading][-1].append(dict(zip(titles, cells, strict=True)))
    return found


def rows(heading: str, table: int = 0) -> list[Row]:
    """Return the rows of one table below a heading."""
    found = tables()[heading][table]
    assert found
    return found


def bit_ranges(heading: str) -> dict[str, tuple[int, int]]:
    """Return field to shift and width, and assert that the fields lie side by side from bit 0 to bit 63."""
    found = {}
    following = 0
    for row in rows(heading):
        first, _, last = row["bits"].partition("-")
        assert int(first) == following, f"{row['field']} does not follow what stands before it"
        following = int(last or first) + 1
        found[row["field"]] = (int(first), following - int(first))
    assert following == 64
    return found


def mask(width: int) -> int:
    """Return that many low bits."""
    return (1 << width) - 1


def signed(word: int) -> int:
    """Return an unsigned word as the signed one that the core uses."""
    return word - 2**64 if word >> 63 else word


def check_offsets(heading: str, fields: int) -> int:
    """Assert that the fields of a small file lie side by side, and return where the checksum stands."""
    following = 0
    table = rows(heading)
    assert len(table) == fields
    for row in table:
        assert int(row["offset"]) == following
        following += int(row["bytes"])
    assert table[-1]["field"] == "checksum"
    assert int(table[-1]["bytes"]) == superblock.SUM.size
    return int(table[-1]["offset"])


def content(heading: str, field: str) -> str:
    """Return the content column of one field."""
    (row,) = (row for row in rows(heading) if row["field"] == field)
    return row["content"]


def test_directory() -> None:
    assert [row["name"].strip("`") for row in rows("Directory")] == [
        directory.STORE,
        directory.LOCK,
        directory.CLEAN,
        directory.LOG,
        directory.CHECKPOINTS,
    ]


def test_superblock() -> None:
    assert check_offsets("STORE", 8) == superblock.SUPERBLOCK.size
    assert bytes.fromhex(content("STORE", "magic").strip("`")) == superblock.MAGIC
    assert int(content("STORE", "format_version")) == superblock.FORMAT_VERSION
    assert f"The format's version is {superblock.FORMAT_VERSION}." in DOCUMENT.read_text(encoding="utf-8")
    assert content("STORE", "page_bits").endswith(f"{address.PAGE_BITS_MIN} to {address.PAGE_BITS_MAX}")
    packed = superblock.SUPERBLOCK.pack(superblock.MAGIC, superblock.FORMAT_VERSION, STORE_ID, 2, 3, b"int", b"str")
    for field, value in [("format_version", superblock.FORMAT_VERSION), ("seed", 2), ("page_bits", 3)]:
        (row,) = (row for row in rows("STORE") if row["field"] == field)
        assert int.from_bytes(packed[int(row["offset"]) :][: int(row["bytes"])], "little") == value
    for field, name in [("key_codec", b"int"), ("value_codec", b"str")]:
        (row,) = (row for row in rows("STORE") if row["field"] == field)
        kept = packed[int(row["offset"]) :][: int(row["bytes"])]
        assert kept == bytes([len(name)]) + name + bytes(int(row["bytes"]) - 1 - len(name))


def test_clean_mark() -> None:
    assert check_offsets("CLEAN", 6) == superblock.CLEAN_MARK.size
    assert bytes.fromhex(content("CLEAN", "magic").strip("`")) == superblock.CLEAN_MAGIC
    packed = superblock.CLEAN_MARK.pack(superblock.CLEAN_MAGIC, STORE_ID, 1, 2, 3)
    for field, value in [("tail", 1), ("sequence", 2), ("count", 3)]:
        (row,) = (row for row in rows("CLEAN") if row["field"] == field)
        assert int.from_bytes(packed[int(row["offset"]) :][: int(row["bytes"])], "little") == value


def test_info_word() -> None:
    bits = bit_ranges("info")
    assert bits["previous_address"] == (0, address.ADDRESS_BITS)
    assert mask(bits["previous_address"][1]) == address.ADDRESS_MASK
    assert bits["version"][0] == record.VERSION_SHIFT
    assert mask(bits["version"][1]) == record.VERSION_MASK
    assert int(content("info", "version")) == record.VERSION_FIRST
    assert bits["tombstone"][1] == bits["invalid"][1] == bits["unverified"][1] == 1
    assert 1 << bits["tombstone"][0] == record.TOMBSTONE
    assert bits["invalid"][0] == record.INVALID_SHIFT
    plain = record.pack_info(0, False, False)
    assert signed(plain | 1 << bits["unverified"][0]) == record.pack_info(0, False, True)


def test_shape_word() -> None:
    bits = bit_ranges("shape")
    assert bits["value_length"][0] == 0
    assert mask(bits["value_length"][1]) == record.VALUE_LENGTH_MASK == record.VALUE_LENGTH_MAX
    assert content("shape", "value_length").endswith(f" {record.VALUE_LENGTH_MAX}")
    assert bits["key_length"][0] == record.KEY_LENGTH_SHIFT
    assert mask(bits["key_length"][1]) == record.KEY_LENGTH_MASK == record.KEY_LENGTH_MAX
    assert content("shape", "key_length").endswith(f" {record.KEY_LENGTH_MAX}")
    assert bits["flags"][0] == record.FLAGS_SHIFT


def test_flags() -> None:
    constants = {
        "has_expiry": (record.FLAG_EXPIRY, record.SHAPE_EXPIRY),
        "page_run": (record.FLAG_PAGE_RUN, record.SHAPE_PAGE_RUN),
        "commit": (record.FLAG_COMMIT, record.SHAPE_COMMIT),
        "session": (record.FLAG_SESSION, record.SHAPE_SESSION),
        "has_tag": (record.FLAG_TAG, record.SHAPE_TAG),
    }
    table = {row["flag"]: 1 << int(row["bit"]) for row in rows("flags")}
    assert table == {name: flag for name, (flag, _) in constants.items()}
    assert sum(table.values()) == record.FLAGS_KNOWN
    for flag, in_shape in constants.values():
        assert in_shape == flag << record.FLAGS_SHIFT


def test_seal_word() -> None:
    bits = bit_ranges("seal")
    assert bits["checksum"][0] == 0
    assert mask(bits["checksum"][1]) == record.CHECKSUM_MASK
    assert bits["value_capacity"][0] == record.CAPACITY_SHIFT
    assert signed(mask(bits["value_capacity"][1]) << record.CAPACITY_SHIFT) == record.SEAL_CAPACITY
    assert content("seal", "value_capacity").endswith(f"at most {record.CAPACITY_MAX}")


def test_record() -> None:
    table = rows("Record")
    assert [int(row["word"]) for row in table] == list(range(len(table)))
    assert [row["field"] for row in table if row["there"] == "always"] == ["info", "shape", "seal"]
    assert sum(row["there"] == "always" for row in table) == record.HEADER_WORDS
    assert [row["field"] for row in table[-2:]] == ["expiry", "tag"]
    assert record.key_word(record.SHAPE_EXPIRY) == record.HEADER_WORDS + 1
    assert record.tag_word(record.SHAPE_TAG) == record.HEADER_WORDS
    assert record.key_word(record.SHAPE_TAG) == record.HEADER_WORDS + 1
    assert record.tag_word(record.SHAPE_EXPIRY | record.SHAPE_TAG) == int(table[-1]["word"])
    assert record.key_word(record.SHAPE_EXPIRY | record.SHAPE_TAG) == record.HEADER_WORDS + 2


def test_addresses_and_segments() -> None:
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert f"{address.ADDRESS_BITS} bits wide" in text
    assert f"the first record stands at address {address.FIRST_ADDRESS}," in text
    assert f"A word is {['eight'][address.WORD_BYTES - 8]} bytes" in text
    found = re.search(r"`log/(N+)(\.\w+)`: ten digits", text)
    assert found is not None
    assert len(found[1]) == segments.SEGMENT_DIGITS == len("N" * 10)
    assert found[2] == directory.SEGMENT_SUFFIX
    assert segments.segment_name(7) == "0" * 9 + "7" + found[2]


def test_commit_record(tmp_path: Path) -> None:
    table = rows("Commit record")
    names = [row["field"] for row in table]
    assert [int(row["word"]) for row in table] == list(range(commit_record.COMMIT_WORDS))
    written = commit_record.CommitRecord()
    for number, name in enumerate(names[:-1]):
        part = written.table if name in ("count", "pending", "live_bytes") else written.log
        setattr(part, name, 100 + number)
    written.sessions = 108
    data = commit_record.encode(written)
    words = [int.from_bytes(data[offset : offset + 8], "little") for offset in range(0, len(data), 8)]
    assert words == list(range(100, 100 + len(names)))
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert f"all commit records are {commit_record.COMMIT_RECORD_BYTES} bytes long" in text
    assert record.SHAPE_COMMIT | 8 * len(names) == commit_record.COMMIT_SHAPE


def test_session_record() -> None:
    table = rows("Session record")
    assert [int(row["word"]) for row in table] == list(range(session_record.SESSION_WORDS))
    written = SessionState("name", 77, 0)
    for number, row in enumerate(table):
        setattr(written, row["field"], 100 + number)
    data = session_record.encode_session(written)
    assert [int.from_bytes(data[offset : offset + 8], "little") for offset in range(0, len(data), 8)] == [100, 101]
    assert content("Session record", "serial").endswith(f"at most {session_record.SERIAL_MAX}")


def test_checkpoint_files(tmp_path: Path) -> None:
    assert [row["name"] for row in rows("Checkpoints")] == [
        f"`{directory.CHECKPOINTS}/TOKEN{suffix}`"
        for suffix in (directory.METADATA_SUFFIX, directory.IMAGE_SUFFIX, directory.SNAPSHOT_SUFFIX)
    ]
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert f"Its token is {tokens.SEQUENCE_DIGITS} digits or more" in text
    assert re.fullmatch("0{11}7-[0-9a-f]{8}", tokens.token_for(7))
    make_tiny(tmp_path / "store")
    with oxidbm.Store(tmp_path / "store") as store:
        made = store.checkpoint()
    place = tmp_path / "store" / directory.CHECKPOINTS
    said = json.loads((place / f"{made.token}.json").read_text(encoding="utf-8"))
    assert [row["field"] for row in rows("TOKEN.json")] == list(said)
    assert int(content("TOKEN.json", "format_version").partition(";")[0]) == said["format_version"] == 1
    assert checkpoint.CHECKPOINT_VERSION == 1
    assert re.findall('"([a-z-]+)"', content("TOKEN.json", "kind")) == list(checkpoint.KINDS)
    assert f"at most {cookies.COOKIE_BYTES_MAX} bytes, in base64" in content("TOKEN.json", "cookie")
    assert set(said["sessions"][0]) == set(re.findall("`([a-z_]+)`", text.partition("A session's object has")[2])[:4])
    wanted = said.pop("checksum")
    line = json.dumps(said, sort_keys=True, separators=(",", ":")).encode("ascii")
    assert wanted == f"{zlib.crc32(line):08x}"
    data = (place / f"{made.token}.index.zst").read_bytes()
    assert (data[-4:].hex(), len(data)) == (said["image_sum"], said["image_bytes"])


def said_of(store: Path, token: str) -> dict[str, Any]:
    """Return what a checkpoint's file says."""
    found: dict[str, Any] = json.loads((store / "checkpoints" / f"{token}.json").read_text(encoding="utf-8"))
    return found


def test_what_a_snapshot_says_besides(tmp_path: Path) -> None:
    path = tmp_path / "store"
    make_tiny(path)
    with open_store(path) as store:
        at_rest = said_of(path, store.checkpoint("snapshot").token)
        store[b"delta"] = b"written since"
        whole = said_of(path, store.checkpoint("snapshot").token)
        part = said_of(path, store.checkpoint("incremental").token)
    fields = [row["field"] for row in rows("TOKEN.json")]
    own = [row["field"] for row in rows("TOKEN.json", 1)]
    at = fields.index("expiring")
    for said in (at_rest, whole, part):
        assert list(said) == fields[:at] + own + fields[at:]
    assert (at_rest["kind"], at_rest["base"], at_rest["snapshot_sum"]) == ("snapshot", None, "")
    assert [at_rest[field] for field in own[2:]] == ["", 0, 0, 0, 0, 0, 0]
    assert not (path / "checkpoints" / f"{at_rest['token']}.snapshot.zst").exists()
    assert (whole["base"], part["base"]) == (None, whole["token"])
    assert [part[field] for field in ("image_sum", "image_bytes", "raw_bytes", "entries")] == ["", 0, 0, 0]
    assert (whole["sequence"], part["sequence"]) == (at_rest["sequence"] + 1, at_rest["sequence"] + 2)
    assert (whole["previous"], whole["previous_sum"]) == (at_rest["commit"], at_rest["commit_sum"])
    assert whole["durable_to"] == at_rest["end"]
    assert (whole["copied_from"], whole["segments"]) == (address.FIRST_ADDRESS, [])
    assert whole["commit"] == whole["copied_to"] == whole["end"] - commit_record.COMMIT_RECORD_BYTES
    for said in (whole, part):
        data = (path / "checkpoints" / f"{said['token']}.snapshot.zst").read_bytes()
        assert (data[-4:].hex(), len(data)) == (said["snapshot_sum"], said["snapshot_bytes"])
        assert len(zstandard.ZstdDecompressor().decompressobj().decompress(data)) == said["snapshot_raw_bytes"]


def decoded_snapshot(store: Path, said: dict[str, Any]) -> tuple[bytes, list[int], dict[int, bytes]]:
    """Return the commit record, the buried addresses and the pieces of a snapshot's file, by the document alone."""
    data = (store / "checkpoints" / f"{said['token']}.snapshot.zst").read_bytes()
    assert zstandard.get_frame_parameters(data).has_checksum
    content = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    table = rows("TOKEN.snapshot.zst")
    assert [int(row["word"]) for row in table] == list(range(snapshot_file.SNAPSHOT_HEADER.size // 8))
    magic = bytes.fromhex(next(row["content"] for row in table if row["field"] == "magic").strip("`"))
    assert magic == snapshot_file.SNAPSHOT_MAGIC == content[:8]

    def word(at: int) -> int:
        return int.from_bytes(content[at : at + 8], "little", signed=True)

    header = {row["field"]: word(8 * int(row["word"])) for row in table[1:]}
    version = next(row["content"] for row in table if row["field"] == "snapshot_version")
    assert int(version) == header.pop("snapshot_version") == snapshot_file.SNAPSHOT_VERSION
    assert header == {field: said[field] for field in header}
    at = 8 * len(table)
    commit = content[at : at + 96]
    at += 96
    count = word(at)
    buried = [word(at + 8 * number) for number in range(1, count + 1)]
    at += 8 + 8 * count
    pieces: dict[int, bytes] = {}
    while (size := word(at + 8)) > 0:
        assert size <= snapshot.PIECE_BYTES_MAX
        pieces[word(at)] = content[at + 16 : at + 16 + size]
        at += 16 + size
    assert word(at) == 0
    assert word(at + 16) == sum(map(len, pieces.values()))
    assert at + 24 == len(content)
    stops = [start + len(piece) for start, piece in pieces.items()]
    assert all(stop <= start for stop, start in zip(stops, list(pieces)[1:], strict=False))
    assert said["copied_from"] <= min(pieces)
    assert max(stops) <= said["copied_to"]
    return commit, buried, pieces


def test_a_snapshot_by_the_document_alone(tmp_path: Path) -> None:
    """Put the logs of a snapshot and an incremental one together, and read them by a second writing of the format."""
    path = tmp_path / "store"
    make_tiny(path)
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert f"a size of 1 to {snapshot.PIECE_BYTES_MAX} bytes" in text
    with open_store(path) as store:
        store[b"delta"] = b"as it was"
        store[b"epsilon"] = b"deleted in place"
        store.update((b"%d" % number, b"fills pages" * 9) for number in range(60))
        whole = said_of(path, store.checkpoint("snapshot").token)
        store[b"delta"] = b"and as is"
        del store[b"epsilon"]
        store[b"zeta"] = b"is new"
        part = said_of(path, store.checkpoint("incremental").token)
        abandon(store)
    store_files = codec.read_image(path)
    log = store_files.segments[0][: whole["copied_from"]]
    for said, buried_count in ((whole, 0), (part, 1)):
        commit, buried, pieces = decoded_snapshot(path, said)
        assert len(buried) == buried_count
        log = log[: whole["copied_to"]].ljust(said["copied_to"], b"\0")
        for start, piece in pieces.items():
            log[start : start + len(piece)] = piece
        log = log.ljust(said["commit"], b"\0") + commit
        assert len(log) == said["end"]
        store_files.segments[0] = log
        found = [kept for _, _, kept in store_files.records()]
        assert all(log[kept.address :].startswith(kept.encode(store_files.checksum_key)) for kept in found)
        last = found[-1]
        numbers = dict(zip(codec.COMMIT_FIELDS, codec.words(last.value), strict=True))
        assert (last.address, last.previous, last.flags) == (said["commit"], said["previous"], codec.COMMIT)
        assert (numbers["sequence"], numbers["begin"]) == (said["sequence"], said["begin"])
        assert numbers["records"] == len([kept for kept in found if said["previous"] < kept.address]) - 1
        newest = {kept.key: kept for kept in found if not kept.flags & (codec.COMMIT | codec.SESSION)}
        assert newest[b"delta"].value == (b"as it was" if said is whole else b"and as is")
        assert newest[b"epsilon"].tombstone == (said is part)
        assert (b"zeta" in newest) == (said is part)
        assert [newest[b"epsilon"].address] == (buried or [newest[b"epsilon"].address])
    assert (
        whole["snapshot_raw_bytes"] > 5 * part["snapshot_raw_bytes"]
    )  # what was not changed is in the whole one alone


def test_an_image_by_the_document_alone(tmp_path: Path) -> None:
    """Decode an image by the tables and sentences of the document."""
    make_tiny(tmp_path / "store")
    with oxidbm.Store(tmp_path / "store") as store:
        made = store.checkpoint()
    data = (tmp_path / "store" / "checkpoints" / f"{made.token}.index.zst").read_bytes()
    assert zstandard.get_frame_parameters(data).has_checksum
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert f"whose window is at most {compression.WINDOW_BYTES_MAX} bytes" in text
    raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    words = [int.from_bytes(raw[i : i + 8], "little", signed=True) for i in range(0, len(raw), 8)]
    table = rows("TOKEN.index.zst")
    assert [int(row["word"]) for row in table] == list(range(image_file.IMAGE_HEADER.size // 8))
    assert bytes.fromhex(content("TOKEN.index.zst", "magic").strip("`")) == image_file.IMAGE_MAGIC == raw[:8]
    assert int(content("TOKEN.index.zst", "image_version")) == image_file.IMAGE_VERSION == words[1]
    said = {row["field"]: words[int(row["word"])] for row in table}
    assert [said[name] for name in ("sequence", "begin", "end", "count")] == [made.commit, made.begin, made.end, 4]
    at = len(table)
    assert words[at] == 0  # none is pending
    at += 1
    entries = []
    buckets = 0
    while True:
        plain, pairs = words[at : at + 2]
        assert max(plain, pairs) <= image.SLICE_WORDS
        at += 2
        if plain + pairs == 0:
            break
        entries += [word for word in words[at : at + plain] if word]
        entries += words[at + plain + 1 : at + plain + pairs : 2]
        buckets += plain // 8
        at += plain + pairs
    assert words[at:] == [len(entries)] == [4]
    assert buckets == said["low_mask"] + 1 + said["split"]
    bits = bit_ranges("entry")
    addresses = [(word & mask(bits["address"][1])) * 8 for word in entries]
    assert all(made.begin <= address < made.end for address in addresses)
    assert len(set(addresses)) == 4


def test_entry_and_pending_words() -> None:
    bits = bit_ranges("entry")
    assert mask(bits["address"][1]) == entry.ENTRY_ADDRESS
    assert bits["tag"] == (entry.TAG_SHIFT, entry.TAG_BITS)
    assert bits["mixed"] == (63, 1)
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert f"each at most {image.SLICE_WORDS}" in text
    found = re.search(r"bits 0 to (\d+) are the address .* bit (\d+) says that", text)
    assert found is not None
    assert int(found[1]) == address.ADDRESS_BITS - 1
    assert 1 << int(found[2]) == pending.WAS_PLAIN


def test_golden_store_is_what_the_document_says(tmp_path: Path) -> None:
    """Decode the golden store's last commit by the tables alone."""
    make_tiny(tmp_path / "store")
    tail_row = next(row for row in rows("CLEAN") if row["field"] == "tail")
    mark = (tmp_path / "store" / "CLEAN").read_bytes()
    tail = int.from_bytes(mark[int(tail_row["offset"]) :][: int(tail_row["bytes"])], "little")
    segment = (tmp_path / "store" / "log" / segments.segment_name(0)).read_bytes()
    assert len(segment) == tail
    names = [row["field"] for row in rows("Commit record")]
    value = segment[tail - 8 * len(names) :]
    said = {name: int.from_bytes(value[8 * i : 8 * i + 8], "little") for i, name in enumerate(names)}
    assert said == {
        "sequence": 2,
        "durable_sequence": 1,
        "begin": address.FIRST_ADDRESS,
        "count": 4,
        "pending": 0,
        "records": 4,
        "live_bytes": 40 + 40 + 56 + 40,
        "time_ns": int(clock() * 1e9),
        "sessions": 1,
    }
