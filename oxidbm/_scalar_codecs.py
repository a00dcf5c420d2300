"""Codecs of what Python has by itself: bytes, text, ints and floats, in bytes whose order is that of the values."""

import struct
from typing import Any, Final

from oxidbm._buffers import bytes_of
from oxidbm._codec_types import Constant, undecodable, wrong_type
from oxidbm._numbers import float_of, index_of

INT_ZERO: Final = 0x80  # an int's first byte is this plus the count of bytes after it
INT_MINUS_ONE: Final = 0x7F  # below zero it is this minus the count
INT_BYTES_MAX: Final = 120

FLOAT_BYTES: Final = 8
FLOAT_SIGN: Final = 1 << 63
FLOAT_BITS: Final = (1 << 64) - 1
FLOAT_NAN: Final = 0x7FF8 << 48


class BytesCodec(Constant):
    """Bytes as they are. str (as UTF-8) and every other buffer are taken too, and come back as bytes."""

    name = "bytes"
    single = False  # whether only buffers of single bytes are taken, as for keys

    def encode(self, value: bytes | bytearray | memoryview | str, /) -> bytes:
        """Return the bytes."""
        if isinstance(value, bytes | bytearray):
            return bytes(value)
        copied = value.encode() if isinstance(value, str) else bytes_of(value, single=self.single)
        if copied is None:
            raise wrong_type(self.name, "bytes or str", value)
        return copied

    def decode(self, data: bytes, /) -> bytes:
        """Return the bytes."""
        return data


class StrCodec(Constant):
    """Text as UTF-8, whose order is that of str. A lone surrogate is a UnicodeEncodeError, which is a ValueError."""

    name = "str"

    def encode(self, value: str, /) -> bytes:
        """Return the text's UTF-8."""
        if not isinstance(value, str):
            raise wrong_type(self.name, "str", value)
        return value.encode()

    def decode(self, data: bytes, /) -> str:
        """Return the text."""
        try:
            return data.decode()
        except UnicodeDecodeError as failure:
            raise undecodable(self.name, data, failure) from failure


class Delimited(Constant):
    """A codec whose bytes tell where they end, so that inside of a tuple nothing has to stand behind them."""

    delimited = True  # of one that is so for some values' types only, whether it is

    def end(self, data: bytes, start: int) -> int:
        """Return where the value ends that starts at `start`; the bytes may end before."""
        raise NotImplementedError


class BoolCodec(Delimited):
    """False and True, as the bytes 0 and 1."""

    name = "bool"

    def encode(self, value: bool, /) -> bytes:
        """Return the byte."""
        if not isinstance(value, bool):
            raise wrong_type(self.name, "bool", value)
        return b"\x01" if value else b"\x00"

    def decode(self, data: bytes, /) -> bool:
        """Return the bool."""
        if data not in (b"\x00", b"\x01"):
            raise undecodable(self.name, data, "it is the byte 0 or 1")
        return data == b"\x01"

    def end(self, data: bytes, start: int) -> int:
        """Return where the bool ends that starts at `start`; the bytes may end before."""
        return start + 1


