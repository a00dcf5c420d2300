"""Reading one entry by its address, and truncating to one: an address that is no entry's start is told so."""

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.coder import ENTRIES, plain
from oxidbm._core.durability.commit_record import COMMIT_SHAPE, COUNT_OFFSET
from oxidbm._core.errors import CorruptionError
from oxidbm._core.faster_log.arguments import as_address
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.entry import is_entry, number_at, starts_in_memory, starts_record
from oxidbm._core.faster_log.scan import EntryIterator, start_for
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.reader import Record, read_disk, value_of
from oxidbm._core.log.record import HEADER_BYTES, VALUE_LENGTH_MASK, previous_address


def read_entry(commits: EntryCommits, address: i64) -> bytes:
    """Return the entry at an address between begin and tail; ValueError where none starts there."""
    log = commits.log
    if address >= log.head:
        if starts_in_memory(log, address):
            slot = log.slot_of(address)
            shape = log.frames.words[slot][log.word_of(address) + 1]
            if is_entry(shape):
                return log.frames.copy_out(slot, (address & log.offset_mask) + HEADER_BYTES, shape & VALUE_LENGTH_MASK)
        raise no_entry(commits, address)
    found = found_on_disk(commits, address)
    return value_of(log, found)


def size_of_entry(commits: EntryCommits, address: i64) -> i64:
    """Return the length of the entry at an address in bytes."""
    log = commits.log
    if address < log.head:
        return found_on_disk(commits, address).shape & VALUE_LENGTH_MASK
    if starts_in_memory(log, address):
        shape = log.frames.words[log.slot_of(address)][log.word_of(address) + 1]
        if is_entry(shape):
            return shape & VALUE_LENGTH_MASK
    raise no_entry(commits, address)


def found_on_disk(commits: EntryCommits, address: i64) -> Record:
    """Return the entry's record at an address below head, verified."""
    log = commits.log
    slot = log.epoch.protect()
    try:
        if address & 7 == 0:
            found = read_disk(log, address)
            if is_entry(found.shape):
                return found
    except CorruptionError:
        if is_lost(commits, address):
            raise
    finally:
        log.epoch.release(slot)
    raise no_entry(commits, address)


def found_entry(commits: EntryCommits, address: object) -> i64:
    """Return the address of an entry, checked to be one; TypeError, IndexError, ValueError."""
    found = checked_address(commits, address)
    size_of_entry(commits, found)
    return found


def checked_address(commits: EntryCommits, address: object) -> i64:
    """Return an address that lies in the log; TypeError, IndexError."""
    given = as_address(address)
    begin = int(commits.start())
    tail = int(commits.log.tail)
    if not begin <= given < tail:
        commits.log.life.check_open()  # of a log that was closed meanwhile, nothing is there
        raise IndexError(
            f"address {given} is not in the log, which begins at {begin} and ends at {tail}"
            + ("; what was there was truncated" if FIRST_ADDRESS <= given < begin else "")
        )
    return i64(given)


def ends_records(commits: EntryCommits, address: i64) -> bool:
    """Return whether the last record of a page ends at an address, which was the tail once. O(a page)."""
    use = commits.log.use
    use.begin()
    try:
        cursor = Cursor(commits.log, start_for(commits, address), address)
        end: i64 = 0
        while cursor.step():
            end = cursor.following
        return end == address
    finally:
        use.end()


def number_before(commits: EntryCommits, address: i64) -> i64:
    """Return the number that the entry at an address should have, as what stands before it says; -1 where nothing does.

    O(a page).
    """
    use = commits.log.use
    use.begin()
    try:
        cursor = Cursor(commits.log, start_for(commits, address), address)
        number: i64 = -1
        while cursor.step():
            if is_entry(cursor.shape):
                number = previous_address(cursor.info) + 1
            elif cursor.shape == COMMIT_SHAPE:
                number = read_i64_le(cursor.value(), COUNT_OFFSET)
        return number
    finally:
        use.end()


def is_lost(commits: EntryCommits, address: i64) -> bool:
    """Return whether what stands around an address on disk, at which no record verifies, is damaged. O(a page).

    Else the records before it lead past it, and none is missing: no entry ever began there.
    """
    walk = EntryIterator(commits, plain(ENTRIES), address, commits.log.tail, False, None)
    try:
        walk.step()
    except CorruptionError:
        return True
    return False


def no_entry(commits: EntryCommits, address: i64) -> ValueError:
    """Return the error for an address at which no entry starts, with the next one at which one does."""
    log = commits.log
    try:
        following = next_entry(commits, address)
    except CorruptionError:
        following = 0
    hint = f"; the next one starts at {following}" if following > 0 else ""
    return ValueError(f"no entry of {log.life.called()} starts at address {address}{hint}. Use what append() returned")


def next_entry(commits: EntryCommits, address: i64, skips: bool = False) -> i64:
    """Return where the first entry at or behind an address starts, -1 where none does; `skips` what is damaged."""
    log = commits.log
    if skips:
        walk = EntryIterator(commits, plain(ENTRIES), address, log.tail, True, None)
        return walk.cursor.address if walk.step() else -1
    log.use.begin()
    slot = log.epoch.protect()
    try:
        cursor = Cursor(log, start_for(commits, address), log.tail)
        while cursor.step():
            if cursor.address >= address and is_entry(cursor.shape):
                return cursor.address
    finally:
        log.epoch.release(slot)
        log.use.end()
    return -1


def number_behind(commits: EntryCommits, address: i64, skips: bool = False) -> i64:
    """Return the number of the first entry at or behind an address, that of the next one where none is there."""
    start = next_entry(commits, address, skips)
    return commits.following if start < 0 else number_at(commits.log, start)


def truncation(commits: EntryCommits, until: i64) -> None:
    """Let the log begin with the first entry at or behind an address, or be empty."""
    log = commits.log
    if until <= commits.begin:
        return
    if until < log.tail and not starts_record(log, until) and not ends_records(commits, until):
        raise no_entry(commits, until)
    while True:
        tail = log.tail
        begin: i64 = -1
        if until < tail:
            try:
                begin = next_entry(commits, until)  # which may read the disk, while others append
            except CorruptionError:
                number = number_before(commits, until)
                if number < 0:
                    raise
                commits.move_begin(until, number)
                return
        if begin > 0:
            number = number_at(log, begin)
            commits.move_begin(begin, number)
            return
        if log.tail == tail:
            commits.move_begin(tail, commits.following)
            return
