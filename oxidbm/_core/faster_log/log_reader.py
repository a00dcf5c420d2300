"""Named readers: each goes on where it last stood, in whatever process, and nothing is truncated that it has not read.

What a reader has done is written to its file at once, so that a killed process loses nothing of it, and is durable with
the next commit of the process, or when the reader is closed. An entry is seen at least once: one that was being worked
on when the process ended comes again.
"""

import time
from types import GenericAlias
from typing import Any, Final, final

from mypy_extensions import i64

from oxidbm._core.coder import Coder
from oxidbm._core.device.directory import Directory
from oxidbm._core.durability.found_commit import FoundCommit
from oxidbm._core.durability.superblock import A_LOG
from oxidbm._core.errors import BusyError, ClosedError, MissingError
from oxidbm._core.faster_log.arguments import as_address, nearest_address
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.entry import end_of, number_at
from oxidbm._core.faster_log.follow import LogFollower
from oxidbm._core.faster_log.handle import LogHandle
from oxidbm._core.faster_log.position_file import Position, PositionFile, give_up, hold, is_known, known
from oxidbm._core.faster_log.reading import found_entry, number_behind
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.life import FORKED

ATTEMPTS_MAX: Final = 500  # to find a reader known that somebody makes just now


@final
class LogReader:
    """One named reader that is open; documented in oxidbm/__init__.pyi."""

    def __init__(self, commits: EntryCommits, name: str, file: PositionFile, entries: LogFollower) -> None:
        self.commits = commits
        self.name = name
        self.file = file
        self.entries = entries
        self.says = False  # whether done() was called, so that nothing is taken for done without it
        self.before: Position | None = None  # where the entries end that were given before the last one
        self.last: Position | None = None  # and where the last one ends
        self.given: i64 = 0  # the address of that
        kept = file.position
        begun = commits.first if kept is None or kept.address >= commits.begin else kept.number
        self.overtaken_before: i64 = max(commits.first - begun, i64(0))  # while it was not open
        self.closed = False

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    def __iter__(self) -> "LogReader":
        return self

    def __next__(self) -> object:
        if self.closed:
            raise ClosedError(f"the reader {self.name!r} is closed")
        self.before = (
            self.last
        )  # already: whoever asks for the next one is done with it, also where that one is damaged
        found = self.entries.__next__()
        cursor = self.entries.entries.cursor
        self.given = cursor.address
        self.last = Position(cursor.following, self.entries.entries.number() + 1, 0, 0)
        return found

    def __enter__(self) -> "LogReader":
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        position = self.last if kind is None else self.before
        try:
            if not self.says and position is not None and not self.closed and self.commits.log.life.alive():
                self.keep(position)
        finally:
            self.close()

    def __repr__(self) -> str:
        place = self.commits.log.life.place()
        return f"<oxidbm.LogReader {self.name!r} of {place}, at {self.position}{', closed' if self.closed else ''}>"

    @property
    def position(self) -> int:
        """The address at which it goes on when it is opened next."""
        kept = self.file.position
        return int(self.commits.begin) if kept is None else int(kept.address)

    @property
    def overtaken(self) -> int:
        """How many entries were truncated before it came to them."""
        return int(self.overtaken_before + self.entries.entries.overtaken)

    def done(self, address: object) -> None:
        """Keep that the entries up to and with the one at an address are done."""
        if self.closed:
            raise ClosedError(f"the reader {self.name!r} is closed")
        life = self.commits.log.life
        life.check_open()
        self.says = True
        try:
            self.keep(self.behind(address))
        except Exception as failure:
            if not came_from_handler(failure):
                life.check_open()  # where another thread closes the log meanwhile, that is what there is to say
            raise

    def behind(self, address: object) -> Position:
        """Return where to go on behind the entry at an address, which is durable then."""
        last = self.last
        if last is not None and as_address(address) == int(self.given):
            return last
        start = found_entry(self.commits, address)
        log = self.commits.log
        if start >= self.commits.durable_tail:
            self.commits.commit()  # or after a crash other entries would stand where it did, and be taken for done
        number = number_at(log, start)
        return Position(end_of(log, start), number + 1, 0, 0)

    def keep(self, position: Position) -> None:
        """Write where to go on."""
        position.time_ns = i64(max(time.time_ns(), 0))
        position.durable_sequence = self.commits.known_durable
        self.file.store(position)

    def sync(self) -> None:
        """Make what is done durable now, without waiting for the next commit."""
        self.commits.log.life.check_not_forked()
        self.file.sync()

    def close(self) -> None:
        """Make what is done durable, and let others have the name; a second time does nothing."""
        if self.closed:
            return
        self.closed = True
        forked = self.commits.log.life.state == FORKED
        try:
            if self.file in self.commits.positions:
                self.commits.positions.remove(self.file)
            self.entries.close()
            if not forked:
                self.file.sync()
        finally:
            self.file.close()

    def __del__(self) -> None:
        if not self.closed:
            self.closed = True
            if self.file in self.commits.positions:
                self.commits.positions.remove(self.file)
            self.file.close()


