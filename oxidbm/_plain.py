"""What codecs write, as JSON and as text: how dumps and the command line show it, and how they read it back.

A codec is known here by the name that a store keeps. "bytes", "str", "int", "float", tuples of these, "json", "msgpack"
and "objects" are read and written. JSON and MessagePack of a type, "json:app.Point", are shown, since what may be in
them needs no type, and are not written, since only the type can tell what it takes. Of all other codecs, pickle among
them, the bytes are shown as they are.

JSON of each: a string for bytes (else {"base64": ...}) and str, a number for int and float, an array for tuples, the
value itself for JSON, and for all others the written form of oxidbm/_objects.py, which has types that JSON lacks. Text
is the same, with strings as they are and floats as Python writes them. Dates, times, decimals and UUIDs are plain as
text, 2024-02-29, and as JSON they are taken so, too.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from typing import Any, Final, get_args

from oxidbm import codecs
from oxidbm._objects import LOAD_FAILURES, pack, unpack
from oxidbm.codecs import Codec, DecodeError

# Codecs of values that have a text which says all of them, and what that looks like.
PLAIN_TEXTS: Final = {
    "date": "2024-02-29",
    "datetime": "2024-02-29T09:30:00+00:00",
    "naive-datetime": "2024-02-29T09:30:00",
    "time": "09:30:00",
    "decimal": "1.5",
    "uuid": "12345678-1234-5678-1234-567812345678",
}
HINTS: Final = {"bool": "; it is true or false", "timedelta": '; it is {"$timedelta": [days, seconds, microseconds]}'}
STRUCTURED: Final = ("json", "msgpack", "objects")
WRITTEN: Final = (*(name for name in get_args(codecs.Name) if name != codecs.PICKLE.name), "tuple(str,int)")


class Refused(ValueError):
    """What was given is nothing that the codec takes; the text says why."""


def bytes_to_json(data: bytes) -> str | dict[str, str]:
    """Return bytes as JSON can hold them: a string where they are UTF-8, else an object with their base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": to_base64(data)}


def bytes_from_json(item: Any) -> bytes:
    """Return the bytes that `bytes_to_json` was given; Refused for what it does not give."""
    if isinstance(item, str):
        try:
            return item.encode()
        except UnicodeEncodeError:
            raise Refused("has half a surrogate pair, which is no text") from None
    if isinstance(item, dict) and item.keys() == {"base64"} and isinstance(item["base64"], str):
        return from_base64(item["base64"])
    raise Refused('is neither a string nor {"base64": "..."}')


def to_base64(data: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """Return what a text is the base64 of; Refused where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as failure:
        raise Refused(f"is not valid base64: {failure}") from None


def no_constant(name: str) -> Any:
    """Refuse what Python's json module reads and JSON does not have."""
    raise ValueError(f"JSON has no {name}")


def parse(text: str | bytes) -> Any:
    """Return what a JSON text says; Refused where it is none."""
    try:
        return json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError) as failure:
        raise Refused(f"is not JSON: {failure}") from None


def split_names(text: str) -> Iterator[str]:
    """Yield the names of a tuple's parts, which commas separate; those inside of brackets belong to a name."""
    depth = start = 0
    for place, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def codec_named(name: str) -> Codec[Any] | None:
    """Return the codec that writes what a store keeps under a name; None where a program has to give it."""
    if name.startswith("tuple(") and name.endswith(")"):
        parts = [codec_named(part) for part in split_names(name[len("tuple(") : -1])]
        if any(part is None or part.name in STRUCTURED for part in parts):
            return None
        return codecs.Tuple(*parts)
    return None if name == codecs.PICKLE.name else codecs.named(name)


def not_taken(name: str, failure: Exception) -> Refused:
    """Return the error for what a codec refuses, which may say by itself what it takes."""
    said = str(failure).removeprefix(f"the codec {name!r} takes ")
    return Refused(f"is not what the codec {name!r} takes: {said}{HINTS.get(name, '')}")


