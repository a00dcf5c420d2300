"""Background work beside commits that take long, and commits beside background work that does."""

import threading
import time
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.durability.checkpointer import NAMES
from oxidbm._core.log.flush import flush_for
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.inside import begin_compaction, checkpointer_of, compactor_of, disk_of, log_of
from tests.support import scaled
from tests.unit.helpers import disk_store, push_to_disk
from tests.unit.test_checkpoint_schedule import fill, have_much_written


@pytest.mark.parametrize("durability", ["manual", "interval"])
def test_an_image_that_is_ready_before_its_commit_is_durable(tmp_path: Path, durability: str) -> None:
    """The checkpoint waits for the commit, whoever makes that, and comes to its end without another write."""
    device = FaultyDevice(CrashDevice())
    with oxidbm.Store(tmp_path / "store", device=device, durability=durability, interval=3600) as store:  # type: ignore[call-overload]
        checkpointer = checkpointer_of(store)
        phases: list[str] = []

        def all_of_the_image() -> None:
            while checkpointer.making() and checkpointer.advance():
                pass
            phases.append(NAMES[checkpointer.phase])

        def meanwhile() -> None:
            other = threading.Thread(target=all_of_the_image)
            other.start()
            other.join(60)

        for turn in range(3):
            disk_of(store).stop()
            fill(store)
            store[b"turn"] = b"%d" % turn
            have_much_written(store)
            checkpointer.schedule.begun = -1e9  # the last one, however short the turn before was
            device.before("sync", meanwhile, times=1)
            store.sync()
            assert phases.pop() == "DURABLE"
            disk_of(store).worker.stopping = False
            deadline = time.monotonic() + 60
            while checkpointer.making() and time.monotonic() < deadline:
                disk_of(store).call()
                time.sleep(0.001)
            assert store.stats()["checkpoint_failure"] == ""
            assert store.checkpoints()[-1].commit == store.stats()["commit_sequence"]
            assert store.checkpoints()[-1].automatic


def test_a_checkpoint_that_waits_for_its_commit_is_woken_by_it(tmp_path: Path) -> None:
    device = FaultyDevice(CrashDevice())
    with oxidbm.Store(tmp_path / "store", device=device, durability="manual") as store:
        fill(store)
        have_much_written(store)

        def until_it_waits() -> None:
            deadline = time.monotonic() + 60
            while NAMES[checkpointer_of(store).phase] != "DURABLE" and time.monotonic() < deadline:
                disk_of(store).call()
                time.sleep(0.001)
            time.sleep(0.05)  # the thread sleeps, as long as nobody writes

        device.before("sync", until_it_waits, times=1)
        store.sync()
        deadline = time.monotonic() + 60
        while not store.checkpoints() and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(store.checkpoints()) == 1


def test_commits_go_on_beside_a_reorganization(tmp_path: Path) -> None:
    """What was written is durable within the interval, however long all of it takes."""
    with disk_store(tmp_path / "store", durability="interval", interval=1e-6) as store:
        for number in range(scaled(30_000, 3_000)):
            store[b"%d" % number] = b"value" * 10
        before = store.stats()["durable_sequence"]
        store.reorganize()
        assert store.stats()["durable_sequence"] > before + 3


def test_commits_go_on_while_a_compaction_settles(tmp_path: Path) -> None:
    count = scaled(20_000, 3000)
    with disk_store(tmp_path / "store", durability="interval", interval=1e-6, memory="16MiB") as store:
        disk = disk_of(store)
        disk.stop()
        for value in (b"first", b"blind"):
            store.update((b"%d" % number, value) for number in range(count))
            push_to_disk(store)
        assert store.stats()["unverified"] > count // 2
        log = log_of(store)
        log.device.roll()
        current = begin_compaction(store, log.tail)
        while current.slice(1 << 20, False):
            flush_for(log, current.wanted_room())
        before = store.stats()["durable_sequence"]
        for number in range(10):
            store[b"%d" % number] = b"more"
        assert compactor_of(store).finish(current)
        assert store.stats()["unverified"] == 0
        assert store.stats()["durable_sequence"] > before + 1  # that of the new begin is one
