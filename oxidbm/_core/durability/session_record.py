"""A session record: what the log says of one session that has a name. Its key is the name, its value two words.

    serial     the number of the session's changing operations
    used_ns    when it was last used, in nanoseconds since 1970

A tombstone says that the session was forgotten. What a record says counts with the commit that follows it.
"""

from typing import Final

from librt.strings import BytesWriter, read_i64_le, write_i64_le
from mypy_extensions import i64

from oxidbm._core.durability.serials import SessionState
from oxidbm._core.errors import alone
from oxidbm._core.hashing import MASK_62
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import key_of, record_at, value_of
from oxidbm._core.log.record import INFO_VERSION, SHAPE_PAGE_RUN, SHAPE_SESSION, TOMBSTONE, flags_of, value_length

SESSION_WORDS: Final = 2
SESSION_BYTES: Final = SESSION_WORDS * 8
SERIAL_MAX: Final = MASK_62
LENGTHS_MASK: Final = 0xFFFFFFFFFFFF


def encode_session(state: SessionState) -> bytes:
    """Return the value of a session's record."""
    out = BytesWriter()
    write_i64_le(out, state.serial)
    write_i64_le(out, state.used_ns)
    return out.getvalue()


def decode_session(address: i64, info: i64, shape: i64, key: bytes, value: bytes) -> SessionState:
    """Return what a session record says, of its header, key and value; ValueError where it cannot be one."""
    gone: bool = info & TOMBSTONE != 0
    wanted: i64 = 0 if gone else SESSION_BYTES
    if info & ~TOMBSTONE != INFO_VERSION:
        raise ValueError("a session record that leads to another record")
    if shape & ~SHAPE_PAGE_RUN & ~LENGTHS_MASK != SHAPE_SESSION:
        raise ValueError(f"a session record with the flags {flags_of(shape):#x}")
    if value_length(shape) != wanted:
        raise ValueError(f"a session record with a value of {value_length(shape)} bytes, {wanted} are needed")
    try:
        name = key.decode()
    except UnicodeDecodeError:
        raise alone(ValueError("a session record whose name is not UTF-8")) from None
    state = SessionState(name, 0, 0)
    state.address = address
    state.forgotten = gone
    if not gone:
        state.serial = read_i64_le(value, 0)
        state.used_ns = read_i64_le(value, 8)
        if not 0 <= state.serial <= SERIAL_MAX:
            raise ValueError(f"a session record with the serial number {state.serial}")
    return state


def read_sessions(log: HybridLog, stated: list[SessionState], end: i64) -> list[SessionState]:
    """Return what the records before `end` say, of those sessions that have one there."""
    found: list[SessionState] = []
    for state in stated:
        if 0 < state.address < end:
            record = record_at(log, state.address)
            key = key_of(log, record)
            found.append(decode_session(state.address, record.info, record.shape, key, value_of(log, record)))
    return found
