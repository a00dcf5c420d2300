"""The forms of dump files: what JSON lines and binary frames of a store's items look like, written and read.

JSON lines: one object a line, {"key": ..., "value": ...}, "expiry", in milliseconds since 1970, where the item has one,
and "tag", the bits of it that the record has, in hexadecimal digits, where it has one. Bytes that are UTF-8 are a
string, all others {"base64": "..."}; both come back exactly. Where the store has codecs, the first line says them,
{"oxidbm": 2, "keys": "int", "values": "json"}, and keys and values are what oxidbm/_plain.py makes of them; where that
would not come back exactly, or the codec is not known here, "key_base64" and "value_base64" have the bytes. A file that
was cut off between two lines cannot be told from a shorter one.

Binary: MAGIC, a frame with the names of the codecs, one frame for each item, the end frame. A frame is HEAD (key
length, value length, expiry, tag, CRC-32 of these, key and value), the key, the value; integers are little-endian. The
end frame's key length is END, its value is the number of items in eight bytes; without it the file was cut off.
Version 2 had no tags, version 1 neither codecs nor expiry.

Readers yield item by item, so what stands before a fault can be used. Nothing here opens a store.
"""

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any, BinaryIO, Final, NamedTuple

from oxidbm import codecs
from oxidbm._plain import Plain, Refused, from_base64, to_base64

MAGIC: Final = b"\x8foxidump\x03"
HEAD: Final = Struct("<IIQQI")
MAGIC_2: Final = b"\x8foxidump\x02"
HEAD_2: Final = Struct("<IIQI")
MAGIC_1: Final = b"\x8foxidump\x01"
HEAD_1: Final = Struct("<III")
CHECKSUM_BYTES: Final = 4
TOTAL: Final = Struct("<Q")
END: Final = 0xFFFFFFFF
VERSION: Final = 2
KEY_LENGTH_MAX: Final = 0xFFFF
CODEC_NAME_MAX: Final = 255
EXPIRY_MAX: Final = 1 << 62
TAG_MAX: Final = 1 << 62
TAG: Final = re.compile("[0-9a-f]{16}")
PIECE: Final = 1 << 20


class BadInput(ValueError):
    """What was read is no dump file, or a damaged one; the message names the line or record. Get a sound copy of it."""


class Item(NamedTuple):
    """An item as a dump has it: bytes, the instant of its expiry in milliseconds since 1970, its tag; 0 for none."""

    key: bytes
    value: bytes
    expiry: int = 0
    tag: int = 0


class Codecs(NamedTuple):
    """The names of the codecs that wrote the keys and the values."""

    keys: str = codecs.BYTES.name
    values: str = codecs.BYTES.name


class Dump(NamedTuple):
    """What was read: the codecs, None where the file does not say them, and the items, read as they are taken."""

    codecs: Codecs | None
    items: Iterator[Item]


def json_line(item: Item, key_codec: Plain, value_codec: Plain) -> bytes:
    """Return an item as a line of a dump."""
    line: dict[str, Any] = {}
    for name, data, codec in (("key", item.key, key_codec), ("value", item.value, value_codec)):
        if comes_back(codec, data):
            line[name] = codec.to_json(data)
        else:
            line[f"{name}_base64"] = to_base64(data)
    if item.expiry:
        line["expiry"] = item.expiry
    if item.tag:
        line["tag"] = f"{item.tag:016x}"
    return plain_text(line) + b"\n"


def plain_text(item: Any) -> bytes:
    """Return a line of JSON; ValueError for half a surrogate pair, which is no text."""
    return json.dumps(item, ensure_ascii=False).encode()


def comes_back(codec: Plain, data: bytes) -> bool:
    """Tell whether what bytes stand for can be written as JSON from which the same bytes are made."""
    if codec.is_bytes:
        return codec.writes
    try:
        return codec.writes and codec.from_json(json.loads(plain_text(codec.to_json(data)))) == data
    except (ValueError, RecursionError):
        return False


def write_json_lines(items: Iterable[Item], file: BinaryIO, names: Codecs = Codecs()) -> None:  # noqa: B008
    """Write items as JSON lines; `names` are of the codecs that wrote them."""
    if names != Codecs():
        file.write(json.dumps({"oxidbm": VERSION, "keys": names.keys, "values": names.values}).encode() + b"\n")
    key_codec, value_codec = map(Plain, names)
    for item in items:
        file.write(json_line(item, key_codec, value_codec))


