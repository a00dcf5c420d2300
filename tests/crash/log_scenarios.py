"""What is done to a log before a crash of it, with notes of what each commit promised, and what is left of it then.

A commit is what the log says of itself when it is opened at it: entries with their addresses, where it begins, its
cookie and its number. A crash may leave any commit from the last one that was acknowledged on, and nothing else.
"""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

from oxidbm import Log
from oxidbm.testing import CrashDevice
from tests.inside import abandon_log, handle_of_log

PAGE_BYTES = 4096
MEMORY = "1MiB"
FRAMES = 8


class Commit(NamedTuple):
    """What a log holds as of one commit."""

    number: int
    cookie: bytes
    begin: int
    entries: tuple[tuple[int, bytes], ...]


EMPTY = Commit(0, b"", 64, ())


class Story(Protocol):
    """What keeps a writer's notes, in between of what happens to the disk."""

    def note(self, *words: Any) -> None: ...


class DeviceStory:
    """The story that a device keeps."""

    def __init__(self, device: CrashDevice) -> None:
        self.device = device

    def note(self, *words: Any) -> None:
        """Note the words."""
        self.device.note(words)


def open_log(path: Path, **more: Any) -> Log[bytes]:
    """Open a log that does nothing of itself."""
    return Log(path, **{"memory": MEMORY, "page_size": PAGE_BYTES, **more})


def held_by(log: Log[bytes]) -> Commit:
    """Return what a log holds that was committed, read in every way; each has to say the same."""
    entries = tuple(log)
    assert len(log) == len(entries)
    assert [log.read(address) for address, _ in entries] == [data for _, data in entries]
    assert [log.size(address) for address, _ in entries] == [len(data) for _, data in entries]
    assert all(address >= log.begin for address, _ in entries)
    return Commit(log.commit_number, log.cookie, log.begin, entries)


class LogWriter:
    """A log, the commits it went through, and notes of them in the story."""

    def __init__(self, story: Story, path: Path, **more: Any) -> None:
        self.story = story
        self.path = path
        self.more = more
        self.commits = [EMPTY]
        self.entries: list[tuple[int, bytes]] = []
        self.log = self.open()

    def open(self) -> Log[bytes]:
        """Open the log with memory for a few pages."""
        log = open_log(self.path, **self.more)
        handle_of_log(log).log.budget.limit = FRAMES * PAGE_BYTES
        return log

    def append(self, *entries: bytes) -> None:
        """Append entries one by one."""
        for entry in entries:
            self.entries.append((self.log.append(entry), entry))

    def batch(self, *entries: bytes) -> None:
        """Append entries in one batch."""
        with self.log.batch() as batch:
            for entry in entries:
                batch.append(entry)
        self.entries.extend(zip(batch.addresses, entries, strict=True))

    def began(self, cookie: bytes | None, number: int | None) -> None:
        """Note what is about to be committed."""
        last = self.commits[-1]
        self.commits.append(
            Commit(
                last.number + 1 if number is None else number,
                last.cookie if cookie is None else cookie,
                self.log.begin,
                tuple(self.entries),
            )
        )
        self.story.note("began", len(self.commits) - 1)

    def durable(self) -> None:
        """Note that the last commit was acknowledged."""
        self.story.note("durable", len(self.commits) - 1)

    def commit(self, cookie: bytes | None = None, number: int | None = None) -> None:
        """Commit what there is."""
        self.began(cookie, number)
        assert self.log.commit(cookie, number=number) == self.commits[-1].number
        self.durable()

    def truncate(self, count: int) -> None:
        """Forget the first entries."""
        until = self.entries[count][0] if count < len(self.entries) else self.log.tail
        assert self.log.truncate(until) == min(count, len(self.entries))
        del self.entries[:count]

    def roll(self) -> None:
        """Have the next page begin a segment."""
        handle_of_log(self.log).log.device.roll()

    def close(self) -> None:
        """Close, which commits what there is."""
        if self.log.tail > self.log.committed or self.log.stats()["committed_begin"] != self.log.begin:
            self.began(None, None)
        self.log.close()
        self.durable()

    def reopen(self) -> None:
        """Close and open again."""
        self.close()
        self.log = self.open()
        assert held_by(self.log) == self.commits[-1]

    def killed(self) -> None:
        """Lose what was not committed, as a process that is killed."""
        abandon_log(self.log)
        self.log = self.open()
        assert held_by(self.log) in self.commits
        self.entries = list(held_by(self.log).entries)


