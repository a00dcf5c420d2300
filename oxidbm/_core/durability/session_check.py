"""Part of check(): the session records in the log, and what the store has noted of its sessions."""

from typing import final

from mypy_extensions import i64

from oxidbm._core.durability.serials import Serials, SessionState
from oxidbm._core.durability.session_record import decode_session
from oxidbm._core.log.cursor import Cursor


@final
class SessionCheck:
    """The newest record of each session in the log, and what was noted of them when the check began."""

    def __init__(self, serials: Serials, begin: i64) -> None:
        self.begin: i64 = begin
        self.found: dict[str, SessionState] = {}
        self.noted: dict[str, int] = {}
        self.serials: dict[str, int] = {}
        self.stated: i64 = serials.stated
        self.behind_commit = False  # a session record stands behind the last commit record
        for state in list(serials.known.values()):
            self.note(state)
        for state in list(serials.unstated):
            if state.forgotten and state.name not in self.noted:  # what says so is written with the next commit
                self.note(state)

    def note(self, state: SessionState) -> None:
        """Take note of where a session's record stands, and of what it says where nothing was changed since."""
        if state.address >= self.begin:
            self.noted[state.name] = int(state.address)
            if not state.queued:
                self.serials[state.name] = int(state.serial)

    def take(self, cursor: Cursor) -> str:
        """Take the session record that the cursor has come to; return what is wrong with it, "" for nothing."""
        self.behind_commit = True
        try:
            state = decode_session(cursor.address, cursor.info, cursor.shape, cursor.key(), cursor.value())
        except ValueError as failure:
            return str(failure)
        if not state.forgotten:
            self.found[state.name] = state
        elif state.name in self.found:
            del self.found[state.name]
        return ""

    def compare(self) -> str:
        """Return what the store has noted otherwise than the log says it, "" for nothing."""
        for name in sorted(set(self.found) | set(self.noted)):
            state = self.found.get(name)
            at = 0 if state is None else int(state.address)
            noted = self.noted.get(name, 0)
            if at != noted:
                return f"store: the newest record of session {name!r} stands at address {at}, {noted} was noted"
            serial = self.serials.get(name)
            if state is not None and serial is not None and serial != int(state.serial):
                return f"store: session {name!r} is at {serial}, its record says {int(state.serial)}"
        if self.stated != len(self.found):
            return f"store: {len(self.found)} sessions have records, {self.stated} were counted"
        return ""

    def compare_count(self, counted: i64, begin: i64) -> str:
        """Return what is wrong with the number of sessions that the last commit counted, "" for nothing.

        It says that the log begins at `begin`. Where a session's record stands behind it, what it counted is not known.
        """
        count: i64 = 0
        for state in self.found.values():
            count += 1 if state.address >= begin else 0
        if self.behind_commit or counted == count:
            return ""
        return f"{count} sessions have records, the last commit counted {counted}"
