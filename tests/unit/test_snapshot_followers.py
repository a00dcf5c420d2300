"""A reader beside a writer that takes snapshots: it sees each as the newest state, until the log has a later one."""

from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.device.segments import FileDevice
from tests.inside import abandon, log_of
from tests.unit.helpers import disk_store

pytestmark = pytest.mark.filterwarnings("error")


def open_writer(path: Path) -> oxidbm.Store:
    return oxidbm.Store(path, durability="manual", checkpoints=False, page_size="64KiB", memory="4MiB")


def open_reader(path: Path) -> oxidbm.Store:
    return oxidbm.Store(path, read_only=True, memory="4MiB")


def files_of(store: oxidbm.Store) -> FileDevice:
    """Return the store's files."""
    device = log_of(store).device
    assert isinstance(device, FileDevice)
    return device


def write(store: oxidbm.Store, model: dict[bytes, bytes], turn: int) -> None:
    for number in range(turn * 50, turn * 50 + 200):
        store[b"%d" % number] = model[b"%d" % number] = b"turn %d" % turn
    store.pop(b"%d" % (turn * 50), None)
    model.pop(b"%d" % (turn * 50), None)


def test_a_reader_sees_each_snapshot_and_what_the_log_has_after_it(tmp_path: Path) -> None:
    model: dict[bytes, bytes] = {}
    with open_writer(tmp_path / "store") as writer:
        write(writer, model, 0)
        writer.sync()
        with open_reader(tmp_path / "store") as reader:
            for turn in range(1, 12):
                write(writer, model, turn)
                assert not reader.refresh()
                if turn % 4 == 3:
                    writer.sync()
                else:
                    writer.checkpoint("incremental" if turn % 4 == 2 else "snapshot")
                assert reader.refresh()
                assert dict(reader.items()) == model
                assert reader.check() == []
                assert reader.stats()["commit_sequence"] == writer.stats()["commit_sequence"]
                assert not reader.refresh()
                with open_reader(tmp_path / "store") as fresh:
                    assert dict(fresh.items()) == model


def test_a_reader_at_a_snapshot_goes_on_where_a_writer_has_put_it_into_the_log(tmp_path: Path) -> None:
    model: dict[bytes, bytes] = {}
    writer = open_writer(tmp_path / "store")
    write(writer, model, 0)
    writer.checkpoint("snapshot")
    at_snapshot = dict(model)
    write(writer, model, 1)
    abandon(writer)
    with open_reader(tmp_path / "store") as reader:
        assert dict(reader.items()) == at_snapshot
        assert not reader.refresh()
        with open_writer(tmp_path / "store") as writer:
            assert dict(writer.items()) == at_snapshot
            reader.refresh()
            assert dict(reader.items()) == at_snapshot
            writer[b"later"] = at_snapshot[b"later"] = b"1"
            writer.sync()
            assert reader.refresh()
            assert dict(reader.items()) == at_snapshot
            assert reader.check() == []


def test_a_damaged_snapshot_is_looked_at_once_and_passed_by(tmp_path: Path) -> None:
    model: dict[bytes, bytes] = {}
    with open_writer(tmp_path / "store") as writer:
        write(writer, model, 0)
        writer.sync()
        with open_reader(tmp_path / "store") as reader:
            seen = dict(model)
            write(writer, model, 1)
            made = writer.checkpoint("snapshot")
            file = tmp_path / "store" / "checkpoints" / f"{made.token}.snapshot.zst"
            data = file.read_bytes()
            file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            for _ in range(3):
                assert not reader.refresh()
                assert dict(reader.items()) == seen
            writer.sync()
            assert reader.refresh()
            assert dict(reader.items()) == model


def test_a_reader_at_a_snapshot_goes_on_where_the_log_behind_it_was_compacted_away(tmp_path: Path) -> None:
    """Nothing leads from the snapshot to the newer commits then: neither it nor the log's part behind it is there."""
    model: dict[bytes, bytes] = {}
    with open_writer(tmp_path / "store") as writer:
        write(writer, model, 0)
        writer.sync()
        files_of(writer).roll()
        for number in range(4):  # the next page begins another file, and the snapshot is taken there
            writer[b"large %d" % number] = model[b"large %d" % number] = bytes(40_000)
        writer.checkpoint("snapshot")
        with open_reader(tmp_path / "store") as reader:
            assert dict(reader.items()) == model
            first = files_of(writer).first_named()
            for turn in range(1, 5):
                write(writer, model, turn)
                writer.sync()
                files_of(writer).roll()
                writer[b"large"] = model[b"large"] = bytes(70_000)  # the next page begins another file
                writer.sync()
                writer.purge(keep=0)
                writer.reorganize()
            writer.sync()
            assert files_of(writer).first_named() > first
            assert reader.refresh()
            assert dict(reader.items()) == model
            assert reader.check() == []
            assert not reader.refresh()


@pytest.mark.parametrize("gives_back", [False, True])
def test_a_reader_leaves_the_first_snapshot_of_an_empty_store(tmp_path: Path, gives_back: bool) -> None:
    """It is purged, and what the log had at its commit may be given back, before anything else is committed."""
    with disk_store(tmp_path / "store") as store:
        made = store.checkpoint("incremental")
        reader = disk_store(tmp_path / "store", read_only=True)
        assert dict(reader) == {}
        assert not reader.refresh()
        store.purge(token=made.token)
        if gives_back:
            store.reorganize()
        store.update((b"%d" % number, b"x" * 3000) for number in range(6))
    with disk_store(tmp_path / "store") as store:
        assert reader.refresh()
        assert dict(reader) == dict(store)
        assert len(reader) == 6
        assert reader.check() == []
        store[b"more"] = b"1"
        store.sync()
        assert reader.refresh()
        assert reader[b"more"] == b"1"
        assert not reader.refresh()
    reader.close()
