"""Dump files: a store's items as JSON lines for people and other programs, or in a binary form that notices damage.

JSON lines: one object a line, {"key": ..., "value": ...}. Bytes that are UTF-8 are a string, all others are
{"base64": "..."}; both come back exactly. A file that was cut off between two lines cannot be told from a shorter one.

Binary: MAGIC, one frame for each item, the end frame. A frame is HEAD (key length, value length, CRC-32 of both
lengths, key and value), the key, the value; integers are little-endian. The end frame's key length is END, its value is
the number of items in eight bytes; without it the file was cut off.

Readers yield item by item, so what stands before a fault can be used. Nothing here opens a store.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any, BinaryIO, Final

MAGIC: Final = b"\x8foxidump\x01"
HEAD: Final = Struct("<III")
LENGTHS: Final = Struct("<II")
TOTAL: Final = Struct("<Q")
END: Final = 0xFFFFFFFF
KEY_LENGTH_MAX: Final = 0xFFFF
PIECE: Final = 1 << 20

Item = tuple[bytes, bytes]


class BadInput(ValueError):
    """What was read is no dump file, or a damaged one; the message names the line or record. Get a sound copy of it."""


def to_json(data: bytes) -> str | dict[str, str]:
    """Return bytes as JSON can hold them: a string where they are UTF-8, else an object with their base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def from_json(member: str, data: Any) -> bytes:
    """Return the bytes that `to_json` was given; `member` is what an error calls them."""
    if isinstance(data, str):
        try:
            return data.encode()
        except UnicodeEncodeError:
            raise BadInput(f'"{member}" has half a surrogate pair, which is no text') from None
    if isinstance(data, dict) and data.keys() == {"base64"} and isinstance(data["base64"], str):
        try:
            return base64.b64decode(data["base64"], validate=True)
        except (binascii.Error, ValueError) as failure:
            raise BadInput(f'"{member}" is not valid base64: {failure}') from None
    raise BadInput(f'"{member}" is neither a string nor {{"base64": "..."}}')


def json_line(key: bytes, value: bytes) -> bytes:
    """Return an item as a line of a dump."""
    return json.dumps({"key": to_json(key), "value": to_json(value)}, ensure_ascii=False).encode() + b"\n"


def write_json_lines(items: Iterable[Item], file: BinaryIO) -> None:
    """Write items as JSON lines."""
    for key, value in items:
        file.write(json_line(key, value))


def parse_line(line: bytes) -> Item:
    """Return the item in a line."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as failure:
        raise BadInput(f"it is not JSON: {failure}") from None
    if not isinstance(data, dict) or data.keys() != {"key", "value"}:
        raise BadInput('it is not an object with exactly "key" and "value"')
    key = from_json("key", data["key"])
    if len(key) > KEY_LENGTH_MAX:
        raise BadInput(f"its key has {len(key)} bytes; {KEY_LENGTH_MAX} are the most")
    return key, from_json("value", data["value"])


def read_json_lines(lines: Iterable[bytes]) -> Iterator[Item]:
    """Yield the items of JSON lines; lines of white space are passed over. BadInput names the line that is none."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield parse_line(line)
        except BadInput as failure:
            raise BadInput(f"line {number}: {failure}") from None


def frame(key_length: int, key: bytes, value: bytes) -> bytes:
    """Return a frame's bytes."""
    lengths = LENGTHS.pack(key_length, len(value))
    checksum = zlib.crc32(value, zlib.crc32(key, zlib.crc32(lengths)))
    return HEAD.pack(key_length, len(value), checksum) + key + value


def write_binary(items: Iterable[Item], file: BinaryIO) -> None:
    """Write items in the binary form."""
    file.write(MAGIC)
    count = 0
    for key, value in items:
        file.write(frame(len(key), key, value))
        count += 1
    file.write(frame(END, b"", TOTAL.pack(count)))


def read_exactly(file: BinaryIO, length: int) -> bytes:
    """Return up to `length` bytes, fewer only at the file's end; costs no memory for what is not there."""
    pieces = []
    while length > 0:
        piece = file.read(min(length, PIECE))
        if not piece:
            break
        pieces.append(piece)
        length -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_binary(file: BinaryIO) -> Iterator[Item]:
    """Yield the items of the binary form, behind MAGIC. BadInput names the record that is cut off or damaged."""
    count = 0
    while True:
        number = count + 1
        head = read_exactly(file, HEAD.size)
        if len(head) < HEAD.size:
            raise BadInput(f"record {number}: the file is cut off here; a complete one ends with its number of records")
        key_length, value_length, checksum = HEAD.unpack(head)
        if KEY_LENGTH_MAX < key_length != END:
            raise BadInput(f"record {number}: damaged; its key would have {key_length} bytes")
        key = read_exactly(file, 0 if key_length == END else key_length)
        value = read_exactly(file, value_length)
        if len(value) < value_length:
            raise BadInput(f"record {number}: the file is cut off in it")
        if zlib.crc32(value, zlib.crc32(key, zlib.crc32(head[: LENGTHS.size]))) != checksum:
            raise BadInput(f"record {number}: damaged; its checksum does not match")
        if key_length == END:
            check_end(value, count, file.read(1))
            return
        yield key, value
        count = number


def check_end(value: bytes, count: int, rest: bytes) -> None:
    """Raise where the end frame does not fit what came before it, or something follows it."""
    if value != TOTAL.pack(count):
        raise BadInput(f"the file does not end with its number of records, {count}")
    if rest:
        raise BadInput(f"bytes follow the end of the file's {count} records")


def read_items(file: BinaryIO) -> Iterator[Item]:
    """Yield the items of a dump of either form, told by its first byte."""
    first = file.read(1)
    if first != MAGIC[:1]:
        return read_json_lines(prepend(first, file))
    magic = first + read_exactly(file, len(MAGIC) - 1)
    if magic != MAGIC:
        raise BadInput("this is no dump: it begins neither like JSON lines nor like the binary form")
    return read_binary(file)


def prepend(first: bytes, file: BinaryIO) -> Iterator[bytes]:
    """Yield a file's lines, the first of which had its first byte read already."""
    yield first if first in (b"", b"\n") else first + file.readline()
    yield from file
