"""FaultyDevice: any device, with calls that fail, break off or take their time, as disks do.

Faults are set while the device is in use, by the name of the call. They belong to the calls that come after that; what
is due is found out under a lock, and done outside of it, so that a slow call holds no other up.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from oxidbm.device import Device

CALLS: Final = (
    "begin", "end", "write", "read", "read_many", "will_read", "data_from", "sync", "truncate_before", "truncate_after",
    "roll", "finish", "segment_end", "place", "size", "look_again", "close",
)  # fmt: skip


class Fault:
    """What happens to certain calls: which ones, from when on, how often, and what."""

    def __init__(self, calls: tuple[str, ...], after: int, times: int | None) -> None:
        for call in calls:
            if call not in CALLS:
                raise ValueError(f"a device has no call {call!r}; it has {', '.join(CALLS)}")
        self.calls = calls
        self.after = after
        self.times = times
        self.failure: int | BaseException | None = None
        self.part = 0.0
        self.action: Callable[[], object] | None = None

    def is_due(self, call: str) -> bool:
        """Count a call, and return whether the fault is for it."""
        if call not in self.calls or self.times == 0:
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class FaultyDevice(Device):
    """Hands every call on to a device, unless it was told what else to do.

    device: any device; `store = Store(path, device=FaultyDevice(CrashDevice()))`.

    `calls` counts the calls by name, failed ones too. A first run without faults tells how many there are; then one run
    for each of them, with `fail(call, errno.EIO, after=number)`, tries them all.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.calls: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.lock = threading.RLock()  # a signal handler may come in the middle of a call, and make another one

    def fail(
        self,
        call: str | tuple[str, ...],
        failure: int | BaseException,
        *,
        after: int = 0,
        times: int | None = None,
        part: float = 0.0,
    ) -> None:
        """Let calls raise from now on.

        call: a method of Device by its name, as "write" or "sync", or a tuple of several, which are counted together.
        failure: an errno, as errno.ENOSPC, for the OSError that a system raises; or an exception, raised as it is.
        after: so many of these calls are let through first.
        times: how many fail; without it each one from then on.
        part: the share of its data that a failing write still writes, from 0.0 to 1.0: a disk is full in the middle.
        """
        if not 0 <= part <= 1:
            raise ValueError(f"part is a share of the data, from 0.0 to 1.0, not {part}")
        fault = self.fault(call, after, times)
        fault.failure, fault.part = failure, part
        self.add(fault)

    def slow(self, call: str | tuple[str, ...], seconds: float, *, after: int = 0, times: int | None = None) -> None:
        """Let calls take so many seconds more; other threads go on meanwhile."""
        self.before(call, lambda: time.sleep(seconds), after=after, times=times)

    def before(
        self, call: str | tuple[str, ...], action: Callable[[], object], *, after: int = 0, times: int | None = None
    ) -> None:
        """Have a function called at the start of calls, where other threads may come in; what it raises, they raise."""
        fault = self.fault(call, after, times)
        fault.action = action
        self.add(fault)

    def heal(self) -> None:
        """Forget what was told: all calls work from now on."""
        with self.lock:
            self.faults = []

    def fault(self, call: str | tuple[str, ...], after: int, times: int | None) -> Fault:
        """Return a fault of one call or of several."""
        return Fault((call,) if isinstance(call, str) else call, after, times)

    def add(self, fault: Fault) -> None:
        """Have a fault count from now on."""
        with self.lock:
            self.faults = [*self.faults, fault]

    def due(self, call: str) -> list[Fault]:
        """Count a call, and return the faults that are for it."""
        with self.lock:
            self.calls[call] += 1
            return [fault for fault in self.faults if fault.is_due(call)]

    def came(self, call: str, write: Callable[[float], object] = lambda part: None) -> None:
        """Do what is due at a call."""
        for fault in self.due(call):
            if fault.action is not None:
                fault.action()
            if fault.failure is None:
                continue
            if fault.part > 0:
                write(fault.part)
            if isinstance(fault.failure, int):
                raise OSError(fault.failure, os.strerror(fault.failure))
            raise fault.failure

    def begin(self) -> int:
        """As the device."""
        self.came("begin")
        return self.device.begin()

    def end(self) -> int:
        """As the device."""
        self.came("end")
        return self.device.end()

    def write(self, address: int, data: memoryview) -> None:
        """As the device, whole or in part."""
        self.came("write", lambda part: self.device.write(address, data[: int(part * len(data))]))
        self.device.write(address, data)

    def read(self, address: int, size: int) -> bytes:
        """As the device."""
        self.came("read")
        return self.device.read(address, size)

    def read_many(self, requests: list[tuple[int, int]]) -> list[bytes]:
        """As the device."""
        self.came("read_many")
        return self.device.read_many(requests)

    def will_read(self, address: int, size: int) -> bool:
        """As the device."""
        self.came("will_read")
        return self.device.will_read(address, size)

    def data_from(self, address: int) -> int:
        """As the device."""
        self.came("data_from")
        return self.device.data_from(address)

    def sync(self) -> None:
        """As the device."""
        self.came("sync")
        self.device.sync()

    def truncate_before(self, address: int) -> None:
        """As the device."""
        self.came("truncate_before")
        self.device.truncate_before(address)

    def truncate_after(self, address: int) -> None:
        """As the device."""
        self.came("truncate_after")
        self.device.truncate_after(address)

    def roll(self) -> None:
        """As the device."""
        self.came("roll")
        self.device.roll()

    def finish(self) -> None:
        """As the device."""
        self.came("finish")
        self.device.finish()

    def segment_end(self, address: int) -> int:
        """As the device."""
        self.came("segment_end")
        return self.device.segment_end(address)

    def place(self, address: int) -> str:
        """As the device."""
        self.came("place")
        return self.device.place(address)

    def size(self) -> int:
        """As the device."""
        self.came("size")
        return self.device.size()

    def look_again(self) -> None:
        """As the device."""
        self.came("look_again")
        self.device.look_again()

    def close(self) -> None:
        """As the device."""
        self.came("close")
        self.device.close()
