"""The log: entries of bytes, appended at the tail, read by address or in order, durable up to the last commit.

Under the GIL an append is one stretch of compiled code, so any number of threads may share a log.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from types import GenericAlias
from typing import Any, Final, cast

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.arguments import as_flag, as_seconds, as_text, check_iterable
from oxidbm._core.coder import PLAIN, Coder
from oxidbm._core.cookies import to_cookie
from oxidbm._core.durability.source import Recovery
from oxidbm._core.durability.superblock import A_LOG, Kind
from oxidbm._core.faster_log.arguments import as_address, checked_number, nearest_address, to_entry, too_large
from oxidbm._core.faster_log.batch import LogBatch
from oxidbm._core.faster_log.check import check
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.figures import figures
from oxidbm._core.faster_log.finding import address_at, checked_count, last_entries
from oxidbm._core.faster_log.follow import LogFollower, wait_until
from oxidbm._core.faster_log.handle import LogHandle, not_to_copy, shown_log
from oxidbm._core.faster_log.keeper import LogKeeper
from oxidbm._core.faster_log.log_reader import (
    LogReader,
    ReaderInfo,
    add_reader,
    before_readers,
    beginning,
    check_reached,
    copy_readers,
    directory_of,
    infos,
    open_reader,
    stays,
)
from oxidbm._core.faster_log.opening import open_memory, open_path
from oxidbm._core.faster_log.options import LogOptions, skips
from oxidbm._core.faster_log.position_file import forget, known
from oxidbm._core.faster_log.reading import checked_address, read_entry, size_of_entry, truncation
from oxidbm._core.faster_log.refresh import LOOK_SECONDS, Refresher
from oxidbm._core.faster_log.scan import EntryIterator, decoded
from oxidbm._core.finalizers import finish
from oxidbm._core.life import COMMITTED, OPEN, WRITABLE, Life
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.record import VALUE_LENGTH_MAX
from oxidbm._core.log.room import room_for
from oxidbm._core.seconds import checked_timeout
from oxidbm._core.sizes import parse_size

SLICE_ENTRIES: Final = 512
READER_NAME: Final = "a reader's name"


class Log:
    """Documented in oxidbm/__init__.pyi, since compiled classes have no docstrings."""

    # a default of the class is there even when __init__ failed or never ran, as the finalizer must expect
    owned: LogHandle | None = None
    kind: Kind = A_LOG  # what the directory is, which its superblock says

    def __init__(
        self,
        path: object = None,
        *,
        memory: object = "64MiB",
        durability: object = "manual",
        read_only: object = False,
        page_size: object = "4MiB",
        interval: object = 1.0,
        commit_bytes: object = None,
        keep_entries: object = None,
        keep_bytes: object = None,
        keep_seconds: object = None,
        codec: object = None,
        mode: object = 0o666,
        create: object = True,
        lock: object = True,
        device: object = None,
        commit: object = None,
        on_error: object = None,
    ) -> None:
        options = LogOptions(
            parse_size("memory", memory), parse_size("page_size", page_size), durability, interval, codec
        )
        options.kind = self.kind
        options.open_as(read_only, mode, create, lock, device)
        options.commit_bytes = 0 if commit_bytes is None else parse_size("commit_bytes", commit_bytes)
        options.keep(keep_entries, 0 if keep_bytes is None else parse_size("keep_bytes", keep_bytes), keep_seconds)
        options.at_commit(commit)
        options.pass_over(on_error)
        options.check_place(path)
        handle = open_memory(options) if path is None else open_path(os.fsdecode(os.fspath(cast(Any, path))), options)
        self.handle: LogHandle = handle
        self.owned = handle
        handle.belong()
        self.life: Life = handle.life
        self.log: HybridLog = handle.log
        self.commits: EntryCommits = handle.commits
        self.keeper: LogKeeper | None = handle.keeper
        self.coder: Coder = options.coder
        self.refresher: Refresher | None = handle.refresher
        self.typed: bool = options.coder.kind != PLAIN
        self.value_limit: i64 = min(i64(options.memory) // 2 - 64, i64(VALUE_LENGTH_MAX))
        self.always: bool = options.durability == "always" and path is not None
        if self.always and not options.read_only:
            self.life.writable = COMMITTED
        if options.commit_bytes:
            self.log.set_step(i64(options.commit_bytes))
        handle.handed = options.kind is A_LOG

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    def __enter__(self) -> "Log":  # noqa: PYI034 - Self is not for compiled classes
        self.life.check_open()
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.close()

    def __del__(self) -> None:
        owned = self.owned
        if owned is not None:
            finish(owned, owned.close)

    def __reduce__(self) -> Any:
        raise TypeError("a log cannot be pickled or copied; open its path where it is needed")

    def __repr__(self) -> str:
        return f"<oxidbm.{type(self).__name__} {shown_log(self.handle)}>"

    def append(self, data: object) -> int:
        """Append an entry and return its address."""
        if self.life.writable != WRITABLE or self.life.state != OPEN:
            self.life.blocked_write()
        if isinstance(data, bytes) and not self.typed:
            entry: bytes = data  # a local of the type, or each use would look at the type again
        else:
            entry = to_entry(self.coder, data)
        commits = self.commits
        address: i64 = -1
        if i64(len(entry)) <= self.value_limit:
            address = commits.append(entry)
        if address < 0:
            address = self.append_slowly(entry)
        if self.log.due:
            self.step()
        if self.always:
            commits.commit()
        return int(address)

    def append_slowly(self, entry: bytes) -> i64:
        """Append an entry for which there is no room, once there is; return its address."""
        log = self.log
        if i64(len(entry)) > self.value_limit:
            raise too_large(len(entry), self.value_limit)
        while True:
            address = self.commits.append(entry)
            if address > 0:
                _breath.breathe()  # each of the steps of a large entry takes its time: room, this copy, the checksum
                return address
            self.life.check_not_poisoned()
            self.life.check_open()
            self.writer().make_room(room_for(-address, log.page_bytes))
            _breath.breathe()

    def try_append(self, data: object) -> int | None:
        """Append an entry and return its address; None where the memory is full, instead of waiting."""
        if self.life.writable != WRITABLE or self.life.state != OPEN:
            self.life.blocked_write()
        entry = to_entry(self.coder, data)
        if i64(len(entry)) > self.value_limit:
            raise too_large(len(entry), self.value_limit)
        log = self.log
        address = self.commits.append(entry)
        if address < 0 and log.prepare(room_for(-address, log.page_bytes)):
            address = self.commits.append(entry)
        if log.due:
            self.step()
        if address < 0:
            self.writer().ask_for_room()
            return None
        if self.always:
            self.commits.commit()
        return int(address)

    def append_many(self, entries: Iterable[object]) -> tuple[int, int]:
        """Append entries; return the address of the first one and that behind the last one."""
        if self.life.writable != WRITABLE or self.life.state != OPEN:
            self.life.blocked_write()
        if isinstance(entries, (bytes, str, bytearray, memoryview)):
            raise TypeError(f"append_many() takes an iterable of entries, not {type(entries).__name__}; append() one")
        check_iterable("entries", "an iterable of entries", entries)
        first: i64 = 0
        following: i64 = 0
        if isinstance(entries, list):
            given: list[object] = entries
            i: i64 = 0
            while i < i64(len(given)):
                address, following = self.append_one(given[i])
                if first == 0:
                    first = address
                i += 1
                if i & (SLICE_ENTRIES - 1) == 0:
                    _breath.breathe()
        else:
            for one in entries:
                address, following = self.append_one(one)
                if first == 0:
                    first = address
        if first == 0:
            first = following = self.log.tail
        if self.always:
            self.commits.commit()
        return int(first), int(following)

    def append_one(self, data: object) -> tuple[i64, i64]:
        """As `append`, without a commit; also return where the next record may stand: not where others' entries end."""
        entry = data if isinstance(data, bytes) and not self.typed else to_entry(self.coder, data)
        log = self.log
        address: i64 = -1
        if i64(len(entry)) <= self.value_limit and self.life.state == OPEN:
            address = self.commits.append(entry)
        if address < 0:
            self.life.check_writable()
            address = self.append_slowly(entry)
        following = log.tail
        if log.due:
            self.step()
        return address, following

    def batch(self) -> LogBatch:
        """Return a batch: entries that become durable together, or not at all."""
        self.check_writable()
        return LogBatch(self.commits, self.writer(), self.coder, self.value_limit, self.always, self)

    def step(self) -> None:
        """Do what is due each 64 KiB."""
        self.writer().step()

    def writer(self) -> LogKeeper:
        """Return what keeps a log that is open to write."""
        keeper = self.keeper
        assert keeper is not None
        return keeper

    def check_writable(self) -> None:
        """Raise where nothing can be appended."""
        self.life.check_writable()

    def commit(self, cookie: object = None, *, number: object = None, alone: object = False) -> int:
        """Return the number of a commit by which everything appended so far is durable."""
        self.check_writable()
        commits = self.commits
        if not as_flag("alone", alone) and cookie is None and number is None:
            commits.commit()
            return int(commits.durable_sequence)
        wanted = 0 if number is None else checked_number("number", number)
        return int(commits.commit_alone(to_cookie(cookie, "commit"), i64(wanted)))

    def wait(self, address: object = None, timeout: object = None) -> bool:
        """Return True once the entry at an address is durable, False where that takes longer than `timeout`."""
        seconds = checked_timeout(timeout)
        self.life.check_open()
        wanted = -1 if address is None else as_address(address)
        if self.refresher is not None:
            return self.refresher.wait(wanted, seconds)
        return wait_until(self.commits, self.log.tail if address is None else nearest_address(wanted) + 1, seconds)

    def read(self, address: object) -> Any:
        """Return the entry at an address."""
        if self.life.state != OPEN:
            self.life.blocked_read()
        at = checked_address(self.commits, address)
        data = read_entry(self.commits, at)
        return decoded(self.coder, at, data) if self.typed else data

    def __getitem__(self, address: object) -> Any:
        return self.read(address)

    def size(self, address: object) -> int:
        """Return the length of the entry at an address in bytes."""
        self.life.check_open()
        return int(size_of_entry(self.commits, checked_address(self.commits, address)))

    def scan(
        self, begin: object = None, end: object = None, *, uncommitted: object = False, on_error: object = None
    ) -> EntryIterator:
        """Return an iterator over (address, entry), in order."""
        self.life.check_open()
        commits = self.commits
        stop: i64 = self.log.tail if as_flag("uncommitted", uncommitted) else commits.durable_tail
        if end is not None:
            stop = min(stop, nearest_address(end))
        start: i64 = commits.begin if begin is None else nearest_address(begin)
        return EntryIterator(commits, self.coder, start, stop, skips(on_error, self.handle.options.skips), self)

    def last(self, count: object = 1, *, on_error: object = None) -> list[tuple[int, Any]]:
        """Return the last committed entries, in order, each with its address."""
        self.life.check_open()
        wanted = checked_count(count)
        passes = skips(on_error, self.handle.options.skips)
        return cast(list[tuple[int, Any]], last_entries(self.commits, self.coder, wanted, passes))

    def address_at(self, time: object) -> int:
        """Return the address from which on the entries were committed at a time, in seconds since 1970, or later."""
        self.life.check_open()
        return int(address_at(self.commits, as_seconds("time", "a number of seconds since 1970", time)))

    def follow(
        self, begin: object = None, *, timeout: object = None, uncommitted: object = False, on_error: object = None
    ) -> LogFollower:
        """Return an iterator over the entries from an address on, and over those that come."""
        seconds = checked_timeout(timeout)
        start = beginning(self.handle, begin)
        passes = skips(on_error, self.handle.options.skips)
        early = as_flag("uncommitted", uncommitted)
        drains = self.kind is A_LOG
        return LogFollower(self.commits, self.coder, start, seconds, early, passes, self.refresher, self, drains)

    def aiter(
        self, begin: object = None, *, timeout: object = None, uncommitted: object = False, on_error: object = None
    ) -> AsyncIterator[tuple[int, Any]]:
        """As `follow`, for `async for`."""
        from oxidbm import _async  # asyncio takes time to import, and few ask for it

        follower = self.follow(begin, timeout=timeout, uncommitted=uncommitted, on_error=on_error)
        return cast(AsyncIterator[tuple[int, Any]], _async.AsyncEntries(follower, follower.timeout, LOOK_SECONDS))

    def refresh(self) -> bool:
        """Move a log that is open to read only to the newest commit; False where it is there already."""
        self.life.check_open()
        refresher = self.refresher
        if refresher is not None:
            return refresher.refresh()
        if self.read_only:
            raise stays(self.handle)
        return False

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        return cast(Iterator[tuple[int, Any]], self.scan())

    def __reversed__(self) -> Any:
        raise TypeError("a log is read from its begin to its tail: entries say how long they are, not where they began")

    def __contains__(self, entry: object) -> bool:
        raise TypeError("a log is not searched with `in`: read() gives the entry at an address, scan() all of them")

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        self.life.check_open()
        return int(self.commits.length())

    def truncate(self, until: object = None, *, past_readers: object = False) -> int:
        """Forget the entries before an address, or all that every reader has done; return how many those were."""
        self.check_writable()
        commits = self.commits
        before = commits.first
        wanted: i64 = self.log.tail if until is None else nearest_address(until)
        if not as_flag("past_readers", past_readers):
            wanted = before_readers(self.handle, wanted, until)
        truncation(commits, wanted)
        if self.always:
            commits.commit()
        return int(commits.first - before)

    def reader(
        self,
        name: object,
        *,
        begin: object = None,
        follow: object = False,
        timeout: object = None,
        on_error: object = None,
    ) -> LogReader:
        """Return the reader of a name, which goes on where it last stood."""
        known_as = as_text("name", READER_NAME, name)
        seconds = checked_timeout(timeout)
        start = beginning(self.handle, begin)
        check_reached(self.handle, known_as, begin)
        passes = skips(on_error, self.handle.options.skips)
        waits = as_flag("follow", follow)
        return open_reader(self.handle, self.coder, known_as, start, seconds if waits else 0.0, passes, self)

    def add_reader(self, name: object, *, begin: object = None) -> bool:
        """Have a reader be known, durably, which need not be opened for that; False where it is known already."""
        known_as = as_text("name", READER_NAME, name)
        start = beginning(self.handle, begin)
        check_reached(self.handle, known_as, begin)
        return add_reader(self.handle, known_as, start)

    def readers(self) -> list[ReaderInfo]:
        """Return what is known of each named reader."""
        self.life.check_open()
        directory = self.handle.directory
        return [] if directory is None else infos(self.commits, known(directory, True))

    def forget_reader(self, name: object) -> bool:
        """Know a reader no more; False where it is not known."""
        self.life.check_open()
        return forget(directory_of(self.handle), as_text("name", READER_NAME, name))

    @property
    def path(self) -> str | None:
        """The log's directory; None for one in memory."""
        return self.life.path or None

    @property
    def closed(self) -> bool:
        """Whether the log was closed."""
        return not self.life.alive()

    @property
    def read_only(self) -> bool:
        """Whether the log was opened read-only."""
        return self.handle.options.read_only

    @property
    def codec(self) -> str:
        """The name of the codec of the entries, "bytes" for none."""
        return self.handle.codec()

    @property
    def begin(self) -> int:
        """The address before which there is nothing."""
        return int(self.commits.start())

    @property
    def tail(self) -> int:
        """The address behind the last entry."""
        return int(self.log.tail)

    @property
    def committed(self) -> int:
        """The address up to which everything is durable."""
        return int(self.commits.durable_tail)

    @property
    def cookie(self) -> bytes:
        """The cookie of the last durable commit, b"" for none; MissingError where it was truncated."""
        return self.commits.said_cookie()

    @property
    def commit_number(self) -> int:
        """The number of the last durable commit, 0 for none."""
        return int(self.commits.durable_sequence)

    @property
    def recovery(self) -> Recovery:
        """What the opening found and did."""
        return self.handle.recovery

    def backup(self, to: object, *, link: object = False, progress: Callable[[int, int], None] | None = None) -> Any:
        """Copy the log as of a commit that is made now to another directory; return a report."""
        self.life.check_open()
        handle = self.handle
        if handle.directory is None or handle.superblock is None or handle.recovery.faults:
            raise not_to_copy(handle)
        from oxidbm import _log_backup

        links = as_flag("link", link)
        backup = _log_backup.LogBackup(handle.commits, handle.directory, handle.superblock, cast(Any, to), copy_readers)
        if self.refresher is None:
            return backup.make(links, progress)
        with self.refresher.lock:
            return backup.make(links, progress)

    def check(self) -> list[str]:
        """Return every fault found in the log, as sentences."""
        self.life.check_open()
        return check(self.handle)

    def stats(self) -> dict[str, Any]:
        """Return figures about the log."""
        self.life.check_open()
        return figures(self.handle)

    def close(self, commit: object = True) -> None:
        """Commit and close; with commit=False leave away what is not committed. A second time does nothing."""
        if as_flag("commit", commit):
            self.handle.close()
        else:
            self.handle.close_uncommitted()