class IntCodec(Delimited):
    """Integers of up to 960 bits, in bytes whose order is theirs; what is small is short.

    n >= 0: the byte 0x80 + k, then n in k bytes, most significant first, where k is the least that does.
    n < 0: the byte 0x7f - k, then -n - 1 in k bytes, each complemented. An IntEnum's member comes back as an int, and
    so does what has `__index__`, such as a numpy.int64.
    """

    name = "int"

    def encode(self, value: int, /) -> bytes:
        """Return the integer's bytes; OverflowError for one that takes more than 120."""
        if type(value) is not int:
            value = self.number(value)
        size = ((value if value >= 0 else ~value).bit_length() + 7) // 8
        if size > INT_BYTES_MAX:
            raise OverflowError(f"an int of {size} bytes is too large for the codec 'int': at most {INT_BYTES_MAX}")
        if value >= 0:
            return bytes([INT_ZERO + size]) + value.to_bytes(size, "big")
        complement: int = 256**size + value
        return bytes([INT_MINUS_ONE - size]) + complement.to_bytes(size, "big")

    def decode(self, data: bytes, /) -> int:
        """Return the integer."""
        if len(data) != self.end(data, 0):
            raise undecodable(self.name, data, "the first byte tells another length")
        first, size = data[0], len(data) - 1
        if size > 0 and data[1] == (0 if first >= INT_ZERO else 255):
            raise undecodable(self.name, data, "it has a leading byte that says nothing")
        number = int.from_bytes(data[1:], "big")
        return number if first >= INT_ZERO else number - 256**size

    def end(self, data: bytes, start: int) -> int:
        """Return where the integer ends that starts at `start`; the bytes may end before."""
        if start == len(data):
            raise undecodable(self.name, data, "there is no first byte")
        first = data[start]
        size = first - INT_ZERO if first >= INT_ZERO else INT_MINUS_ONE - first
        if size > INT_BYTES_MAX:
            raise undecodable(self.name, data, f"the first byte tells {size} bytes, {INT_BYTES_MAX} are the most")
        return start + 1 + size

    def number(self, value: Any) -> int:
        """Return the int that something other than one stands for; TypeError where it stands for none."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        number = index_of(value)
        if number is None:
            raise wrong_type(self.name, "int", value)
        return number


class FloatCodec(Delimited):
    """Floats in 8 bytes whose order is theirs: IEEE 754's total order, -inf < -1.0 < -0.0 < 0.0 < 1.0 < inf < nan.

    So -0.0 and 0.0 are two keys, although they are equal. Every NaN is written as the one that sorts last, since a
    computed NaN may have either sign; its payload is lost. An int is taken where a float is equal to it, and so is
    another number that has `__index__` or `__float__`, such as a numpy.float32.
    """

    name = "float"

    def encode(self, value: float, /) -> bytes:
        """Return the float's bits, complemented where it is negative, else with the sign bit set."""
        if type(value) is not float:
            value = self.exact(value) if type(value) is int else self.number(value)
        bits: int = FLOAT_NAN if value != value else struct.unpack(">Q", struct.pack(">d", value))[0]
        bits = FLOAT_BITS - bits if bits & FLOAT_SIGN else FLOAT_SIGN | bits
        return bits.to_bytes(FLOAT_BYTES, "big")

    def decode(self, data: bytes, /) -> float:
        """Return the float."""
        if len(data) != FLOAT_BYTES:
            raise undecodable(self.name, data, f"a float has {FLOAT_BYTES}")
        bits = int.from_bytes(data, "big")
        bits = bits - FLOAT_SIGN if bits & FLOAT_SIGN else FLOAT_BITS - bits
        value: float = struct.unpack(">d", bits.to_bytes(FLOAT_BYTES, "big"))[0]
        if value != value and bits != FLOAT_NAN:
            raise undecodable(self.name, data, "it is a NaN other than the one that is written")
        return value

    def end(self, data: bytes, start: int) -> int:
        """Return where the float ends that starts at `start`; the bytes may end before."""
        return start + FLOAT_BYTES

    def number(self, value: Any) -> float:
        """Return the float that something other than one stands for; TypeError where it stands for none."""
        if isinstance(value, float):
            return value
        whole = value if isinstance(value, int) and not isinstance(value, bool) else index_of(value)
        number = float_of(value) if whole is None else self.exact(whole)
        if number is None:
            raise wrong_type(self.name, "float", value)
        return number

    def exact(self, value: int) -> float:
        """Return the float that is equal to an int; ValueError where there is none."""
        try:
            nearest = float(value)
        except OverflowError:
            raise OverflowError(
                f"an int of {value.bit_length()} bits is too large for the codec 'float': at most 1024"
            ) from None
        if nearest != value:
            raise ValueError(f"no float is equal to {value}, the nearest is {nearest!r}; use the codec 'int' for ints")
        return nearest
