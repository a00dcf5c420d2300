"""Who uses a log's device, so that nothing of it is closed beside a call of the system that names it by its descriptor.

The device is closed by its last user (see uses). Beside that, who closes a log waits for the flush and the commit that
are under way, and lets none begin behind them, so that nothing is half written. Beside the log's own threads those use
the device who follow the log to its end.
"""

from collections.abc import Callable
from typing import TypeVar, final

from oxidbm import _breath
from oxidbm._core.device.device import Device
from oxidbm._core.life import Life
from oxidbm._core.uses import Uses

R = TypeVar("R")


@final
class DeviceUse:
    """The users of one log's device."""

    def __init__(self, life: Life, device: Device) -> None:
        self.life = life
        self.device = device
        self.uses = Uses()
        self.written = False  # for the last time

    @property
    def given_up(self) -> bool:
        """Whether nobody is to begin to use the device any more."""
        return self.uses.closing

    def begin(self) -> None:
        """Use the device; ClosedError once it was given up."""
        if not self.uses.begin():
            self.life.blocked_read()

    def begins(self) -> bool:
        """Use the device; False once it was given up."""
        return self.uses.begin()

    def end(self) -> None:
        """Use it no more; who is the last to do so closes it, once it was given up."""
        if self.uses.end():
            try:
                self.device.close()
            except OSError as failure:  # the one who closed the store has gone on
                _breath.LastWord(failure)

    def during(self, call: Callable[[], R]) -> R:
        """Return what a function returns that uses the device; it may be Python code, which a handler interrupts."""
        self.begin()
        try:
            return call()
        finally:
            self.end()

    def give_up(self) -> None:
        """Close the device, or have the last one who uses it close it."""
        if not self.uses.closing and self.uses.close():
            try:
                self.device.close()
            except BaseException:
                self.uses.closing = False
                raise

    def check_written_to(self) -> None:
        """Raise ClosedError where nothing is to be written to the device any more, nor to what stands beside it."""
        if self.written:
            self.life.blocked_read()
