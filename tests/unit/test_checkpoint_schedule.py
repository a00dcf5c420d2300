"""When images of the index are made: opening stays short, whatever kinds of checkpoint a user asks for and removes."""

from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm._core.durability.schedule import ENTRY_SECONDS
from tests.inside import abandon, checkpointer_of, disk_of, log_of, table_of
from tests.unit.helpers import disk_store

KEYS = 3000


def fill(store: oxidbm.Store) -> None:
    """Write so much that replaying it costs more than an image."""
    store.update((b"%d" % number, b"value") for number in range(KEYS))


def have_much_written(store: oxidbm.Store) -> None:
    """Let the store have written as much as makes an automatic checkpoint due."""
    checkpointer_of(store).schedule.records -= 1_000_000_000


def replayed(path: Path) -> int:
    """Return how many records opening replays."""
    with disk_store(path, read_only=True) as store:
        assert store.check() == []
        assert len(store) >= KEYS
        return store.recovery.records


def test_where_only_checkpoints_of_the_log_are_asked_for_an_image_is_made_besides(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        disk_of(store).stop()
        fill(store)
        store.checkpoint("log")
        assert [made.kind for made in store.checkpoints()] == ["log"]
        have_much_written(store)
        store.checkpoint("log")
        assert [(made.kind, made.automatic) for made in store.checkpoints()] == [
            ("log", False),
            ("fold-over", True),
            ("log", False),
        ]
        store[b"later"] = b"value"
        store.sync()
        abandon(store)
    assert replayed(path) == 2  # the record and its commit's


def test_none_is_made_where_the_store_is_to_make_none(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store", checkpoints=False) as store:
        fill(store)
        have_much_written(store)
        store.checkpoint("log")
        store.sync()
        assert [made.kind for made in store.checkpoints()] == ["log"]


@pytest.mark.parametrize("kind", ["log", "snapshot", "incremental"])
def test_a_checkpoint_that_opening_cannot_begin_with_puts_none_off(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        disk_of(store).stop()
        fill(store)
        schedule = checkpointer_of(store).schedule
        before = schedule.begun, schedule.records, schedule.records_imaged, schedule.token
        store.checkpoint(kind)
        assert (schedule.begun, schedule.records, schedule.records_imaged, schedule.token) == before
        have_much_written(store)
        store[b"later"] = b"value"
        store.sync()
        assert checkpointer_of(store).making()
        checkpointer_of(store).finish()
        abandon(store)
    assert replayed(path) == 0


@pytest.mark.parametrize("kind", ["fold-over", "index"])
def test_one_that_it_can_begin_with_is_as_good_as_one_of_its_own(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        disk_of(store).stop()
        fill(store)
        have_much_written(store)
        made = store.checkpoint(kind)
        store[b"later"] = b"value"
        store.sync()
        assert [known.token for known in store.checkpoints()] == [made.token]
    assert replayed(path) == 2  # the record and its commit's


@pytest.mark.parametrize("how", ["keep", "token"])
def test_a_store_that_ends_makes_an_image_in_place_of_one_that_was_purged(tmp_path: Path, how: str) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        fill(store)
        made = store.checkpoint("fold-over")
        if how == "keep":
            store.purge(keep=0)
        else:
            store.purge(token=made.token)
        store[b"later"] = b"value"
    assert replayed(path) == 0


def test_a_store_that_was_opened_with_a_snapshot_does_so_too(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        fill(store)
        first = store.checkpoint("snapshot")
        abandon(store)
    with disk_store(path) as store:
        assert store.recovery.checkpoint == first.token
        store.update((b"%d" % number, b"other") for number in range(100))
        store.checkpoint("snapshot")
        assert store.purge(keep=1) == [first.token]
        store[b"later"] = b"value"
    assert replayed(path) == 0


def test_what_is_purged_is_due_anew(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        disk_of(store).stop()
        fill(store)
        made = store.checkpoint("fold-over")
        schedule = checkpointer_of(store).schedule
        assert schedule.token == made.token
        assert not schedule.pays_at_end()
        store.purge(token=made.token)
        assert schedule.token == ""
        assert schedule.pays_at_end()


def test_where_the_last_image_is_purged_the_whole_log_counts(tmp_path: Path) -> None:
    """Few keys that were written often: what an opening would replay is the log, and not a record of each key."""
    with disk_store(tmp_path / "store", memory="8MiB") as store:
        disk_of(store).stop()
        for turn in range(20):
            store.update((b"%d" % number, b"%d" % turn) for number in range(500))
            store.sync()
        made = store.checkpoint()
        schedule = checkpointer_of(store).schedule
        assert log_of(store).records - schedule.records < 500
        store.purge(token=made.token)
        assert 8000 < log_of(store).records - schedule.records < 12000
        assert schedule.pays_at_end()


def test_images_keep_up_with_keys_that_are_loaded_faster_than_they_are_paid_for(tmp_path: Path) -> None:
    """The time that an image has to wait for is that of the last one's size, which does not grow with the load."""
    with disk_store(tmp_path / "store") as store:
        disk_of(store).stop()
        fill(store)
        schedule = checkpointer_of(store).schedule
        store.checkpoint()
        have_much_written(store)
        assert not schedule.due(0), "just now"
        began = schedule.begun
        table_of(store).index.entries += 1_000_000_000  # as if so many had come since
        schedule.begun = began - (KEYS + 100) * ENTRY_SECONDS
        schedule.bytes_end -= 10**11
        due = schedule.due(0)
        table_of(store).index.entries -= 1_000_000_000
        assert due
        schedule.begin()
        assert not schedule.due(1 << 60)
