"""Moving on: how a log that is open to read only comes to the newer commits of the process that writes it.

What was appended since is verified record by record, and once: the walk stays where it came to, and goes on there. A
reader sees a commit when all before it verifies. It asks nothing of the writer, and looks at a few bytes of the file
where there is nothing new. Where the walk does not lead on, since the writer has truncated past it, or since something
is damaged, the log's end is looked for as an opening does it; and so it is where the walk would be long, since whoever
waits for an entry, or closes the log, waits for the walk. What was passed by then is verified when it is read. Another
log in its place has other addresses, so a reader does not go on with that, but says that its own is gone.
"""

import time
from typing import Final, final

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.device.directory import LOG, STORE, Directory
from oxidbm._core.device.directory_lock import appearance, recovery_in
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.found_commit import FoundCommit, commit_at
from oxidbm._core.durability.newest_commit import newest_commit
from oxidbm._core.durability.superblock import Superblock, read_superblock
from oxidbm._core.errors import CorruptionError, FormatError, StaleError
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.recover import Verification, last_commit
from oxidbm._core.locks import REFRESHING, StoreLock
from oxidbm._core.log.reader import log_to_read, read_disk, read_or_nothing, value_of
from oxidbm._core.log.record import SHAPE_SESSION

LOOK_SECONDS: Final = 0.002
LOOKS_EACH: Final = 4  # of so many looks one is at the directory, too: the log may have gone on in another file
FAULTS_MAX: Final = 8  # in a row at one place, which may be just being written; then the walk begins anew
PATIENCE_MAX: Final = 1 << 20  # so many, at the most, where it came to nothing: each time it asks twice as many
ATTEMPTS_MAX: Final = 100
LEAP_BYTES: Final = 67_108_864  # a walk over more takes longer than to look for the log's end, which opens its files
PAUSE_SECONDS: Final = 0.0005  # before the second attempt, and as much more before each later one


def stand_at(commits: EntryCommits, last: FoundCommit) -> None:
    """Stand at a commit."""
    log = commits.log
    record = last.record
    end = last.end()
    place = log.device.place(last.address)
    begin = record.log.begin
    first = record.table.live_bytes
    if not FIRST_ADDRESS <= begin <= end or not 0 <= first <= record.table.count:
        raise CorruptionError(
            f"{place}: the last commit says that a log which ends at address {end} with entry {record.table.count} "
            f"begins at address {begin} with entry {first}. Restore it from a copy"
        )
    if begin < log.device.begin():
        raise CorruptionError(
            f"{place}: the log begins at address {begin}, but its first segment starts at {log.device.begin()}; "
            "a file is missing"
        )
    cookie_address = record.table.pending
    cookie = b""
    gone: bool = 0 < cookie_address < begin  # of an earlier commit than the last one, which keeps its cookie
    if cookie_address > 0 and not gone:
        found = read_disk(log, cookie_address)  # first of all: others run meanwhile
        if found.shape & SHAPE_SESSION == 0:
            raise CorruptionError(f"{place}: no cookie stands at address {cookie_address}, as it says")
        cookie = value_of(log, found)
    commits.sequence = commits.durable_sequence = record.log.sequence
    commits.known_durable = record.log.durable_sequence
    commits.address = last.address
    commits.end = commits.durable_tail = end
    commits.following = record.table.count
    commits.begin = commits.durable_begin = begin
    commits.first = first
    commits.time_ns = record.log.time_ns
    commits.cookie_address = cookie_address
    commits.cookie_gone = gone
    commits.cookie = commits.durable_cookie = cookie
    log.start_at(max(i64(FIRST_ADDRESS), begin & ~log.offset_mask), end, end)


