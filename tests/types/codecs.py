"""Codecs, and the types of what they take and give."""

from dataclasses import dataclass
from typing import Any, assert_type

from oxidbm import codecs


@dataclass
class Point:
    x: int


class Own:
    name = "own"

    def encode(self, value: int, /) -> bytes:
        return b"%d" % value

    def decode(self, data: bytes, /) -> int:
        return int(data)


assert_type(codecs.resolve(None), codecs.Codec[bytes])
assert_type(codecs.resolve(bytes), codecs.Codec[bytes])
assert_type(codecs.resolve(int), codecs.Codec[int])
assert_type(codecs.resolve("str"), codecs.Codec[str])
assert_type(codecs.resolve("json"), codecs.Codec[Any])
assert_type(codecs.resolve(Point), codecs.Codec[Point])
assert_type(codecs.resolve(Own()), codecs.Codec[int])
assert_type(codecs.resolve(codecs.INT), codecs.Codec[int])
assert_type(codecs.resolve(codecs.Tuple(int, str)), codecs.Codec[tuple[int, str]])
assert_type(codecs.Tuple(int, Own(), codecs.FLOAT), codecs.Tuple[tuple[int, int, float]])
assert_type(codecs.Tuple("int", str), codecs.Tuple[tuple[Any, ...]])
assert_type(codecs.Json(Point).decode(b""), Point)
assert_type(codecs.Msgpack(list[int]), codecs.Msgpack[list[int]])
assert_type(codecs.Msgpack(int | None), codecs.Msgpack[Any])
assert_type(codecs.JSON.decode(b""), Any)
codecs.INT.encode("1")  # type: ignore[arg-type]
codecs.resolve("marshal")  # type: ignore[call-overload]
codecs.resolve(1)  # type: ignore[call-overload]
codecs.NOTHING  # type: ignore[attr-defined]
