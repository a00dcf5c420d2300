"""Who uses a log's device, so that nothing of it is closed beside a call of the system that names it by its descriptor.

A file that is closed beside a read or a write of it fails that, or lends its number to another file, which would be
read, or written to. So who closes a log waits for the flush and the commit that are under way, and lets none begin
behind them; the device itself is closed by its last user, since a signal handler that closes a store may have
interrupted the very read that it would have to wait for. Beside the log's own threads those use it who follow it to
its end.
"""

from typing import final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.device.device import Device
from oxidbm._core.life import Life


@final
class DeviceUse:
    """The users of one log's device."""

    def __init__(self, life: Life, device: Device) -> None:
        self.life = life
        self.device = device
        self.users: i64 = 0
        self.given_up = False
        self.written = False  # for the last time

    def begin(self) -> None:
        """Use the device; ClosedError once it was given up."""
        if not self.begins():
            self.life.blocked_read()

    def begins(self) -> bool:
        """Use the device; False once it was given up."""
        if self.given_up:
            return False
        self.users += 1
        return True

    def end(self) -> None:
        """Use it no more; who is the last to do so closes it, once it was given up."""
        self.users -= 1
        if self.given_up and self.users == 0:
            try:
                self.device.close()
            except OSError as failure:  # the one who closed the store has gone on
                _breath.LastWord(failure)

    def give_up(self) -> None:
        """Close the device, or have the last one who uses it close it."""
        if not self.given_up:
            self.given_up = True
            if self.users == 0:
                try:
                    self.device.close()
                except BaseException:
                    self.given_up = False
                    raise

    def check_written_to(self) -> None:
        """Raise ClosedError where nothing is to be written to the device any more, nor to what stands beside it."""
        if self.written:
            self.life.blocked_read()
