"""Sessions' serial numbers: what a commit record keeps of them, and what recovery gives back.

A session with a name has an entry in every commit record, from its first commit on; one without has none.
"""

from typing import Final, final

from mypy_extensions import i64

UNNAMED: Final = "\0"  # what the keys of sessions without a name begin with


@final
class SessionState:
    """A session's name, its number of operations so far, and of those known to be durable."""

    def __init__(self, name: str, serial: i64) -> None:
        self.name = name
        self.serial: i64 = serial
        self.durable_serial: i64 = serial
        self.open = True


@final
class Serials:
    """The sessions that were opened since the store was, and the serial numbers that recovery found."""

    def __init__(self) -> None:
        self.sessions: dict[str, SessionState] = {}
        self.recovered: dict[str, int] = {}

    def now(self) -> dict[str, int]:
        """Return every open session's serial number."""
        return {name: int(state.serial) for name, state in self.sessions.items()}

    def to_keep(self, serials: dict[str, int]) -> dict[str, int]:
        """Return what a commit record keeps: sessions not opened this time keep theirs."""
        kept = dict(self.recovered)
        kept.update({name: serial for name, serial in serials.items() if not name.startswith(UNNAMED)})
        return kept

    def made_durable(self, serials: dict[str, int]) -> None:
        """Take note that a commit with these serial numbers is durable."""
        for name, serial in serials.items():
            state = self.sessions.get(name)
            if state is not None:
                state.durable_serial = max(state.durable_serial, i64(serial))