def parse_json(line: bytes) -> Any:
    """Return what a line says."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as failure:
        raise BadInput(f"it is not JSON: {failure}") from None


def codecs_in(data: Any) -> Codecs | None:
    """Return the codecs that a file's first line says; None where it is an item."""
    if not isinstance(data, dict) or "oxidbm" not in data:
        return None
    if data["oxidbm"] != VERSION:
        raise BadInput(f"it is of the version {data['oxidbm']!r}, and {VERSION} is the newest that is known")
    keys, values = data.get("keys"), data.get("values")
    if data.keys() != {"oxidbm", "keys", "values"} or not isinstance(keys, str) or not isinstance(values, str):
        raise BadInput('it is not exactly "oxidbm", "keys" and "values" with the names of codecs')
    return checked_names(keys, values)


def checked_names(keys: str, values: str) -> Codecs:
    """Return the names of codecs; BadInput for one that no store can keep."""
    for name in (keys, values):
        if not 0 < len(name.encode("utf-8", "surrogatepass")) <= CODEC_NAME_MAX or not name.isprintable():
            raise BadInput(f"{name[:40]!r} is no name of a codec")
    return Codecs(keys, values)


def item_in(data: Any, key_codec: Plain, value_codec: Plain) -> Item:
    """Return the item that a line's object says."""
    names = set(data) if isinstance(data, dict) else set()
    bases = sorted(name.removesuffix("_base64") for name in names - {"expiry", "tag"})
    if bases != ["key", "value"]:
        raise BadInput('it is not an object with exactly "key" and "value", and "expiry" and "tag" where it has them')
    parts = []
    for name, codec in (("key", key_codec), ("value", value_codec)):
        member = name if name in names else f"{name}_base64"
        try:
            parts.append(codec.from_json(data[name]) if member == name else bytes_in_base64(data[member]))
        except Refused as failure:
            raise BadInput(f'"{member}" {failure}') from None
    if len(parts[0]) > KEY_LENGTH_MAX:
        raise BadInput(f"its key has {len(parts[0])} bytes; {KEY_LENGTH_MAX} are the most")
    expiry = data.get("expiry", 0)
    if type(expiry) is not int or not 0 <= expiry < EXPIRY_MAX:
        raise BadInput('"expiry" is no number of milliseconds since 1970')
    return Item(parts[0], parts[1], expiry, tag_in(data.get("tag")))


def tag_in(text: Any) -> int:
    """Return the tag that a line's member has, 0 for None."""
    if text is None:
        return 0
    if not isinstance(text, str) or not TAG.fullmatch(text) or not 0 < int(text, 16) < TAG_MAX:
        raise BadInput('"tag" is not the 62 bits of one in 16 hexadecimal digits')
    return int(text, 16)


def bytes_in_base64(text: Any) -> bytes:
    """Return the bytes that a member in base64 has."""
    if not isinstance(text, str):
        raise Refused("is no string")
    return from_base64(text)


def read_json_lines(lines: Iterator[bytes]) -> Dump:
    """Return what JSON lines hold; lines of white space are passed over. BadInput names the line that is no item."""
    number = 0
    first = b""
    for first in lines:
        number += 1
        if first.strip():
            break
    names = None
    if first.strip():
        try:
            names = codecs_in(parse_json(first))
        except BadInput as failure:
            raise BadInput(f"line {number}: {failure}") from None
        if names is None:
            lines = chain_lines(first, lines)
            number -= 1
    return Dump(names, json_items(lines, number, names))


