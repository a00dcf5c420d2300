"""The state machine: a log beside a list, on files, a caller's device, and in memory.

What must hold: each entry comes back at its address and in its order, by every way to read; the length is exact; what
was committed is there after a crash, with its cookie and number, and what was not is gone; an earlier commit shows what
it had, less what was truncated since; a reader beside the writer sees the last commit. The log's memory is 1 MiB of
which a few pages are left, so that entries leave it soon.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import oxidbm
from oxidbm import Log
from oxidbm._core.device.device import Device
from tests.faster_log.helpers import FIRST
from tests.inside import abandon_log, commits_of_log, handle_of_log, hybrid_log_of

PAGE_BYTES = 4096
PAGES = 12
SIZES = (0, 1, 7, 8, 9, 30, 100, 100, 500, 1500, 3900, 4072, 4073, 4100, 9000)
KEPT_MAX = 8
HELD_MAX = 3

sizes = st.sampled_from(SIZES)
places = st.integers(0, 1 << 20)
cookies = st.none() | st.sampled_from([b"", b"short", b"long" * 300, b"larger than a page" * 300])


@dataclass
class State:
    """What a log holds: (address, entry) in order, where it begins, and its cookie."""

    entries: list[tuple[int, bytes]] = field(default_factory=list)
    cookie: bytes = b""
    number: int = 0

    def copy(self) -> "State":
        """Return one that does not change with this one."""
        return State(list(self.entries), self.cookie, self.number)


class LogMachine(RuleBasedStateMachine):
    """Rules for any log."""

    durable = True

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.now = State()
        self.committed = State()
        self.kept: dict[int, State] = {}  # commits by number
        self.written = 0
        self.changed = False  # whether a commit has something to say
        self.scans: list[tuple[Iterator[tuple[int, bytes]], list[tuple[int, bytes]]]] = []
        self.log = self.open()

    def open_device(self) -> Device | None:
        """Return the device for the next opening; None for the log's own files."""
        return None

    def after_crash(self) -> None:
        """Let the device lose what a crash loses."""

    def open(self) -> Log[bytes]:
        """Open the log, and leave it a few pages of memory."""
        log = Log(self.directory / "log", memory="1MiB", page_size=PAGE_BYTES, device=self.open_device())
        hybrid_log_of(log).budget.limit = PAGES * PAGE_BYTES
        return log

    @property
    def limit(self) -> int:
        """What a batch may take."""
        return PAGES * PAGE_BYTES // 4

    def data(self, size: int) -> bytes:
        """Return an entry's bytes, others each time as far as the size allows."""
        self.written += 1
        text = b"%d." % self.written
        return (text * (size // len(text) + 1))[:size]

    def appended(self, address: int, data: bytes) -> None:
        """Take note of an entry, which stands behind all before."""
        assert address % 8 == 0
        assert address >= FIRST
        assert not self.now.entries or address > self.now.entries[-1][0]
        self.now.entries.append((address, data))
        self.changed = True

    @rule(size=sizes)
    def append(self, size: int) -> None:
        data = self.data(size)
        self.appended(self.log.append(data), data)

    @rule(size=sizes)
    def try_append(self, size: int) -> None:
        data = self.data(size)
        before = (self.log.committed, len(self.log))
        address = self.log.try_append(data)
        if address is None:
            assert (self.log.committed, len(self.log)) == before
        else:
            self.appended(address, data)

    @rule(given=st.lists(sizes, max_size=30), as_list=st.booleans())
    def append_many(self, given: list[int], as_list: bool) -> None:
        entries = [self.data(size) for size in given]
        first, following = self.log.append_many(entries if as_list else iter(entries))
        assert following == self.log.tail
        found = list(self.log.scan(first, following, uncommitted=True))
        assert [data for _, data in found] == entries
        for address, data in found:
            self.appended(address, data)
        if entries:
            assert found[0][0] == first

    @rule(given=st.lists(sizes, max_size=10), fails=st.booleans())
    def batch(self, given: list[int], fails: bool) -> None:
        entries: list[bytes] = []
        total = 0
        with contextlib.suppress(ArithmeticError), self.log.batch() as batch:
            for size in given:
                if total + size + 31 <= self.limit:
                    total += size + 31
                    entries.append(self.data(size))
                    batch.append(entries[-1])
            if fails:
                raise ArithmeticError
        if not fails:
            for address, data in zip(batch.addresses, entries, strict=True):
                self.appended(address, data)

    @rule(place=places)
    def read(self, place: int) -> None:
        if self.now.entries:
            address, data = self.now.entries[place % len(self.now.entries)]
            assert self.log.read(address) == self.log[address] == data
            assert self.log.size(address) == len(data)

    @rule(place=places, step=st.integers(-40, 40))
    def read_anywhere(self, place: int, step: int) -> None:
        """An address that is no entry's says so, with the next one that is."""
        if not self.now.entries:
            return
        address = self.now.entries[place % len(self.now.entries)][0] + step
        there = dict(self.now.entries)
        if address in there:
            assert self.log.read(address) == there[address]
        elif self.log.begin <= address < self.log.tail:
            following = min((at for at in there if at > address), default=None)
            hint = "" if following is None else f"; the next one starts at {following}"
            with pytest.raises(ValueError, match=f"starts at address {address}{hint}. Use"):
                self.log.read(address)
        else:
            with pytest.raises(IndexError):
                self.log.read(address)

    @rule(begin=places, end=places, uncommitted=st.booleans(), step=st.integers(-100, 100))
    def scan(self, begin: int, end: int, uncommitted: bool, step: int) -> None:
        """From anywhere to anywhere."""
        span = self.log.tail + 1
        low, high = begin % span + step, end % span
        stop = min(high, self.log.tail if uncommitted else self.log.committed)
        found = list(self.log.scan(low, high, uncommitted=uncommitted))
        assert found == [pair for pair in self.now.entries if low <= pair[0] < stop]

    @rule(uncommitted=st.booleans())
    def start_scan(self, uncommitted: bool) -> None:
        if len(self.scans) < HELD_MAX:
            stop = self.log.tail if uncommitted else self.log.committed
            expected = [pair for pair in self.now.entries if pair[0] < stop]
            self.scans.append((self.log.scan(uncommitted=uncommitted), expected))

    @rule(which=st.integers(0, HELD_MAX - 1), steps=st.integers(1, 30))
    def go_on_scanning(self, which: int, steps: int) -> None:
        """What it had ahead is there, but for what was truncated meanwhile."""
        if which >= len(self.scans):
            return
        scan, expected = self.scans[which]
        for _ in range(steps):
            while expected and expected[0][0] < self.log.begin:
                expected.pop(0)
            pair = next(scan, None)
            assert pair == (expected.pop(0) if expected else None)
            if pair is None:
                del self.scans[which]
                return

    @rule(place=places, what=st.sampled_from(["entry", "entry", "entry", "tail", "committed", "before"]))
    def truncate(self, place: int, what: str) -> None:
        entries = self.now.entries
        if what == "tail":
            until = self.log.tail
        elif what == "committed":
            until = self.log.committed
        elif what == "before" or not entries:
            until = place % FIRST
        else:
            until = entries[place % len(entries)][0]
        before = self.log.begin
        left = [pair for pair in entries if pair[0] >= until]
        assert self.log.truncate(until) == len(entries) - len(left)
        self.now.entries = left
        assert self.log.begin >= before
        self.changed = self.changed or self.log.begin > before
        if left and self.log.begin > before:
            assert self.log.begin == left[0][0]

    def commit_seen(self) -> None:
        """Take note that the present state is durable."""
        number = self.log.commit_number
        assert number > self.now.number
        self.now.number = number
        self.committed = self.now.copy()
        self.kept[number] = self.committed
        self.changed = False

    @rule(cookie=cookies, gap=st.none() | st.integers(1, 100), alone=st.booleans())
    def commit(self, cookie: bytes | None, gap: int | None, alone: bool) -> None:
        number = None if gap is None else self.log.commit_number + gap
        before = self.log.commit_number
        returned = self.log.commit(cookie, number=number, alone=alone)
        assert returned == self.log.commit_number
        assert self.log.committed == self.log.tail or not self.changed
        if cookie is None and gap is None and not alone and not self.changed:
            assert returned in (before, before + 1)
            if returned == before:
                return
        assert returned == (before + 1 if number is None else number)
        if cookie is not None:
            self.now.cookie = cookie
        self.commit_seen()

    @rule()
    def compare(self) -> None:
        assert list(self.log.scan(uncommitted=True)) == self.now.entries
        committed = self.log.committed
        assert list(self.log) == [pair for pair in self.now.entries if pair[0] < committed]

    @rule()
    def roll(self) -> None:
        hybrid_log_of(self.log).device.roll()

    @invariant()
    def figures(self) -> None:
        hybrid_log_of(self.log).check_order()
        assert len(self.log) == len(self.now.entries)
        assert self.log.begin <= self.log.tail
        assert self.log.cookie == self.committed.cookie
        assert self.log.commit_number == self.committed.number

    def teardown(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            stack.callback(lambda: abandon_log(self.log))
            self.compare()
            self.finish()

    def finish(self) -> None:
        """Check what is left to check at the end of a run."""


class DiskLogMachine(LogMachine):
    """What a log on disk has besides: closing, crashing and opening again."""

    def drop_scans(self) -> None:
        """Scans of a closed log say so."""
        for scan, _ in self.scans:
            with pytest.raises(oxidbm.ClosedError):
                next(scan)
        self.scans.clear()

    def reopened(self) -> None:
        """Open again, and compare."""
        self.log = self.open()
        self.changed = False
        self.now = self.committed.copy()
        self.figures()
        assert self.log.committed == self.log.tail
        self.compare()

    @rule(commit=st.booleans())
    def close_and_open(self, commit: bool) -> None:
        """Closing commits what there is, unless told not to."""
        before = self.log.commit_number
        self.log.close(commit)
        self.drop_scans()
        if commit:
            number = commits_of_log(self.log).sequence
            assert number in (before, before + 1)
            if number > before or self.changed:
                self.now.number = number
                self.committed = self.now.copy()
                self.kept[number] = self.committed
        self.reopened()

    @rule(times=st.integers(1, 2))
    def crash(self, times: int) -> None:
        for _ in range(times):
            abandon_log(self.log)
            self.after_crash()
            self.drop_scans()
            self.reopened()

    @precondition(lambda self: self.log.commit_number)
    @rule(place=places)
    def open_earlier_commit(self, place: int) -> None:
        """Beside the writer: its entries that are not truncated, its number and its cookie, unless that is."""
        numbers = sorted(self.kept)[-KEPT_MAX:]
        number = numbers[place % len(numbers)]
        begin = commits_of_log(self.log).durable_begin
        state = self.kept[number]
        try:
            other = self.open_read_only(number)
        except oxidbm.MissingError:
            assert all(address < begin for address, _ in state.entries)
            assert number != self.committed.number
            return
        with other:
            left = [pair for pair in state.entries if pair[0] >= begin]
            assert list(other) == left
            assert (len(other), other.commit_number) == (len(left), number)
            if commits_of_log(other).cookie_gone:
                assert number != self.committed.number
                with pytest.raises(oxidbm.MissingError, match="cookie"):
                    _ = other.cookie
            else:
                assert other.cookie == state.cookie
            for address, data in left[:: max(1, len(left) // 10)]:
                assert other.read(address) == data

    def open_read_only(self, number: int | None) -> Log[bytes]:
        """Open the log at a commit, beside its writer."""
        return Log(self.directory / "log", memory="1MiB", read_only=True, commit=number)

    @rule()
    def look_from_outside(self) -> None:
        with self.open_read_only(None) as other:
            assert list(other) == self.committed.entries
            assert (len(other), other.cookie, other.commit_number) == (
                len(self.committed.entries),
                self.committed.cookie,
                self.committed.number,
            )

    def finish(self) -> None:
        """All is there after a clean end."""
        self.close_and_open(True)
        assert handle_of_log(self.log).recovery.bytes_cut == 0
