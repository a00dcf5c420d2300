"""A store is closed while other threads read from its device: they get values or ClosedError, nothing else."""

import functools
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from oxidbm import ClosedError, Store
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.inside import log_of
from tests.support import Manual, run, scaled, soaked

PAGE_BYTES = 4096
OPTIONS: Manual = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual"}
KEYS = scaled(6000, least=4000)


def value_of(number: int) -> bytes:
    """Return the value of a key."""
    return b"%d." % number * 60


def fill(store: Store) -> None:
    """Write more than the store's memory holds."""
    store.update({b"%d" % number: value_of(number) for number in range(KEYS)})
    store.sync()
    assert log_of(store).head > KEYS * 60


def get_for_ever(store: Store) -> None:
    """Read keys, most of which are on disk."""
    while True:
        number = random.randrange(KEYS)
        assert store[b"%d" % number] == value_of(number)


def iterate_for_ever(store: Store) -> None:
    """Read everything, again and again."""
    while True:
        for key, value in store.items():
            assert value == value_of(int(key))


def scan_for_ever(store: Store) -> None:
    """Read every version, again and again."""
    while True:
        for record in store.scan(live=False):
            assert record.value == value_of(int(record.key))


def check_for_ever(store: Store) -> None:
    """Look for faults, again and again."""
    while True:
        assert store.check() == []


@pytest.mark.slow
@pytest.mark.parametrize("read_only", [True, False], ids=["reader", "writer"])
def test_threads_that_read_while_another_closes(read_only: bool, tmp_path: Path) -> None:
    with Store(tmp_path / "store", **OPTIONS) as store:
        fill(store)
    other = tmp_path / "other"  # it gets the descriptors' numbers as soon as they are free
    other.write_bytes(b"another file's bytes")
    for turn in range(soaked(16, least=4)):
        store = Store(tmp_path / "store", read_only=read_only, mapped=turn % 2 == 0, **OPTIONS)
        closed = threading.Event()

        def read(use: Callable[[Store], None], store: Store = store) -> None:
            with pytest.raises(ClosedError, match="is closed; open it again"):
                use(store)

        def open_files(closed: threading.Event = closed) -> None:
            while not closed.is_set():
                descriptors = [os.open(other, os.O_RDONLY) for _ in range(20)]
                for descriptor in descriptors:
                    os.close(descriptor)

        def close(store: Store = store, closed: threading.Event = closed) -> None:
            try:
                closed.wait(random.random() * 0.01)
                store.close()
            finally:
                closed.set()

        uses = [get_for_ever, get_for_ever, iterate_for_ever, scan_for_ever, check_for_ever]
        run(*[functools.partial(read, use) for use in uses], open_files, close)


class Watched(FaultyDevice):
    """Knows whether it was closed, and whether it is being read."""

    reading = 0
    closed = 0

    def read(self, address: int, size: int) -> bytes:
        assert not self.closed, "a read of a device that was closed"
        self.reading += 1
        try:
            return super().read(address, size)
        finally:
            self.reading -= 1

    def close(self) -> None:
        assert not self.reading, "closed under a read"
        self.closed += 1
        super().close()


@pytest.mark.parametrize("use", ["get", "items", "scan"])
def test_a_store_that_is_closed_in_the_middle_of_a_read(use: str, tmp_path: Path) -> None:
    """As a signal handler may do: close() does not wait for the read, and the device is closed once, after it."""
    device = Watched(CrashDevice(PAGE_BYTES))
    store = Store(tmp_path / "store", device=device, **OPTIONS)
    fill(store)
    uses: dict[str, Callable[[], object]] = {
        "get": lambda: store[b"0"],
        "items": lambda: list(store.items()),
        "scan": lambda: list(store.scan()),
    }

    def close() -> None:
        device.heal()
        store.close()
        assert not device.closed

    device.before("read", close)
    if use == "get":
        assert uses[use]() == value_of(0)
    else:
        with pytest.raises(ClosedError):
            uses[use]()
    assert store.closed
    assert device.closed == 1
    with pytest.raises(ClosedError):
        store.get(b"1")
