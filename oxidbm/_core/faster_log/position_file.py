"""A named reader's position, in a file of its own beside the log: who reads may be another process than who writes.

The file, `readers/NAME.pos`, has two slots of 64 bytes, which are written in turn, so that a crash in the middle of one
leaves the other: magic, a counter that grows with each write, the address to go on at, the number of the entry there,
when it was written in nanoseconds since 1970, the last commit that was known durable then, and a checksum; numbers are
words, little-endian. The slot with the larger counter counts. Who has a reader open holds a lock on its file, so that
no two have one of the same name. A file without a slot is none of a reader yet: who was making it was killed.

Who closes it may do so beside a thread that writes: the last call under way gives the descriptor back (see uses).
"""

import errno
import os
import struct
import time
from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.device.directory import POSITION_SUFFIX, READERS, Directory
from oxidbm._core.device.lock_file import LockFile, close_of_lost
from oxidbm._core.device.system import read_at, sync_file, try_lock, unlock, write_at
from oxidbm._core.durability.superblock import SUM, with_sum
from oxidbm._core.errors import BusyError, ClosedError, CorruptionError, FormatError, alone
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.uses import Uses

SLOT_BYTES: Final = 64
SLOT: Final = struct.Struct("<8sQQQQQ")
MAGIC: Final = b"\x89oxipos\n"
FILE_NAME_MAX: Final = 240
ATTEMPTS_MAX: Final = 4
PAUSE_SECONDS: Final = 0.002
NOT_ALLOWED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
SAFE: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"


def file_name(name: str) -> str:
    """Return the name of a reader's file: letters, digits, - and _ as they are, each other byte as %XX."""
    quoted = ""
    for byte in name.encode():
        letter = chr(byte)
        quoted += letter if letter in SAFE else f"%{byte:02X}"
    if not 0 < len(quoted) <= FILE_NAME_MAX:
        raise ValueError(
            f"a reader's name has from 1 to {FILE_NAME_MAX} characters, those besides letters, digits, - and _ counted "
            f"three times for each byte; {name[:40]!r} has {len(quoted)}"
        )
    return quoted + POSITION_SUFFIX


def reader_name(name: str) -> str:
    """Return the reader's name that a file's name says; "" for a file that is none of a reader."""
    data = b""
    quoted = name.removesuffix(POSITION_SUFFIX)
    if quoted == name:
        return ""
    i = 0
    try:
        while i < len(quoted):
            step = 3 if quoted[i] == "%" else 1
            data += bytes.fromhex(quoted[i + 1 : i + 3]) if step == 3 else quoted[i].encode()
            i += step
        return data.decode()
    except ValueError:
        return ""


@final
class Position:
    """Where a reader stands: the address to go on at, the number of the entry there, and what was known by then."""

    def __init__(self, address: i64, number: i64, time_ns: i64, durable_sequence: i64) -> None:
        self.address: i64 = address
        self.number: i64 = number
        self.time_ns: i64 = time_ns
        self.durable_sequence: i64 = durable_sequence


