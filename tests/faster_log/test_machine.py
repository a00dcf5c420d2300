"""The state machine of a log on each device: files, a caller's own, which a crash leaves in any part, and memory."""

from oxidbm import Log
from oxidbm._core.device.device import Device
from oxidbm.testing import CrashDevice
from tests.faster_log.machine import PAGE_BYTES, DiskLogMachine, LogMachine


class FilesMachine(DiskLogMachine):
    """Segment files."""


class OwnDeviceMachine(DiskLogMachine):
    """An interpreted device, of which a crash leaves what was synced and any part of the rest."""

    device: CrashDevice

    def open_device(self) -> Device:
        if not hasattr(self, "device"):
            self.device = CrashDevice(PAGE_BYTES)
        return self.device

    def after_crash(self) -> None:
        self.device = self.device.crash(seed=self.written)

    def open_read_only(self, number: int | None) -> Log[bytes]:
        """As it says, on what a crash at this moment would leave."""
        return Log(self.directory / "log", memory="1MiB", read_only=True, commit=number, device=self.device.crash())


class MemoryMachine(LogMachine):
    """A log without a path, which is never full here."""

    def open(self) -> Log[bytes]:
        return Log(memory="64MiB", page_size=PAGE_BYTES)


TestFiles = FilesMachine.TestCase
TestOwnDevice = OwnDeviceMachine.TestCase
TestMemory = MemoryMachine.TestCase
