"""A test kit: prove a device, and try a program against power cuts and failing disks.

`check_device` proves that a device of one's own keeps every promise that a store rests on:

    from oxidbm.testing import check_device

    def test_my_device(tmp_path):
        check_device(lambda: MyDevice(tmp_path))

`check_crashes` runs a program on a CrashDevice, which keeps a store's log in memory and records all that happens to it,
and has each state that a power cut may leave verified:

    from oxidbm.testing import check_crashes

    def program(path, device):
        with oxidbm.Store(path, device=device) as store:
            store["ann"] = "10"
            store.sync()
            device.note("paid")

    def verify(path, device, notes):
        with oxidbm.Store(path, device=device) as store:
            assert "paid" not in notes or store["ann"] == b"10"

    check_crashes(program, verify)

FaultyDevice wraps any device and lets calls of it fail, write a part only, or take their time:

    device = FaultyDevice(CrashDevice())
    device.fail("write", errno.ENOSPC, after=3)
"""

from oxidbm.testing.crash_device import CrashDevice
from oxidbm.testing.crash_states import CrashState, check_crashes, crash_states
from oxidbm.testing.faulty_device import FaultyDevice
from oxidbm.testing.proof import check_device

__all__ = ["CrashDevice", "CrashState", "FaultyDevice", "check_crashes", "check_device", "crash_states"]