@final
class PositionFile:
    """The file of one reader; `held` where it is locked, or is to be, else to look at.

    One that is lost closes its file (see open_file). A forked child has none (see lock_file).
    """

    to_close: LockFile | None = None  # also where __init__ never ran, as the finalizer must expect

    def __init__(self, directory: Directory, name: str, flags: int, mode: int, held: bool) -> None:
        self.place = directory.place(name)
        self.name = name
        self.held = held
        self.uses = Uses()  # calls under way that use the descriptor
        self.counter: i64 = 0
        self.dirty = False
        self.position: Position | None = None
        self.fault = ""  # of one slot, where the other one counts
        self.file = self.to_close = LockFile()
        try:
            self.file.open(directory, name, flags, mode)
        except BaseException:
            self.file.forget()
            raise

    @property
    def descriptor(self) -> int:
        """The descriptor; -1 where it was given back."""
        return self.file.descriptor

    def lock_soon(self) -> bool:
        """Lock it, also where somebody just looks whether it is held."""
        attempts = ATTEMPTS_MAX
        while not try_lock(self.descriptor):
            attempts -= 1
            if attempts == 0:
                return False
            time.sleep(PAUSE_SECONDS)
        return True

    def is_named(self, directory: Directory) -> bool:
        """Return whether its name still leads to it, as it does from then on for who has locked it."""
        return self.file.is_named(directory, self.name)

    def load(self) -> None:
        """Read where the reader stands; CorruptionError where the file holds something else."""
        data = read_at(self.descriptor, 2 * SLOT_BYTES + 1, 0)
        for start in (0, SLOT_BYTES):
            slot = data[start : start + SLOT.size]
            sound: bool = len(data) >= start + SLOT_BYTES and slot[:8] == MAGIC
            if not sound or with_sum(slot) != data[start : start + SLOT.size + SUM.size]:
                if data[start : start + SLOT_BYTES].strip(b"\0"):  # the second one is empty until it is written
                    self.fault = f"{self.place} at offset {start}: the slot is no reader's position, or a torn one"
                continue
            _, counter, address, number, time_ns, durable_sequence = SLOT.unpack(slot)
            if self.counter < counter and max(counter, address, number, durable_sequence) <= ADDRESS_MAX:
                self.counter = counter
                self.position = Position(address, number, min(time_ns, ADDRESS_MAX * 16384), durable_sequence)
        if any(data) and self.position is None:
            raise CorruptionError(
                f"{self.place} at offset 0: neither of its two slots holds a reader's position; delete the file to let "
                "the reader begin anew"
            )

    def store(self, position: Position) -> None:
        """Write where the reader stands from now on, in the slot that is not the newest; durable with `sync`."""
        self.begin_use()
        try:
            self.counter += 1
            slot = with_sum(
                SLOT.pack(
                    MAGIC, self.counter, position.address, position.number, position.time_ns, position.durable_sequence
                )
            )
            write_at(self.descriptor, memoryview(slot.ljust(SLOT_BYTES, b"\0")), (self.counter & 1) * SLOT_BYTES)
            self.position = position
            self.dirty = True
        finally:
            self.end_use()

    def sync(self) -> None:
        """Make the position durable; of a closed reader nothing is left to be."""
        if not self.dirty or not self.uses.begin():
            return
        try:
            self.sync_by(self.descriptor)
        finally:
            self.end_use()

    def sync_by(self, descriptor: int) -> None:
        """Sync the file, which stays open meanwhile."""
        if self.dirty:
            self.dirty = False
            try:
                sync_file(descriptor)
            except BaseException:
                self.dirty = True
                raise

    def begin_use(self) -> None:
        """Have the descriptor stay open until `end_use`; ClosedError where the reader was closed."""
        if not self.uses.begin():
            raise ClosedError(f"the reader {reader_name(self.name)!r} is closed")

    def end_use(self) -> None:
        """Need the descriptor no more; the last one behind a close() makes durable what it wrote, and gives it back."""
        if self.uses.end():
            try:
                if self.descriptor >= 0:
                    self.sync_by(self.descriptor)
            finally:
                self.give_back()

    def release(self) -> None:
        """Let others have the reader, whose file stays open to be made durable."""
        self.held = False
        unlock(self.descriptor)

    def close(self) -> None:
        """Let others have the reader; a second time does nothing, and in a forked child nothing is left to do."""
        if self.uses.close():
            self.give_back()

    def give_back(self) -> None:
        """Close the descriptor."""
        if self.held:
            self.file.close()
        else:
            self.file.forget()

    def __del__(self) -> None:
        close_of_lost(self.to_close)


def hold(store: Directory, name: str, mode: int) -> PositionFile:
    """Open a reader's file, which is made where there is none, and hold it; BusyError where somebody does."""
    quoted = file_name(name)
    try:
        store.make(READERS, mode)
        directory = directory_in(store)
    except OSError as failure:
        raise alone(refused(failure, name, store)) from None
    try:
        while True:
            try:
                fresh = directory.status(quoted) is None
                file = PositionFile(directory, quoted, os.O_RDWR | os.O_CREAT, mode, True)
            except OSError as failure:
                raise alone(refused(failure, name, store)) from None
            try:
                if not file.lock_soon():
                    raise BusyError(
                        f"the reader {name!r} of {store.path} is open already, here or in another process; close it "
                        "there, or take another name"
                    )
                if file.is_named(directory):
                    if fresh:
                        directory.sync()
                        store.sync()
                    file.load()
                    return file
            except BaseException:
                file.close()
                raise
            file.close()  # somebody forgot the reader before it was locked
    finally:
        directory.close()


def refused(failure: OSError, name: str, store: Directory) -> BaseException:
    """Return the error for a reader whose file may not be written; any other failure as it is."""
    if failure.errno not in NOT_ALLOWED or failure.filename is None:
        return failure
    return OSError(
        failure.errno,
        f"the reader {name!r} of {store.path} keeps where it stands in a file, which cannot be written here: "
        f"{os.strerror(failure.errno)}; follow() needs none",
        failure.filename,
    )


def known(store: Directory, held: bool = False) -> list[tuple[str, Position, bool]]:
    """Return the readers that there are: name, position, and, where that is asked, whether somebody holds them."""
    if store.status(READERS) is None:
        return []
    found: list[tuple[str, Position, bool]] = []
    directory = directory_in(store)
    try:
        for quoted in directory.names():
            name = reader_name(quoted)
            file = None if not name else looked_at(directory, quoted, held)
            if file is not None and file.position is not None:
                found.append((name, file.position, held and not file.held))
    finally:
        directory.close()
    return found


