"""A file that is open has an owner from the first instant on: a signal handler that raises may lose it at any place.

Between a call that returns a descriptor and the next line of Python code a handler may run, and what it raises leaves a
number that nobody has. An object that is lost there closes what it holds. So whatever keeps a descriptor for longer
than a function of compiled code does closes it in its finalizer, and Python code gets such an object, never a number.
"""

import os
from typing import final

from oxidbm._core.device.directory import Directory
from oxidbm._core.device.system import close_lost


@final
class OpenFile:
    """One file that is open, by its descriptor; as a `with` block it yields that, and closes it at the end."""

    descriptor: int = -1  # also where __init__ fails, as the finalizer must expect

    def __init__(self, directory: Directory, name: str, flags: int, mode: int = 0o666) -> None:
        self.descriptor = directory.open(name, flags, mode)

    def close(self) -> None:
        """Close it; a second time does nothing."""
        descriptor = self.descriptor
        self.descriptor = -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> int:
        return self.descriptor

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.close()

    def __del__(self) -> None:
        descriptor = self.descriptor
        self.descriptor = -1  # or who is lost with it, and finalized behind it, would close the number once more
        close_lost(descriptor)
