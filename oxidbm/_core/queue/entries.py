"""What a queue's log holds, as bytes; docs/format.md has the table.

The log has four kinds of entries, told apart by their first byte: 0, an item, with its bytes; 1, acknowledgements, with
the addresses of the items, 8 bytes each, little-endian; 2, an item that was moved, with the address where it stood,
which counts as acknowledged from there on, and its bytes; and 3, notes, of 20 bytes each: an item's address, since when
or from when on it waits, in nanoseconds of the system's clock since 1970, or 0 while it is handed out, and how often it
was handed out. Items without an acknowledgement are to be delivered, in the order of the log, which begins with the
first of them. What is said of an item always stands behind it, so whatever a crash leaves of a log is a state the queue
once had. An acknowledgement may stand there twice, as the second says nothing new; of the notes about an item the last
one counts.
"""

import struct
from typing import Final, NamedTuple

ITEM: Final = b"\0"
ACK: Final = b"\1"
MOVED: Final = b"\2"
NOTES: Final = b"\3"
ITEM_KIND: Final = 0
MOVED_KIND: Final = 2
ITEM_KINDS: Final = (ITEM_KIND, MOVED_KIND)
ADDRESS: Final = struct.Struct("<Q")
NOTE: Final = struct.Struct("<QqI")
HEAD_BYTES: Final = 9
ATTEMPTS_MAX: Final = 0xFFFFFFFF
TIME_MAX_NS: Final = 0x7FFFFFFFFFFFFFFF


class Note(NamedTuple):
    """What the log says of an item that was handed out: `due_ns` is 0 while it is out."""

    due_ns: int
    attempts: int


def body_of(entry: bytes) -> bytes:
    """Return an item's bytes."""
    return entry[1:] if entry[0] == ITEM_KIND else entry[HEAD_BYTES:]


def fault_of(address: int, entry: bytes) -> str:
    """Return what is wrong with an entry by itself, "" for nothing."""
    kind = entry[:1]
    if kind == ITEM:
        return ""
    if kind in (NOTES, ACK):
        sound = len(entry) > 1 and (len(entry) - 1) % (NOTE.size if kind == NOTES else ADDRESS.size) == 0
    else:
        sound = kind == MOVED and len(entry) >= HEAD_BYTES
    if not sound:
        return f"is none of a queue: it has {len(entry)} bytes and begins with {kind!r}"
    if kind == MOVED:
        of: int = ADDRESS.unpack_from(entry, 1)[0]
    else:
        of = max([found[0] for found in (NOTE if kind == NOTES else ADDRESS).iter_unpack(entry[1:])])
    return f"is about the item at {of}, which comes after it" if of >= address else ""