def is_known(store: Directory, name: str) -> bool:
    """Return whether there is a reader of that name."""
    quoted = file_name(name)
    if store.status(READERS) is None:
        return False
    directory = directory_in(store)
    try:
        file = looked_at(directory, quoted, False)
        return file is not None and file.position is not None
    finally:
        directory.close()


def looked_at(directory: Directory, quoted: str, held: bool) -> PositionFile | None:
    """Return a reader's file, read and closed, None where it was forgotten meanwhile."""
    try:
        file = PositionFile(directory, quoted, os.O_RDONLY, 0, False)
    except FileNotFoundError:
        return None
    free = False
    try:
        file.load()
        free = file.held = held and try_lock(file.descriptor)
    finally:
        file.close()
    file.held = free
    return file


def directory_in(store: Directory) -> Directory:
    """Return the directory of the readers' files, opened; FormatError where that is none."""
    try:
        return store.sub(READERS)
    except NotADirectoryError:
        raise alone(
            FormatError(f"{store.place(READERS)} is no directory; a log has no other thing of that name")
        ) from None


def readable(store: Directory) -> list[tuple[str, PositionFile]]:
    """Return the readers whose files can be read, by name. One that cannot says nothing, and is in nobody's way."""
    found: list[tuple[str, PositionFile]] = []
    if store.status(READERS) is None:
        return found
    directory = directory_in(store)
    try:
        for quoted in directory.names():
            name = reader_name(quoted)
            try:
                file = looked_at(directory, quoted, False) if name else None
            except OSError as failure:
                if came_from_handler(failure):
                    raise
                continue
            if file is not None and file.position is not None:
                found.append((name, file))
    finally:
        directory.close()
    return found


def known_durable(store: Directory) -> tuple[str, i64]:
    """Return the file of the reader that knew the latest commit to be durable, and its number."""
    place = ""
    latest: i64 = 0
    for _, file in readable(store):
        position = file.position
        if position is not None and position.durable_sequence > latest:
            latest = position.durable_sequence
            place = file.place
    return place, latest


def move_back(store: Directory, end: i64, number: i64, mode: int) -> None:
    """Have each reader that stands behind a log's end, with the number of the next entry, go on there.

    A crash of the system took what it had done, which was not known durable; what comes there now it has not seen.
    """
    for name, looked in readable(store):
        position = looked.position
        if position is None or position.address <= end:
            continue
        try:
            file = hold(store, name, mode)
        except OSError as failure:  # another process has it open: it lost nothing
            if came_from_handler(failure):
                raise
            continue
        try:
            if file.position is not None and file.position.address > end:
                file.store(Position(end, number, position.time_ns, position.durable_sequence))
                file.sync()
        finally:
            file.close()


def give_up(store: Directory, file: PositionFile, name: str) -> None:
    """Close a reader's file, and delete it where nothing could be written to it, so that there is no such reader."""
    try:
        if file.position is None:
            directory = directory_in(store)
            try:
                directory.unlink(file_name(name))
            finally:
                directory.close()
    finally:
        file.close()


def faults_of_positions(store: Directory) -> list[str]:
    """Return what is wrong with the readers' files, as sentences."""
    if store.status(READERS) is None:
        return []
    faults: list[str] = []
    directory = directory_in(store)
    try:
        for quoted in directory.names():
            name = reader_name(quoted)
            if not name:
                continue
            try:
                file = looked_at(directory, quoted, False)
            except CorruptionError as failure:
                faults.append(str(failure))
                continue
            position = None if file is None else file.position
            if file is not None and file.fault and position is not None:
                faults.append(
                    f"{file.fault}. The reader {name!r} goes on from the other one, at address {position.address}, "
                    "and may get entries once more"
                )
    finally:
        directory.close()
    return faults


def forget(store: Directory, name: str) -> bool:
    """Delete a reader's file; False where there is none, BusyError where somebody holds it."""
    if store.status(READERS) is None:
        return False
    directory = directory_in(store)
    try:
        quoted = file_name(name)
        while directory.status(quoted) is not None:
            try:
                file = PositionFile(directory, quoted, os.O_RDWR, 0, True)
            except FileNotFoundError:
                return False  # somebody else forgot it meanwhile
            except OSError as failure:
                raise alone(refused(failure, name, store)) from None
            try:
                if not file.lock_soon():
                    raise BusyError(f"the reader {name!r} of {store.path} is open; close it before it is forgotten")
                if file.is_named(directory):
                    directory.unlink(quoted)
                    directory.sync()
                    return True
            finally:
                file.close()
    finally:
        directory.close()
    return False
