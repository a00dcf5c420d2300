"""The state machine on each device: files read through mmap, files read with pread, a user's own device, memory.

Sessions come and go in all of them; keys that expire and the ordered view are on in some, and a reader follows files.
"""

import pytest
from hypothesis.stateful import rule

import oxidbm
from oxidbm import Store
from oxidbm._core.device.device import Device
from oxidbm.testing import CrashDevice
from tests.inside import table_of
from tests.model.backups import BackupRules
from tests.model.features import ExpiringRules, OrderedRules, SessionRules
from tests.model.following import FollowerRules
from tests.model.machine import PAGE_BYTES, DiskMachine, StoreMachine


class MappedMachine(BackupRules, ExpiringRules, SessionRules, FollowerRules):
    """Segment files, read through mmap, wherever they are."""

    mapped = True


class PreadMachine(BackupRules, OrderedRules, SessionRules, FollowerRules):
    """Segment files, read with pread."""

    mapped = False


class OwnDeviceMachine(ExpiringRules, OrderedRules, SessionRules, DiskMachine):
    """An interpreted device, of which a crash leaves what was synced and any part of the rest."""

    device: CrashDevice

    def open_device(self) -> Device:
        if not hasattr(self, "device"):
            self.device = CrashDevice(PAGE_BYTES)
        return self.device

    def after_crash(self) -> None:
        self.device = self.device.crash(seed=self.written)


class MemoryMachine(ExpiringRules, OrderedRules, SessionRules, StoreMachine):
    """A store without a path: no durability, records larger than a page, compaction within its budget."""

    memory = "4MiB"

    def open(self) -> Store:
        store = Store(memory=self.memory, page_size=PAGE_BYTES, clock=self.clock, ordered=self.ordered)
        table_of(store).value_limit = 5 * PAGE_BYTES
        return store

    def commit_seen(self) -> None:
        """As it says; but nothing is durable in memory."""
        super().commit_seen()
        self.durable.clear()

    def shrink(self, store: Store) -> None:
        """Leave the budget: a store in memory holds nothing else."""

    @rule()
    def reorganize(self) -> None:
        self.store.reorganize()

    @rule()
    def sync(self) -> None:
        self.store.sync()
        self.session.commit()


class FullMachine(MemoryMachine):
    """A store without a path that is full at times: an error then, and nothing lost. No record exceeds a page."""

    memory = "1MiB"

    def value(self, size: int) -> bytes:
        return super().value(min(size, 3900))

    @rule()
    def fill_up(self) -> None:
        """Fill the store until it is full; everything is there, and deleting makes room again, beside iterators too."""
        try:
            for i in range(400):
                key, value = b"full%d" % i, self.value(3000)
                self.store[key] = value
                self.changed(key, value)
            raise AssertionError("a full store took another record")
        except oxidbm.FullError:
            pass
        assert dict(self.store.items()) == self.model
        for i in range(400):
            assert self.store.pop(b"full%d" % i, None) == self.model.get(b"full%d" % i)
            self.changed(b"full%d" % i, None)
        self.store[b"after"] = b"full"
        self.changed(b"after", b"full")


TestMapped = pytest.mark.slow(MappedMachine.TestCase)
TestPread = pytest.mark.slow(PreadMachine.TestCase)
TestOwnDevice = pytest.mark.slow(OwnDeviceMachine.TestCase)
TestMemory = MemoryMachine.TestCase
TestFull = pytest.mark.slow(FullMachine.TestCase)