@final
class ReaderInfo:
    """What is known of a named reader; documented in oxidbm/__init__.pyi."""

    def __init__(self, name: str, address: int, lag: int, time: float, is_open: bool) -> None:
        self.name = name
        self.address = address
        self.lag = lag
        self.time = time
        self.is_open = is_open

    def __repr__(self) -> str:
        return (
            f"ReaderInfo(name={self.name!r}, address={self.address}, lag={self.lag}, time={self.time:.3f}, "
            f"is_open={self.is_open})"
        )

    def __reduce__(self) -> Any:
        return ReaderInfo, (self.name, self.address, self.lag, self.time, self.is_open)


def stays(handle: LogHandle) -> ValueError:
    """Return the error for a log that cannot move on to newer commits."""
    if handle.recovery.faults:
        return ValueError(
            f"{handle.life.called()} is damaged, and was opened as far as it can be read; it stays so, and can be "
            "scanned"
        )
    return ValueError("an earlier commit stays as it is; open the log without commit= to move on, or to follow it")


def beginning(handle: LogHandle, begin: object) -> i64:
    """Return where somebody begins who follows a log: at an address, or at its begin; ValueError where it stays."""
    handle.life.check_open()
    if handle.keeper is None and handle.refresher is None:
        raise stays(handle)
    return handle.commits.begin if begin is None else nearest_address(begin)


def check_reached(handle: LogHandle, name: str, begin: object) -> None:
    """Have the log's commits reach up to where a new reader begins; IndexError where the log does not.

    A reader that stood behind the log's end, now or after a crash, would take for done what comes there next.
    """
    commits = handle.commits
    wanted = 0 if begin is None else as_address(begin)
    reach(handle, wanted)
    if wanted > int(commits.durable_tail):
        raise IndexError(
            f"the reader {name!r} cannot begin at address {wanted}: {handle.life.called()} ends at "
            f"{commits.durable_tail}. Begin at an address of an entry, or at its end, `committed`"
        )


def reach(handle: LogHandle, wanted: int) -> None:
    """Have the log's commits reach up to an address, where it does."""
    commits = handle.commits
    if wanted > int(commits.durable_tail):
        if handle.refresher is not None:
            handle.refresher.refresh()
        elif wanted <= int(commits.log.tail):
            commits.commit()


def open_reader(
    handle: LogHandle, coder: Coder, name: str, begin: i64, timeout: float | None, skips: bool, owner: object
) -> LogReader:
    """Return the reader of a name, which begins at an address if it is a new one."""
    commits = handle.commits
    directory = directory_of(handle)
    file = hold_when_made(directory, name, handle.options.mode)
    try:
        kept = file.position
        start = begin
        if kept is not None:
            reach(handle, int(kept.address))
            start = min(kept.address, commits.durable_tail)  # a log can have lost what was durable, with its disk
        else:
            begin_at(commits, file, start, skips)
            file.sync()
        entries = LogFollower(commits, coder, start, timeout, False, skips, handle.refresher, owner, False)
        commits.positions.append(file)
        handle.life.check_open()  # where the log was closed meanwhile, nobody would close the file
        return LogReader(commits, name, file, entries)
    except BaseException:
        if file in commits.positions:
            commits.positions.remove(file)
        give_up(directory, file, name)
        raise


