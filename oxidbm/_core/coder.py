"""Coders: how the keys or values of a typed store become bytes and come back, inside the core.

A store without codecs has two coders of kind PLAIN, and no operation looks at them (`Coders.typed` is false). The kinds
STR and INT are written here, because a call of interpreted code costs what a whole operation does; every other codec is
called through its `encode` and `decode`. An int is written so that the order of the bytes is the order of the numbers:
one byte 0x80 + k and the number's k bytes for n >= 0, one byte 0x7f - k and the k bytes of -n - 1, each complemented,
for n < 0; k is the least that does. oxidbm/codecs.py writes and documents the same.
"""

from collections.abc import Callable
from typing import Any, Final, cast, final

from librt.strings import BytesWriter, write_i64_be
from mypy_extensions import i64

from oxidbm._numbers import index_of

BYTES_NAME: Final = "bytes"  # the codec of keys or values that stay as they are
PLAIN: Final = 0
STR: Final = 1
INT: Final = 2
CALLED: Final = 3

KEYS: Final = "keys"
VALUES: Final = "values"
ENTRIES: Final = "entries"  # of a log that stands alone

ANY_NAME: Final = "*"  # a codec of this name opens a store whatever its codecs are, and sees bytes

INT_ZERO: Final = 0x80
INT_MINUS_ONE: Final = 0x7F
INT_BYTES_MAX: Final = 120
TOP_BYTE: Final = 0x100000000000000
SHORT: Final = 7  # bytes of a number that fit into a word beside the first byte

SHOWN_BYTES: Final = 80  # of a key in an error

SCRATCH: Final = BytesWriter()


@final
class Coder:
    """One codec as the core calls it; `what` it codes, KEYS, VALUES or ENTRIES, is for errors."""

    def __init__(
        self,
        what: str,
        name: str,
        kind: i64,
        encoder: Callable[[object], object] | None,
        decoder: Callable[[bytes], object] | None,
    ) -> None:
        self.what = what
        self.name = name
        self.kind: i64 = kind
        self.encoder = encoder
        self.decoder = decoder
        self.prefixer: Callable[[object], bytes] | None = None
        self.codec: Any = None  # that it was made of
        self.spec: object = None  # that the codec was given by, as a type or a name

    def encode(self, value: object) -> bytes:
        """Return an object's bytes; TypeError for what the codec does not take."""
        if self.kind == STR:
            if isinstance(value, str):
                return value.encode()
            raise self.wrong(value, "str")
        if self.kind == INT:
            if isinstance(value, int) and not isinstance(value, bool):
                return encode_int(value)
            number = index_of(value)  # of another package, such as numpy's
            if number is None:
                raise self.wrong(value, "int")
            return encode_int(number)
        encoder = self.encoder
        assert encoder is not None
        data = encoder(value)
        if not isinstance(data, bytes):
            raise TypeError(f"the codec {self.name!r} of the {self.coded()} gave {type(data).__name__}, not bytes")
        return data

    def decode(self, data: bytes) -> object:
        """Return the object that bytes stand for."""
        if self.kind == PLAIN:
            return data
        if self.kind == STR:
            try:
                return data.decode()
            except UnicodeDecodeError:
                pass  # the codec's own decoder says what is wrong
        if self.kind == INT and 0 < len(data) <= SHORT + 1:
            first: i64 = i64(data[0])
            count: i64 = len(data) - 1
            number: i64 = 0
            i: i64 = 1
            if first == INT_ZERO + count and (count == 0 or data[1] != 0):
                while i <= count:
                    number = (number << 8) | i64(data[i])
                    i += 1
                return int(number)
            if first == INT_MINUS_ONE - count and (count == 0 or data[1] != 255):
                while i <= count:
                    number = (number << 8) | (255 - i64(data[i]))
                    i += 1
                return int(-1 - number)
        decoder = self.decoder
        assert decoder is not None
        return decoder(data)

    def wrong(self, value: object, wanted: str) -> TypeError:
        """Return the error for an object of another type."""
        return TypeError(f"this {self.coded()} are {wanted}, not {type(value).__name__}")

    def coded(self) -> str:
        """Return whose and what it codes, as "store's keys"."""
        return f"log's {self.what}" if self.what == ENTRIES else f"store's {self.what}"


