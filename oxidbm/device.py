"""Devices: where a store keeps its log. Write your own to keep it elsewhere than in files.

A store appends to a log, and the log's sealed part goes to a device and comes back from it. `Store(path, device=...)`
takes any; the directory `path` then holds only the store's superblock, its lock and its mark of a clean end. Without
one, a store on disk has a FileDevice and a store in memory a NullDevice. A device of your own is a subclass of
Device, in plain Python; `help(Device)` says what each method does, and `oxidbm.testing.check_device` tries all of it.

What it holds. One contiguous range of addresses, in bytes, from begin() to end(). It is written in rising order, at
most with gaps up to the next page, which read as zeros, and cut at either end. Nothing that was written changes,
with one exception: a write that an exception ended, as Ctrl-C may, is done again at the same address.

Segments. Space comes back in segments, for instance files. A segment starts where a write starts a page, so that no
record is in two of them; when to start one is the device's to choose, save that roll() asks for it at the next such
write. A store compacts segment by segment, as segment_end() tells it where they end, and then calls
truncate_before(). Many small segments give space back soon, and cost a call each.

Durability. What was written need not survive a crash before sync() returns, and has to afterwards. No order is asked
of what was not synced: any part of it may be there after a crash, since every record has a checksum. truncate_after()
is durable when it returns. truncate_before() need not be: what comes back after a crash is passed over, as long as
no segment is missing in the middle, so give back the oldest first.

Space ahead. A device may take space before it is written, as FileDevice does. end() and size() do not count it, and
finish() gives it back, which a store calls when it closes.

Readers beside. A store opened with read_only=True calls look_again() when it is to move to a newer commit: from then
on the device holds what a writer has appended since. One that sees that anyway does nothing.

Failures. Raise an OSError where something could not be done, never retry and never hide it. One from write(), sync()
or truncate_before() poisons the store: reads go on, every write raises PoisonedError, and reopening gives the last
commit. One from truncate_after(), which is called while a store is opened, reaches whoever opens it, and one from
read() whoever asked for the value. Any other exception passes through, and a write that it ended is done again, so
it must not stand for a failure of the storage. A read that returns wrong bytes is found out by a record's checksum;
the CorruptionError says what place() calls the address.

Threads. One thread at a time writes, but others may read, sync, ask for ends and sizes, and truncate_before()
meanwhile: whatever Python code does lets other threads run between any two of its lines. So guard what takes more
than one step by a lock, but hold none while waiting for a slow read, or all readers wait. No method may call the
store. truncate_before() never takes what a reader may still want; truncate_after() comes when a store is opened,
close() at its end, both alone.
"""

from oxidbm._core.device.device import Device, NullDevice
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.segments import FileDevice
from oxidbm._documentation import Documentation

__all__ = ["Device", "Directory", "FileDevice", "NullDevice"]

Device.__doc__ = Documentation("Device", "_core/device/device.py")  # type: ignore[assignment]
NullDevice.__doc__ = Documentation("NullDevice", "_core/device/device.py")  # type: ignore[assignment]
FileDevice.__doc__ = Documentation("FileDevice", "_core/device/segments.py")  # type: ignore[assignment]
Directory.__doc__ = Documentation("Directory", "_core/device/directory.py")  # type: ignore[assignment]