def sized(count: int, size: int) -> list[bytes]:
    """Return entries of a size that are all different."""
    return [(b"%d of %d," % (number, count) * (size // 6 + 1))[:size] for number in range(count)]


def small_commits(w: LogWriter) -> None:
    """A few entries a commit, empty ones too."""
    for turn in range(6):
        w.append(*sized(turn, 40), b"")
        w.commit()
    w.append(b"never committed")


def cookies(w: LogWriter) -> None:
    """Cookies that are given, kept, replaced and taken away; numbers that are chosen."""
    w.commit(b"before anything")
    w.append(*sized(3, 100))
    w.commit()
    w.append(*sized(3, 100))
    w.commit(b"second" * 500, 10)
    w.append(b"one")
    w.commit()
    w.commit(b"", 1000)
    w.append(b"two")
    w.reopen()
    w.commit(b"third")
    w.append(b"three")
    w.close()


def batches(w: LogWriter) -> None:
    """Batches with entries larger than a page, over more pages than there is memory for at once."""
    w.append(b"before")
    w.batch(*sized(20, 500))
    w.commit()
    w.batch(*sized(3, 2000), *sized(1, 9000), b"", *sized(2, 50))
    w.batch(*sized(5, 1500))
    w.commit()
    w.batch(*sized(4, 3900))
    w.killed()
    w.batch(*sized(4, 3900))
    w.commit()


def beyond_memory(w: LogWriter) -> None:
    """More than memory holds between two commits, so that pages are written long before they count."""
    w.append(*sized(30, 1000))
    w.commit(b"c")
    w.append(*sized(50, 1200), *sized(2, 12000))
    w.commit()
    w.append(*sized(40, 1000))
    w.killed()
    w.append(*sized(3, 10))
    w.commit()


def truncation(w: LogWriter) -> None:
    """Entries are forgotten, inside of a page and whole segments, with the cookie among them, and all there are."""
    for turn in range(4):
        w.append(*sized(12, 1000))
        w.roll()
        w.commit(b"a cookie" if turn == 0 else None)
    w.truncate(1)
    w.commit()
    w.truncate(30)
    w.commit()
    w.append(*sized(9, 2000))
    w.truncate(20)
    w.commit()
    w.truncate(1000)
    w.commit()
    w.append(b"anew")
    w.reopen()
    w.truncate(1000)
    w.close()


def first_commit_truncates(w: LogWriter) -> None:
    """The first commit of all gives space back."""
    for _ in range(3):
        w.append(*sized(12, 1500))
        w.roll()
    w.truncate(20)
    w.commit()
    w.append(b"more")
    w.commit()


def first_entry_fills_a_page(w: LogWriter) -> None:
    """The first page stays empty."""
    w.append(*sized(1, PAGE_BYTES - 24))
    w.append(*sized(20, 3000))
    w.commit()
    w.append(b"more")
    w.killed()
    w.reopen()
    w.truncate(4)
    w.close()


def closings(w: LogWriter) -> None:
    """Closing and opening, with and without something new."""
    w.reopen()
    w.append(*sized(5, 300))
    w.reopen()
    w.reopen()
    w.append(*sized(8, 3000))
    w.killed()
    w.append(*sized(8, 3000))
    w.commit(b"end")
    w.log.close(commit=False)
    w.log = w.open()
    w.append(b"left away")
    w.log.close(commit=False)


SCENARIOS = [
    small_commits, cookies, batches, beyond_memory, truncation, first_commit_truncates, first_entry_fills_a_page,
    closings,
]  # fmt: skip


def contents(path: Path, **more: Any) -> Commit:
    """Open what a crash left, twice: it can be appended to, and the second opening sees that."""
    with open_log(path, **more) as log:
        found = held_by(log)
        added = tuple((log.append(entry), entry) for entry in (b"after", b"x" * 5000, b""))
        wanted = Commit(found.number + 1, found.cookie, log.begin, found.entries + added)
        assert log.commit() == wanted.number
        assert held_by(log) == wanted
    with open_log(path, read_only=True, **more) as log:
        assert held_by(log) == wanted
        assert [log.read(address) for address, _ in added] == [b"after", b"x" * 5000, b""]
    return found