def encode_int(value: int) -> bytes:
    """Return an int's bytes; OverflowError for one of more than 120 bytes."""
    if -TOP_BYTE < value < TOP_BYTE:
        number: i64 = i64(value)
        if number < 0:
            number = -1 - number
        count: i64 = 0
        rest = number
        while rest:
            rest >>= 8
            count += 1
        word: i64 = number << ((SHORT - count) << 3)
        if value < 0:
            word = (INT_MINUS_ONE - count) * TOP_BYTE + (TOP_BYTE - 1 - word)
        else:
            word += (INT_ZERO - 256 + count) * TOP_BYTE
        out = SCRATCH
        out.truncate(0)
        write_i64_be(out, word)
        out.truncate(count + 1)
        return out.getvalue()
    size = ((value if value >= 0 else -1 - value).bit_length() + 7) // 8
    if size > INT_BYTES_MAX:
        raise OverflowError(f"an int of {size} bytes is too large for the codec 'int': at most {INT_BYTES_MAX}")
    if value >= 0:
        return bytes([INT_ZERO + size]) + value.to_bytes(size, "big")
    complement = int.from_bytes(b"\xff" * size, "big") + 1 + value
    return bytes([INT_MINUS_ONE - size]) + complement.to_bytes(size, "big")


def plain(what: str) -> Coder:
    """Return the coder of bytes as they are."""
    return Coder(what, BYTES_NAME, PLAIN, None, None)


@final
class Coders:
    """The codecs of one store's keys and values; `typed` where one of them is not PLAIN."""

    def __init__(self, key: Coder, value: Coder) -> None:
        self.key = key
        self.value = value
        self.typed: bool = key.kind != PLAIN or value.kind != PLAIN

    def from_key(self, key: bytes) -> object:
        """Return the key that bytes in the store stand for; DecodeError names it where its codec did not write it."""
        if not self.typed:
            return key
        try:
            return self.key.decode(key)
        except ValueError as failure:
            raise undecodable(key, "", "", failure) from failure

    def value_of(self, key: bytes, value: bytes) -> object:
        """Return the value that bytes stand for; DecodeError names its key where its codec did not write it."""
        if not self.typed:
            return value
        try:
            return self.value.decode(value)
        except ValueError as failure:
            raise undecodable(key, "value of the ", "", failure) from failure


def undecodable(key: bytes, of: str, where: str, failure: ValueError) -> ValueError:
    """Return the DecodeError for a key, or with `of` its value, that its codec did not write."""
    from oxidbm import codecs

    shown = repr(key) if len(key) <= SHOWN_BYTES else f"{key[:SHOWN_BYTES]!r}... ({len(key)} bytes)"
    return codecs.DecodeError(f"the {of}key {shown}{where} cannot be decoded: {failure}")


def undecodable_entry(address: i64, failure: ValueError) -> ValueError:
    """Return the DecodeError for the entry at an address of a log, which its codec did not write."""
    from oxidbm import codecs

    found = codecs.DecodeError(f"the entry at address {address} cannot be decoded: {failure}")
    found.address = int(address)
    return found


def coder_for(what: str, spec: object) -> Coder:
    """Return the coder for what a store was asked to use for its keys or values: see oxidbm.codecs.resolve."""
    if spec is None:
        return plain(what)
    from oxidbm import codecs

    codec: Any = codecs.resolve(cast(Any, spec))
    if codec.name == ANY_NAME and codec is not codecs.RAW:
        raise ValueError(f"a codec's name is not {ANY_NAME!r}, which is codecs.RAW's")
    kind = CALLED
    if codec is codecs.BYTES or codec is codecs.RAW:
        kind = PLAIN
    elif codec is codecs.STR:
        kind = STR
    elif codec is codecs.INT:
        kind = INT
    elif what == KEYS:
        from oxidbm import _key_codecs

        codec = _key_codecs.for_keys(codec)
    coder = Coder(what, codec.name, kind, codec.encode, codec.decode)
    coder.prefixer = getattr(codec, "encode_prefix", None)
    coder.codec = codec
    coder.spec = spec
    return coder


def script_hint(kept: str, given: str) -> str:
    """Return what to do about a codec's name where it is of a class of a script, whose module is another one elsewhere.

    "" where neither name is one of these.
    """
    kind, _, rest = kept.partition(":")
    if "__main__." not in kept + given or kind not in ("msgpack", "json") or not rest:
        return ""
    return (
        f". A class of a script that is run is called __main__.NAME; codecs.{kind.capitalize()}(CLASS, name={rest!r}) "
        "is the codec that it was made with, and a name= of your own one that stays"
    )