@final
class Refresher:
    """Moves one log that is open to read only."""

    def __init__(self, commits: EntryCommits, directory: Directory, block: Superblock) -> None:
        self.commits = commits
        self.directory = directory
        self.block = block
        self.superblock_file = file_of(directory)
        self.recovery_word = recovery_in(directory)
        self.log = commits.log
        self.lock = StoreLock(self.log.life.locks, REFRESHING)
        known = commits.log
        # what is behind the last commit is no part of the log yet, so it is read through another one
        self.ahead = log_to_read(known.device, known.life.path, known.page_bits, known.checksum_key, i64(FIRST_ADDRESS))
        self.looks: i64 = 0
        self.faults: i64 = 0
        self.patience: i64 = FAULTS_MAX
        self.leap_bytes: i64 = LEAP_BYTES
        self.leap_from: i64 = 0  # where the walk stood at the last leap that came to nothing
        self.leap_least: i64 = 0  # and what has to be behind it for the next one from there
        self.walk = self.walk_anew()

    def walk_anew(self) -> Verification:
        """Return a walk that begins where the last commit ends."""
        commits = self.commits
        base: FoundCommit | None = None
        if commits.durable_sequence > 0:
            base = commit_at(self.ahead, commits.address)
        return Verification(self.ahead, base)

    def look(self) -> bool:
        """As `refresh`, for one who asks all the time: the directory is looked at only now and then."""
        self.looks += 1
        if self.looks % LOOKS_EACH != 0 and not self.written_here():
            return False
        return self.refresh()

    def wait(self, address: int, timeout: float | None) -> bool:
        """Return True once the entry at an address is committed and seen here; False after so many seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while address >= self.commits.durable_tail:
            if not self.look():
                if deadline is not None and time.monotonic() >= deadline:
                    return False
                time.sleep(LOOK_SECONDS)
        return True

    def written_here(self) -> bool:
        """Return whether something stands where the walk came to."""
        with self.lock:
            self.log.life.check_open()
            data = read_or_nothing(self.ahead, self.walk.cursor.following, 8)
            return len(data) < 8 or read_i64_le(data, 0) != 0

    def refresh(self) -> bool:
        """Move to the newest commit; False where it is the one that was seen before.

        CorruptionError where a commit that was durable does not verify, as an opening would raise.
        """
        log = self.log
        log.life.check_open()
        with self.lock:
            log.life.check_open()
            self.check_there()
            self.notice_recovery()
            moved = self.look_again() and (self.leap() or self.go_on())
            if self.walk.fault is not None:
                self.faults += 1
            else:
                self.faults = 0
                self.patience = FAULTS_MAX
            stuck: bool = self.walk.broken or self.faults >= self.patience
            if (stuck or not moved) and (stuck or self.passed_by()):
                moved = self.begin_anew() or moved
            return moved

    def check_there(self) -> None:
        """Raise StaleError where the log is gone, or another one stands in its directory."""
        file = file_of(self.directory)
        if file and file == self.superblock_file:
            return
        if file:
            try:
                if read_superblock(self.directory, self.block.kind).store_id == self.block.store_id:
                    self.superblock_file = file
                    return
            except (CorruptionError, FormatError, FileNotFoundError):  # of another one, which is being made
                pass
        raise StaleError(
            f"{self.log.life.called()} was deleted or replaced since this reader opened it. Close it, and open its "
            "path again where there is one"
        )

    def look_again(self) -> bool:
        """Know the files as they are; False where the writer has deleted one of them meanwhile."""
        try:
            self.log.device.look_again()
        except FileNotFoundError:
            return False
        return True

    def go_on(self) -> bool:
        """Walk on as far as it leads, and stand at the last commit there; return whether there was one."""
        walk = self.walk
        if not walk.go_on(self.log.device.end()) or walk.last is None:
            return False
        self.move(walk.last)
        return True

    def leap(self) -> bool:
        """Stand at the newest commit, as an opening would, where the walk there is long; False where it has to go.

        What is not committed yet is left to the walk. Where that stands still, as at a record that is half written,
        what is behind it has to become twice as much each time, or each look would search all of that.
        """
        at = self.walk.cursor.following
        if at != self.leap_from:
            self.leap_from = at
            self.leap_least = self.leap_bytes
        end = self.log.device.end()
        if end - at <= self.leap_least:
            return False
        found: FoundCommit | None = None
        try:
            if newest_commit(self.ahead, end & -8, at) is not None:
                found = self.newest()
        except CorruptionError:  # the walk leads to what is sound before that, and then it is said
            found = None
        if found is None:
            self.leap_least = 2 * (end - at)
            return False
        self.move(found)
        self.walk = self.walk_anew()
        self.go_on()
        return True

    def passed_by(self) -> bool:
        """Return whether the writer has truncated what the walk would go on with."""
        device = self.log.device
        return isinstance(device, FileDevice) and device.first_named() > self.walk.cursor.following

    def begin_anew(self) -> bool:
        """Stand at the commit that an opening would find now, and walk from there; False where it is the same one."""
        found = self.newest()
        self.faults = 0
        self.patience = min(2 * self.patience, PATIENCE_MAX)
        moved = found is not None
        if found is not None:
            self.move(found)
            self.patience = FAULTS_MAX
        self.walk = self.walk_anew()
        return (moved and self.go_on()) or moved

    def newest(self) -> FoundCommit | None:
        """Return the last commit of the files that there are now, and hold them; None where it is the one known here.

        CorruptionError twice is believed.
        """
        known = self.log
        if not isinstance(known.device, FileDevice):
            return self.later(last_commit(self.ahead, None)[0])
        said = ""
        attempt = 0
        while True:
            attempt += 1
            before = appearance(self.directory.path)
            try:
                device = FileDevice(self.directory.sub(LOG), known.page_bits, read_only=True)
                try:
                    log = log_to_read(device, known.life.path, known.page_bits, known.checksum_key, i64(FIRST_ADDRESS))
                    found = self.later(last_commit(log, None)[0])
                    if found is not None:
                        known.device.take_over(device)
                    return found
                finally:
                    device.close()
            except FileNotFoundError:  # listed, and then deleted
                if attempt >= ATTEMPTS_MAX:
                    return None
            except CorruptionError as failure:
                if attempt >= ATTEMPTS_MAX or (str(failure) == said and appearance(self.directory.path) == before):
                    raise
                said = str(failure)
            time.sleep(PAUSE_SECONDS * attempt)

    def later(self, found: FoundCommit | None) -> FoundCommit | None:
        """Return a commit where it is a later one than that which is known here, else None."""
        return found if found is not None and found.record.log.sequence > self.commits.durable_sequence else None

    def notice_recovery(self) -> None:
        """Begin anew behind the last commit where a writer has recovered the log: what was walked over is cut off."""
        word = recovery_in(self.directory)
        if word != self.recovery_word:
            self.recovery_word = word
            device = self.log.device
            if isinstance(device, FileDevice):
                device.see_until(self.commits.durable_tail)
            self.walk = self.walk_anew()
            self.faults = 0

    def move(self, found: FoundCommit) -> None:
        """Stand at a newer commit, and let go of files that were deleted before where it begins."""
        commits = self.commits
        stand_at(commits, found)
        commits.notices.tell(commits.durable_sequence)
        device = self.log.device
        if isinstance(device, FileDevice):
            self.log.epoch.bump(Passing(device, self.log.begin).let_go)


def file_of(directory: Directory) -> str:
    """Return what tells a directory's superblock from another one, "" where there is none, or none is found again."""
    status = None if directory.removed() else directory.status(STORE)
    return "" if status is None else f"{status.st_dev} {status.st_ino} {status.st_mtime_ns}"


@final
class Passing:
    """The files before an address, which readers may still want, for the epoch to let go of."""

    def __init__(self, device: FileDevice, until: i64) -> None:
        self.device = device
        self.until: i64 = until

    def let_go(self) -> None:
        """Close those that the writer has deleted."""
        self.device.see_from(self.until)