def chain_lines(first: bytes, lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a line that was taken already, then the others."""
    yield first
    yield from lines


def json_items(lines: Iterator[bytes], number: int, names: Codecs | None) -> Iterator[Item]:
    """Yield the items of the lines behind the first `number`; without names, members have the codecs' bytes."""
    key_codec, value_codec = map(Plain, names or Codecs())
    for line in lines:
        number += 1
        if not line.strip():
            continue
        try:
            yield item_in(parse_json(line), key_codec, value_codec)
        except BadInput as failure:
            raise BadInput(f"line {number}: {failure}") from None


def frame(key_length: int, key: bytes, value: bytes, expiry: int = 0, tag: int = 0) -> bytes:
    """Return a frame's bytes."""
    head = HEAD.pack(key_length, len(value), expiry, tag, 0)[:-CHECKSUM_BYTES]
    checksum = zlib.crc32(value, zlib.crc32(key, zlib.crc32(head)))
    return head + checksum.to_bytes(CHECKSUM_BYTES, "little") + key + value


def write_binary(items: Iterable[Item], file: BinaryIO, names: Codecs = Codecs()) -> None:  # noqa: B008
    """Write items in the binary form; `names` are of the codecs that wrote them."""
    file.write(MAGIC)
    keys, values = (name.encode() for name in names)
    file.write(frame(len(keys), keys, values))
    count = 0
    for key, value, expiry, tag in items:
        file.write(frame(len(key), key, value, expiry, tag))
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


def read_frame(file: BinaryIO, form: Struct, number: int) -> tuple[int, Item]:
    """Return the next frame's key length, which is END in the last one, and what is in it."""
    head = read_exactly(file, form.size)
    if len(head) < form.size:
        raise BadInput(f"record {number}: the file is cut off here; a complete one ends with its number of records")
    key_length, value_length, *words, checksum = form.unpack(head)
    if KEY_LENGTH_MAX < key_length != END:
        raise BadInput(f"record {number}: damaged; its key would have {key_length} bytes")
    key = read_exactly(file, 0 if key_length == END else key_length)
    value = read_exactly(file, value_length)
    if len(value) < value_length:
        raise BadInput(f"record {number}: the file is cut off in it")
    if zlib.crc32(value, zlib.crc32(key, zlib.crc32(head[:-CHECKSUM_BYTES]))) != checksum:
        raise BadInput(f"record {number}: damaged; its checksum does not match")
    expiry, tag = (*words, 0, 0)[:2]
    if expiry >= EXPIRY_MAX:
        raise BadInput(f"record {number}: it would expire {expiry} milliseconds after 1970")
    if tag >= TAG_MAX:
        raise BadInput(f"record {number}: its tag {tag:#x} has more than 62 bits")
    return key_length, Item(key, value, expiry, tag)


def binary_items(file: BinaryIO, form: Struct) -> Iterator[Item]:
    """Yield the items of the binary form. BadInput names the record that is cut off or damaged."""
    count = 0
    while True:
        key_length, item = read_frame(file, form, count + 1)
        if key_length == END:
            check_end(item.value, count, file.read(1))
            return
        yield item
        count += 1


def check_end(value: bytes, count: int, rest: bytes) -> None:
    """Raise where the end frame does not fit what came before it, or something follows it."""
    if value != TOTAL.pack(count):
        raise BadInput(f"the file does not end with its number of records, {count}")
    if rest:
        raise BadInput(f"bytes follow the end of the file's {count} records")


def read_dump(file: BinaryIO) -> Dump:
    """Return the codecs and the items of a dump of either form, told by its first byte."""
    first = file.read(1)
    if first != MAGIC[:1]:
        return read_json_lines(lines_of(first, file))
    magic = first + read_exactly(file, len(MAGIC) - 1)
    if magic == MAGIC_1:
        return Dump(None, binary_items(file, HEAD_1))
    if magic not in (MAGIC, MAGIC_2):
        raise BadInput("this is no dump: it begins neither like JSON lines nor like the binary form of a known version")
    form = HEAD if magic == MAGIC else HEAD_2
    try:
        key_length, names = read_frame(file, form, 0)
        if key_length == END or names.expiry or names.tag:
            raise BadInput("record 0: it does not say the codecs")
        found = checked_names(names.key.decode(), names.value.decode())
    except UnicodeDecodeError:
        raise BadInput("record 0: the names of the codecs are not UTF-8") from None
    return Dump(found, binary_items(file, form))


def lines_of(first: bytes, file: BinaryIO) -> Iterator[bytes]:
    """Yield a file's lines, the first of which had its first byte read already.

    A first line without an end is not read into memory to say that it is none: an object begins with a brace.
    """
    if first not in (b"", b"\n"):
        first += file.readline(PIECE)
        if not first.endswith(b"\n") and len(first) > PIECE:
            if not first.lstrip().startswith(b"{"):
                raise BadInput("line 1: it is not JSON that begins with {")
            first += file.readline()
    yield first
    yield from file
