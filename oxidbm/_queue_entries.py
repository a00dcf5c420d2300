"""What a queue's log holds, as bytes; docs/format.md has the table.

The log has four kinds of entries, told apart by their first byte: 0, an item, with its bytes; 1, an acknowledgement,
with the address of the item, 8 bytes, little-endian; 2, an item that was moved, with the address where it stood, which
counts as acknowledged from there on, and its bytes; and 3, notes, of 20 bytes each: an item's address, since when or
from when on it waits, in nanoseconds of the system's clock since 1970, or 0 while it is handed out, and how often it
was handed out. Items without an acknowledgement are to be delivered, in the order of the log. What is said of an item
always stands behind it, so whatever a crash leaves of a log is a state the queue once had. An acknowledgement may stand
there twice, as the second says nothing new; of the notes about an item the last one counts.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

ITEM = b"\0"
ACK = b"\1"
MOVED = b"\2"
NOTES = b"\3"
ITEM_KIND = ITEM[0]
MOVED_KIND = MOVED[0]
ITEM_KINDS = (ITEM_KIND, MOVED_KIND)
ADDRESS = struct.Struct("<Q")
NOTE = struct.Struct("<QqI")
HEAD_BYTES = 1 + ADDRESS.size
ATTEMPTS_MAX = (1 << 32) - 1
TIME_MAX_NS = (1 << 63) - 1


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
    if kind == NOTES:
        sound = len(entry) > 1 and (len(entry) - 1) % NOTE.size == 0
    else:
        sound = (kind == ACK and len(entry) == HEAD_BYTES) or (kind == MOVED and len(entry) >= HEAD_BYTES)
    if not sound:
        return f"is none of a queue: it has {len(entry)} bytes and begins with {kind!r}"
    of = max(found for found, *_ in NOTE.iter_unpack(entry[1:])) if kind == NOTES else ADDRESS.unpack_from(entry, 1)[0]
    return f"is about the item at {of}, which comes after it" if of >= address else ""
