"""The lock of a directory's one writer, and the note that stands in its file.

LOCK holds a note beside the lock: who took it last, and a word that is another one after each recovery. A reader takes
no lock, so it looks at that word before and after: the same one says that nothing it read was cut off and written anew.
A backup's note says of which commit it is, until a writer takes the lock and writes its own.
"""

import os
from typing import Final, final

from oxidbm._core.device.directory import CHECKPOINTS, CLEAN, LOCK, LOG, STORE, Directory
from oxidbm._core.device.lock_file import HELD, LockFile, close_of_lost
from oxidbm._core.device.system import host_name, sync_file, try_lock
from oxidbm._core.errors import LockedError

NOTE_BYTES_MAX: Final = 4096
SMALL_BYTES_MAX: Final = 4096
RECOVERY: Final = b'"recovery": "'  # what stands before the word in the note
BACKUP: Final = b'"backup": "'  # what stands before the number of the commit that a backup is of


@final
class DirectoryLock:
    """The one writer's lock: flock where there is one, a locked byte on Windows; it goes with the process.

    One that is lost is given back (see open_file).
    """

    to_close: LockFile | None = None  # also where __init__ never ran, as the finalizer must expect

    def __init__(self, directory: Directory, mode: int) -> None:
        self.file = self.to_close = LockFile()
        self.directory = directory
        try:
            self.file.open(directory, LOCK, os.O_RDWR | os.O_CREAT, mode)
            while not self.take_named():
                self.file.forget()
                self.file.open(directory, LOCK, os.O_RDWR | os.O_CREAT, mode)
            self.file.held = True
            note = read_note(self.file.descriptor)
            write_note(self.file.descriptor, recovery_word(note), note)
        except BaseException:
            self.close()
            raise

    def take_named(self) -> bool:
        """Take the lock; False where it is one on a file that the name does not lead to any more."""
        if not self.take():
            raise LockedError(f"{self.directory.path} is open for writing in {self.holder()}")
        return self.file.is_named(self.directory, LOCK)

    def take(self) -> bool:
        """Try to take the lock."""
        return try_lock(self.file.descriptor)

    def holder(self) -> str:
        """Return who holds the lock and what to do about it, in words."""
        status = os.fstat(self.file.descriptor)
        identity = (status.st_dev, status.st_ino)
        if any(other.held and other.identity == identity for other in list(HELD.values())):
            return (
                f"this very process (process {os.getpid()} on {host_name()}): use the one that has it open, from as "
                "many threads as you like, or close that one first; read_only=True reads the last commit beside it"
            )
        import json

        try:
            note = json.loads(read_note(self.file.descriptor))
            who = f"process {note['pid']} on {note['host']}"
        except (ValueError, KeyError, TypeError, RecursionError):
            who = "another process or thread that has not written its number yet"
        return f"{who}; close it there, or open it with read_only=True to read the last commit"

    def note_backup(self, sequence: int) -> None:
        """Say that the store is a backup of a commit, which nobody has opened to write yet; durably."""
        write_note(self.file.descriptor, "", b"", f', "backup": "{sequence}"')
        sync_file(self.file.descriptor)

    def close(self) -> None:
        """Give the lock back; a second time does nothing."""
        self.file.close()

    def __del__(self) -> None:
        close_of_lost(self.to_close)


def read_note(descriptor: int) -> bytes:
    """Return what stands in LOCK."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, NOTE_BYTES_MAX)


def write_note(descriptor: int, word: str, known: bytes = b"", more: str = "") -> None:
    """Say in LOCK who has the store open, and the word of its last recovery, unless what is known to stand there does.

    It does where one process opens a store again and again.
    """
    note = f'{{"pid": {os.getpid()}, "host": "{host_name()}", "recovery": "{word}"{more}}}'.encode()
    if note == known:
        return
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, note)
    os.ftruncate(descriptor, len(note))


def recovery_word(note: bytes) -> str:
    """Return the word of the last recovery in a note, "" for none; without the module json, which is slow to import."""
    word = note.partition(RECOVERY)[2].partition(b'"')[0]
    return word.decode() if word.isalnum() else ""


def noted_backup(directory: Directory) -> int:
    """Return the commit that a store is an untouched backup of; -1 where its note does not say that it is one."""
    note = b"" if directory.status(LOCK) is None else directory.read_start(LOCK, NOTE_BYTES_MAX)
    number = note.partition(BACKUP)[2].partition(b'"')[0]
    return int(number) if number.isdigit() else -1


def note_recovery(directory: Directory, mode: int) -> None:
    """Change the word: a tail may have been cut off, and the log goes on where that stood."""
    descriptor = directory.open(LOCK, os.O_RDWR | os.O_CREAT, mode)
    try:
        write_note(descriptor, os.urandom(8).hex())
    finally:
        os.close(descriptor)


def last_recovery(path: str) -> str:
    """Return the word of a store's last recovery, "" for none."""
    try:
        directory = Directory(path)
    except OSError:
        return ""
    try:
        return recovery_in(directory)
    finally:
        directory.close()


def recovery_in(directory: Directory) -> str:
    """As `last_recovery`, of a store whose directory is open."""
    try:
        descriptor = directory.open(LOCK, os.O_RDONLY)
    except OSError:
        return ""
    try:
        return recovery_word(read_note(descriptor))
    finally:
        os.close(descriptor)


def start_or_nothing(directory: Directory, name: str) -> str:
    """Return the first bytes of a file in hexadecimal, "" where there is none."""
    return "" if directory.status(name) is None else directory.read_start(name, SMALL_BYTES_MAX).hex()


def appearance(path: str) -> list[str]:
    """Return what a writer changes beside a reader: directory, superblock, mark, recovery, and the log's segments.

    What cannot be looked at, since it is just being replaced, is left out.
    """
    try:
        directory = Directory(path)
    except OSError:
        return []
    seen: list[str] = []
    try:
        status = directory.stat(os.curdir, True)
        seen.append(f"{status.st_dev} {status.st_ino}")
        seen.append(start_or_nothing(directory, STORE))
        seen.append(start_or_nothing(directory, CLEAN))
        seen.append(last_recovery(path))
        for name in (LOG, CHECKPOINTS):
            if directory.status(name) is not None:
                below = directory.sub(name)
                try:
                    seen.extend(below.names())
                finally:
                    below.close()
    except OSError:
        return seen
    finally:
        directory.close()
    return seen
