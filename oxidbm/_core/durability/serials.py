"""Sessions' serial numbers: which sessions are known by name, and what the next commit has to say of them.

A session with a name is known while it is open and, once it changed something, until it is forgotten: its number stands
in a session record (see session_record), which is written anew with the first commit after each change. A session
without a name is known to its Session object alone.

Nothing is done for a session by a commit, or with its end: which of its operations are durable is found out from the
numbers of commits when somebody asks. Invariants: 1. at a cut, the newest record of each known session that changed
anything states its serial number; 2. none of these records stands below where that commit says that the log begins;
3. each session whose record must be written before the next cut stands in `unstated`, once.
"""

from typing import final

from mypy_extensions import i64


@final
class SessionState:
    """A session's serial number and what is needed to tell how much of it is durable.

    Its operations since its newest cut (a commit's sequence number) are covered by the commit after that; those before
    by the one after `cut_before`, and `durable` of them were known durable when the newest ones began.
    """

    def __init__(self, name: str, serial: i64, used_ns: i64) -> None:
        self.name = name  # "" for none
        self.serial: i64 = serial
        self.used_ns: i64 = used_ns
        self.open = False
        self.noted: i64 = -1  # the cut that `Commits.note` last took note of a change behind
        self.cut: i64 = -1
        self.cut_before: i64 = -1
        self.before: i64 = serial
        self.durable: i64 = serial
        self.address: i64 = 0  # of the newest session record, 0 for none
        self.used = False  # since that one
        self.forgotten = False
        self.queued = False

    def durable_at(self, durable_sequence: i64) -> i64:
        """Return how many of the session's operations are durable when so many commits are."""
        if self.cut < durable_sequence:
            return self.serial
        return self.before if self.cut_before < durable_sequence else self.durable

    def commit_of(self, serial: i64) -> i64:
        """Return the number of a commit that covers an operation that was not durable yet, the first such one."""
        return (self.cut if serial > self.before else self.cut_before) + 1

    def begin_after(self, cut: i64, durable_sequence: i64) -> None:
        """Take note that the newest operation, which `serial` counts already, is the first one since a cut."""
        last = self.serial - 1
        if self.cut < durable_sequence:
            self.durable = last
        elif self.cut_before < durable_sequence:
            self.durable = self.before
        self.before = last
        self.cut_before = self.cut
        self.cut = cut


def forgotten(name: str) -> SessionState:
    """Return the state of a session that was forgotten."""
    state = SessionState(name, 0, 0)
    state.forgotten = True
    return state


@final
class Serials:
    """The sessions known by name, and those whose records the next commit has to write."""

    def __init__(self) -> None:
        self.known: dict[str, SessionState] = {}
        self.unstated: list[SessionState] = []
        self.following: i64 = 0  # how many of the unstated ones have been written since the last cut
        self.stated: i64 = 0  # how many sessions have a record in the log

    def join(self, state: SessionState) -> None:
        """Have a session's record written before the next commit record."""
        if not state.queued:
            state.queued = True
            self.unstated.append(state)

    def leave(self, state: SessionState) -> None:
        """Take note that a session is closed; nothing is kept of one that changed nothing."""
        state.open = False
        if state.serial == 0 and state.address == 0 and self.known.get(state.name) is state:
            del self.known[state.name]

    def forget(self, state: SessionState) -> None:
        """Know a session no more."""
        del self.known[state.name]
        state.forgotten = True

    def state_again_below(self, begin: i64) -> None:
        """Have each record written again that stands below where the log begins with the next commit."""
        for state in list(self.known.values()):
            if 0 < state.address < begin:
                self.join(state)

    def left(self) -> i64:
        """Return how many sessions' records the next commit has to write."""
        return len(self.unstated) - self.following

    def take_newer(self, state: SessionState) -> None:
        """Know what a newer commit says of a session, or that it was forgotten; who has it open sees it there."""
        known = self.known.get(state.name)
        before: i64 = 0 if known is None else known.address
        after: i64 = 0 if state.forgotten else state.address
        self.stated += (1 if after else 0) - (1 if before else 0)
        if known is None:
            known = state
            self.known[state.name] = state
        elif after:
            known.serial = state.serial
            known.used_ns = state.used_ns
        else:
            known.serial = 0
        known.address = after
        if not after and not known.open:
            del self.known[state.name]

    def take_all(self, other: "Serials") -> None:
        """Know the sessions that others know, and of the rest only those that are open."""
        for state in list(self.known.values()):
            if state.name not in other.known:
                self.take_newer(forgotten(state.name))
        for state in list(other.known.values()):
            self.take_newer(state)

    def take_over(self, recovered: dict[str, SessionState], begin: i64) -> None:
        """Know the sessions that recovery found; what stands below begin says nothing any more."""
        for name, state in recovered.items():
            if state.address >= begin:
                self.known[name] = state
        self.stated = len(self.known)