class Plain:
    """A codec by its name: its bytes as JSON and text, and back.

    shows: whether bytes can be shown as what they stand for, and checked.
    writes: whether the bytes of a given value can be told.
    is_json: whether its text is JSON.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.codec = codec_named(name)
        self.language = name.partition(":")[0] if self.codec is None else name
        self.shows = self.codec is not None or self.language in ("json", "msgpack")
        self.writes = self.codec is not None
        self.is_bytes = name == codecs.BYTES.name or not self.shows
        self.is_json = not (self.is_bytes or self.language in ("str", "int", "float") or name in PLAIN_TEXTS)

    def to_json(self, data: bytes) -> Any:
        """Return what bytes stand for as JSON can hold it; DecodeError where the codec did not write them."""
        if self.is_bytes:
            return bytes_to_json(data)
        if self.language == "objects":
            codecs.OBJECTS.decode(data)
            return json.loads(data)
        if self.language == "json":
            try:
                return parse(data)
            except Refused as failure:
                raise DecodeError(f"{len(data)} bytes are not what the codec {self.name!r} writes: {failure}") from None
        if self.language == "msgpack":
            try:
                return pack(codecs.MSGPACK.decode(data))
            except (TypeError, RecursionError) as failure:
                raise DecodeError(f"{len(data)} bytes of the codec {self.name!r} have no text: {failure}") from None
        codec = self.codec
        assert codec is not None
        return value_to_json(codec, codec.decode(data))

    def from_json(self, item: Any) -> bytes:
        """Return the bytes of what `to_json` returns; Refused for what the codec does not take."""
        codec = self.codec
        if codec is None:
            raise Refused(f"cannot be written: only its program knows what the codec {self.name!r} takes")
        try:
            return codec.encode(value_from_json(codec, item))
        except Refused:
            raise
        except (*LOAD_FAILURES, OverflowError) as failure:
            raise not_taken(self.name, failure) from None

    def check(self, data: bytes) -> None:
        """Raise DecodeError where the codec did not write these bytes, as far as that can be told."""
        if self.codec is not None:
            self.codec.decode(data)
        elif self.shows:
            self.to_json(data)

    def to_text(self, data: bytes) -> bytes:
        """Return what bytes stand for as text, UTF-8 but for the codec of bytes; DecodeError as `to_json`."""
        if self.is_bytes:
            return data
        if self.language == "float":
            return repr(codecs.FLOAT.decode(data)).encode()
        if self.name in PLAIN_TEXTS:
            assert self.codec is not None
            value = self.codec.decode(data)
            return (str(value) if self.name in ("decimal", "uuid") else value.isoformat()).encode()
        item = self.to_json(data)
        text = item if self.language == "str" else json.dumps(item, ensure_ascii=False)
        return text.encode("utf-8", "surrogatepass")

    def from_text(self, text: bytes) -> bytes:
        """Return the bytes of what a text says; Refused for what the codec does not take."""
        if self.name == codecs.BYTES.name:
            return text
        if not self.writes or self.language == "str":
            try:
                return self.from_json(text.decode())
            except UnicodeDecodeError:
                raise Refused("is not UTF-8, which texts are") from None
        if self.language in ("int", "float"):
            try:
                number = int(text) if self.language == "int" else float(text)
            except ValueError as failure:
                raise not_taken(self.name, failure) from None
            return self.from_json(number if number - number == 0 else pack(number))
        begins_json = text.lstrip()[:1] in (b'"', b"[", b"{")
        if self.name in PLAIN_TEXTS and not begins_json:
            return self.from_json(text.decode(errors="replace").strip())
        try:
            item = parse(text)
        except Refused as failure:
            hint = "" if begins_json else HINTS.get(self.name, "; text needs its quotes, as in '\"a\"'")
            raise Refused(f"{failure}{hint}") from None
        return self.from_json(item)

    def prefix_from_text(self, text: bytes) -> bytes:
        """Return what the bytes of all tuples begin with whose first parts are those that a JSON array has."""
        codec = self.codec
        assert isinstance(codec, codecs.Tuple)
        item = parse(text)
        if not isinstance(item, list):
            raise Refused("is no JSON array of a tuple's first parts")
        try:
            return codec.encode_prefix(tuple(map(value_from_json, codec.parts, item)) + tuple(item[len(codec.parts) :]))
        except (*LOAD_FAILURES, OverflowError) as failure:
            raise not_taken(self.name, failure) from None

    def key_from_text(self, text: bytes) -> bytes:
        """As `from_text`, and no two texts become one key: Refused for a number that is written in another way."""
        data = self.from_text(text)
        written = self.to_text(data)
        if written != text:
            raise Refused(f"would become the key {written.decode(errors='replace')}, as other texts do")
        return data


def value_to_json(codec: Codec[Any], value: Any) -> Any:
    """Return a value of a codec that is no structure as JSON can hold it."""
    if isinstance(codec, codecs.Tuple):
        return [value_to_json(part, item) for part, item in zip(codec.parts, value, strict=True)]
    if codec is codecs.BYTES:
        return bytes_to_json(value)
    return pack(value)


def value_from_json(codec: Codec[Any], item: Any) -> Any:
    """Return the value that JSON stands for; Refused, or one of LOAD_FAILURES, for another codec's."""
    if isinstance(codec, codecs.Tuple) and isinstance(item, list):
        return tuple(map(value_from_json, codec.parts, item)) if len(item) == len(codec.parts) else tuple(item)
    if codec is codecs.BYTES:
        return bytes_from_json(item)
    if codec is codecs.JSON:
        return item
    if codec.name in PLAIN_TEXTS and isinstance(item, str):
        return value_from_text(codec.name, item)
    return unpacked(item)


def value_from_text(name: str, text: str) -> Any:
    """Return the value that a plain text stands for to a codec of PLAIN_TEXTS; Refused where it stands for none."""
    import datetime as dt
    from decimal import Decimal
    from uuid import UUID

    readers: dict[str, Callable[[str], Any]] = {
        "date": dt.date.fromisoformat,
        "datetime": dt.datetime.fromisoformat,
        "naive-datetime": dt.datetime.fromisoformat,
        "time": dt.time.fromisoformat,
        "decimal": Decimal,
        "uuid": UUID,
    }
    try:
        return readers[name](text)
    except (ValueError, ArithmeticError):
        raise Refused(f"is not what the codec {name!r} takes, such as {PLAIN_TEXTS[name]}") from None


def unpacked(item: Any) -> Any:
    """Return what the written form of an object stands for, from the inside out."""
    if isinstance(item, list):
        return [unpacked(part) for part in item]
    if isinstance(item, dict):
        return unpack({name: unpacked(part) for name, part in item.items()})
    return item