def begin_at(commits: EntryCommits, file: PositionFile, begin: i64, skips: bool) -> None:
    """Have a new reader be known: from now on nothing is truncated that it has not done."""
    file.store(Position(begin, number_behind(commits, begin, skips), 0, commits.known_durable))


def hold_when_made(directory: Directory, name: str, mode: int) -> PositionFile:
    """As `hold`, where somebody just makes the reader behind that."""
    attempts = ATTEMPTS_MAX
    while True:
        made = is_known(directory, name)
        try:
            return hold(directory, name, mode)
        except BusyError:
            attempts -= 1
            if made or attempts == 0:
                raise


def add_reader(handle: LogHandle, name: str, begin: i64) -> bool:
    """Have a reader be known that begins at an address; False where it is known, be it open or not."""
    directory = directory_of(handle)
    attempts = ATTEMPTS_MAX
    while not is_known(directory, name):
        try:
            file = hold(directory, name, handle.options.mode)
        except BusyError:  # somebody makes it
            attempts -= 1
            if attempts == 0:
                raise
            continue
        try:
            if file.position is None:
                begin_at(handle.commits, file, begin, handle.options.skips)
                file.release()  # before the sync, which takes its time: somebody may want to open it by now
                file.sync()
                return True
        finally:
            give_up(directory, file, name)
    return False


def copy_readers(store: Directory, into: Directory, found: FoundCommit, mode: int) -> None:
    """Have a copy of a log, which ends with a commit, know the readers; one that stands behind that goes on there."""
    for name, position, _ in known(store):
        file = hold(into, name, mode)
        try:
            if position.address > found.end():
                position = Position(found.end(), found.record.table.count, position.time_ns, 0)
            position.durable_sequence = min(position.durable_sequence, found.record.log.sequence)
            file.store(position)
            file.sync()
        finally:
            file.close()


def before_readers(handle: LogHandle, wanted: i64, until: object) -> i64:
    """Return up to where a log may be truncated: an address, or, where none was asked for, no farther than its readers.

    ValueError where one was, and a reader stands before it, or where none was, and there is no reader.
    """
    directory = handle.directory
    who, where, number = lowest([] if directory is None else known(directory))
    if not who and until is None and handle.options.kind is A_LOG:
        register = "" if directory is None else "; add_reader() registers one that is to say it"
        raise ValueError(
            f"truncate() without an address forgets what the named readers of {handle.life.called()} have done, and it "
            f"has none. Give it an address, `tail` to forget all{register}"
        )
    if not who or where >= wanted:
        return wanted
    if until is not None:
        if number_behind(handle.commits, wanted, True) <= number:
            return wanted  # in between there are commits, and no entries
        raise ValueError(
            f"the reader {who!r} stands at address {where}, before {until}; truncate() up to there, forget_reader() "
            "it, or say past_readers=True"
        )
    return where


def infos(commits: EntryCommits, found: list[tuple[str, Position, bool]]) -> list[ReaderInfo]:
    """Return what is known of each reader."""
    listed: list[ReaderInfo] = []
    for name, position, held in found:
        lag = max(commits.following - max(position.number, commits.first), i64(0))
        address = max(position.address, commits.begin)
        listed.append(ReaderInfo(name, int(address), int(lag), int(position.time_ns) / 1e9, held))
    return listed


def lowest(found: list[tuple[str, Position, bool]]) -> tuple[str, i64, i64]:
    """Return the reader that stands lowest, where, and the number of the entry there; "" where there is none."""
    who = ""
    where: i64 = 0
    number: i64 = 0
    for name, kept, _ in found:
        if not who or kept.address < where:
            who = name
            where = kept.address
            number = kept.number
    return who, where, number


def directory_of(handle: LogHandle) -> Directory:
    """Return the log's directory; ValueError for a log in memory, MissingError where it is gone: none has readers."""
    directory = handle.directory
    if directory is None:
        raise ValueError("a log in memory has no named readers; follow() it, or give it a path")
    if directory.removed():
        raise MissingError(2, "the log's directory was deleted, and no reader can keep where it stands", directory.path)
    return directory
