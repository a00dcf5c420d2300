"""The golden bytes: a tiny store with fixed id, seed and clock is written as it was when the format was fixed.

`golden.hex` holds them. A difference means that stores on people's disks can no longer be read, or that the format
version has to change; it is never repaired by writing the fixture anew.
"""

from pathlib import Path

import oxidbm
from tests.format.stores import SEGMENT, TINY_FILES, clock, contents, make_tiny, open_store, record_offsets

GOLDEN = Path(__file__).with_name("golden.hex")


def golden_files() -> dict[str, bytes]:
    """Return the fixture: file name to bytes. A line with a colon begins a file, the others are its bytes in hex."""
    found: dict[str, bytes] = {}
    name = ""
    for line in GOLDEN.read_text(encoding="ascii").splitlines():
        if line.endswith(":"):
            name = line[:-1]
            found[name] = b""
        else:
            found[name] += bytes.fromhex(line)
    return found


def test_written_bytes_are_the_golden_ones(tmp_path: Path) -> None:
    make_tiny(tmp_path / "store")
    golden = golden_files()
    assert sorted(golden) == sorted(TINY_FILES)
    for name in TINY_FILES:
        assert (tmp_path / "store" / name).read_bytes().hex(" ", 8) == golden[name].hex(" ", 8), name


def test_nothing_else_is_in_the_directory(tmp_path: Path) -> None:
    make_tiny(tmp_path / "store")
    names = sorted(path.relative_to(tmp_path / "store").as_posix() for path in (tmp_path / "store").rglob("*"))
    assert names == ["CLEAN", "LOCK", "STORE", "log", SEGMENT]


def test_golden_bytes_are_read(tmp_path: Path) -> None:
    expected = make_tiny(tmp_path / "made")
    store = tmp_path / "golden"
    (store / "log").mkdir(parents=True)
    for name, data in golden_files().items():
        (store / name).write_bytes(data)
    assert contents(store) == expected
    assert contents(store, read_only=False) == expected
    with open_store(store) as opened:
        assert opened.check() == []
        with opened.session("s1") as session:
            assert session.serial == 3


def test_reading_changes_no_byte(tmp_path: Path) -> None:
    make_tiny(tmp_path / "store")
    before = {name: (tmp_path / "store" / name).read_bytes() for name in TINY_FILES}
    contents(tmp_path / "store")
    contents(tmp_path / "store", read_only=False)
    assert {name: (tmp_path / "store" / name).read_bytes() for name in TINY_FILES} == before


def test_the_segment_is_records_from_address_64_on(tmp_path: Path) -> None:
    make_tiny(tmp_path / "store")
    data = (tmp_path / "store" / SEGMENT).read_bytes()
    assert data[:64] == bytes(64)
    with oxidbm.Store(tmp_path / "store", read_only=True, memory="1MiB", clock=clock) as store:
        scanned = [record.address for record in store.scan(live=False)]
    offsets = record_offsets(data)
    assert [offset for offset in offsets if offset in scanned] == scanned
    assert len(offsets) == len(scanned) + 3  # commit and session records are no user's records


def test_the_clean_mark_goes_before_anything_is_written(tmp_path: Path) -> None:
    make_tiny(tmp_path / "store")
    with open_store(tmp_path / "store") as store:
        store[b"more"] = b"bytes"
        assert (tmp_path / "store" / "CLEAN").exists()
        store.sync()
        assert not (tmp_path / "store" / "CLEAN").exists()
    assert (tmp_path / "store" / "CLEAN").exists()
