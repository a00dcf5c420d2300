"""oxidbm.codecs: what comes back, in which order the bytes are, which bytes they are, and what is refused."""

import math
import pickle
import struct
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import oxidbm
from oxidbm import codecs
from tests.facade.models import Box, Colour, Pair, Place, Point, Point3, Word

INT_MAX = 256**120 - 1
EDGES = [sign * 256**k + near for k in (0, 1, 2, 3, 7, 8, 9, 60, 119) for sign in (1, -1) for near in (-2, -1, 0, 1, 2)]
EDGES += [0, INT_MAX, INT_MAX - 1, -INT_MAX, -INT_MAX - 1]
INTS = st.integers() | st.sampled_from(EDGES) | st.integers(-INT_MAX - 1, INT_MAX)
NUMBERS = st.floats(allow_nan=False)
TEXTS = st.text(st.sampled_from("\x00\x01\x02a\xff\uffff\U0010ffff")) | st.text()
BINARIES = st.lists(st.sampled_from([b"\x00", b"\x01", b"\xff", b"\x00\x01", b"\x00\xff"])).map(b"".join) | st.binary()

KEY = codecs.Tuple(str, int, bytes, float, codecs.Tuple(bytes, int), str)
KEYS = st.tuples(TEXTS, INTS, BINARIES, NUMBERS.map(lambda number: number + 0.0), st.tuples(BINARIES, INTS), TEXTS)
FEW = st.sampled_from(["", "a", "a\x00", "a\x00b", "b"])  # so that two tuples often agree in their first parts
FEW_KEYS = st.tuples(FEW, st.integers(-1, 1), FEW.map(str.encode), st.sampled_from([-1.0, 0.0, 1.0]),
                     st.tuples(FEW.map(str.encode), st.integers(-1, 1)), FEW)  # fmt: skip

ORDERED: list[codecs.Codec[Any]] = [codecs.BYTES, codecs.STR, codecs.INT, codecs.FLOAT, KEY]
CODECS: dict[str, tuple[codecs.Codec[Any], st.SearchStrategy[Any]]] = {
    "bytes": (codecs.BYTES, BINARIES),
    "str": (codecs.STR, TEXTS),
    "int": (codecs.INT, INTS),
    "float": (codecs.FLOAT, NUMBERS),
    "tuple": (KEY, KEYS),
}


def floats_key(number: float) -> tuple[float, float]:
    """Return what IEEE 754's total order sorts by, NaN aside."""
    return number, math.copysign(1, number)


@pytest.mark.parametrize("name", CODECS)
@given(st.data())
def test_what_is_written_comes_back(name: str, data: st.DataObject) -> None:
    codec, values = CODECS[name]
    value = data.draw(values)
    back = codec.decode(codec.encode(value))
    assert type(back) is type(value)
    assert repr(back) == repr(value)


@pytest.mark.parametrize("name", ["bytes", "str", "int", "tuple"])
@given(st.data())
def test_the_order_of_the_bytes_is_the_values(name: str, data: st.DataObject) -> None:
    codec, strategy = CODECS[name]
    values = data.draw(st.lists(strategy | FEW_KEYS if name == "tuple" else strategy, max_size=8))
    assert [codec.decode(item) for item in sorted(map(codec.encode, values))] == sorted(values)


def test_the_order_of_ints_at_their_edges() -> None:
    written = [codecs.INT.encode(number) for number in sorted(set(EDGES))]
    assert written == sorted(written)
    assert [codecs.INT.decode(data) for data in written] == sorted(set(EDGES))


@given(st.lists(NUMBERS | st.sampled_from([0.0, -0.0, math.inf, -math.inf, 5e-324, -5e-324])))
@example([0.0, -0.0, 5e-324, -5e-324])
def test_the_order_of_floats_is_the_total_order(numbers: list[float]) -> None:
    back = [codecs.FLOAT.decode(data) for data in sorted(map(codecs.FLOAT.encode, numbers))]
    assert list(map(repr, back)) == list(map(repr, sorted(numbers, key=floats_key)))


def test_every_nan_is_one_and_sorts_last() -> None:
    negative, payload = struct.unpack(">dd", bytes.fromhex("fff80000000000017ff0000000000001"))
    written = {codecs.FLOAT.encode(number) for number in (math.nan, -math.nan, negative, payload)}
    assert written == {b"\xff\xf8" + bytes(6)}
    assert max(written) > codecs.FLOAT.encode(math.inf)
    assert math.isnan(codecs.FLOAT.decode(b"\xff\xf8" + bytes(6)))


GOLDEN: list[tuple[codecs.Codec[Any], Any, str]] = [
    (codecs.BYTES, b"\x00\xff", "00ff"),
    (codecs.STR, "a\u20ac", "61e282ac"),
    (codecs.INT, 0, "80"),
    (codecs.INT, 1, "8101"),
    (codecs.INT, 255, "81ff"),
    (codecs.INT, 256, "820100"),
    (codecs.INT, 2**63, "888000000000000000"),
    (codecs.INT, -1, "7f"),
    (codecs.INT, -2, "7efe"),
    (codecs.INT, -256, "7e00"),
    (codecs.INT, -257, "7dfeff"),
    (codecs.INT, INT_MAX, "f8" + "ff" * 120),
    (codecs.INT, -INT_MAX - 1, "07" + "00" * 120),
    (codecs.FLOAT, 0.0, "8000000000000000"),
    (codecs.FLOAT, -0.0, "7fffffffffffffff"),
    (codecs.FLOAT, 1.0, "bff0000000000000"),
    (codecs.FLOAT, -1.0, "400fffffffffffff"),
    (codecs.FLOAT, math.inf, "fff0000000000000"),
    (codecs.FLOAT, -math.inf, "000fffffffffffff"),
    (codecs.Tuple(int, str), (1, "a\x00"), "81016100"),
    (codecs.Tuple(str, int), ("a\x00", 1), "6100ff00018101"),
    (codecs.Tuple(float, bytes, bytes), (0.0, b"", b""), "80000000000000000001"),
    (codecs.JSON, {"a": [1, None]}, b'{"a":[1,null]}'.hex()),
    (codecs.Json(Point), Point(1), b'{"x":1,"y":0.0,"tags":[]}'.hex()),
    (codecs.MSGPACK, {"a": [1, None]}, "81a1619201c0"),
    (codecs.Msgpack(list[int]), [1, 2], "920102"),
    (codecs.Msgpack(Place), Place("a", (1, 2)), "82a46e616d65a161a26174920102"),
    (codecs.OBJECTS, (1, b"a"), b'{"$tuple":[1,{"$bytes":"YQ=="}]}'.hex()),
    (codecs.PICKLE, None, "80054e2e"),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "value", "data"), GOLDEN, ids=lambda part: str(getattr(part, "name", part))[:24])
def test_the_bytes(codec: codecs.Codec[Any], value: Any, data: str) -> None:
    assert codec.encode(value).hex() == data
    assert codec.decode(bytes.fromhex(data)) == value


@pytest.mark.parametrize("codec", ORDERED, ids=lambda codec: codec.name[:5])
@given(st.data())
def test_there_is_one_way_to_write_a_value(codec: codecs.Codec[Any], data: st.DataObject) -> None:
    known = codec.encode(data.draw({"b": BINARIES, "s": TEXTS, "i": INTS, "f": NUMBERS, "t": KEYS}[codec.name[0]]))
    at = data.draw(st.integers(0, len(known)))
    for changed in (known[:at] + data.draw(st.binary(max_size=3)) + known[at + data.draw(st.integers(0, 3)) :],
                    data.draw(st.binary())):  # fmt: skip
        try:
            value = codec.decode(changed)
        except codecs.DecodeError:
            continue
        assert codec.encode(value) == changed


@given(st.binary(max_size=4))
@example(b"\x81\x00")
@example(b"\x7e\xff")
def test_short_bytes_are_an_int_or_refused(data: bytes) -> None:
    try:
        number = codecs.INT.decode(data)
    except codecs.DecodeError:
        return
    assert codecs.INT.encode(number) == data


STRANGE: list[tuple[codecs.Codec[Any], bytes, str]] = [
    (codecs.STR, b"\xff", "invalid start byte"),
    (codecs.STR, b"\xed\xa0\x80", "invalid"),
    (codecs.INT, b"", "no first byte"),
    (codecs.INT, b"\x81", "another length"),
    (codecs.INT, b"\x80\x00", "another length"),
    (codecs.INT, b"\x81\x00", "says nothing"),
    (codecs.INT, b"\x7e\xff", "says nothing"),
    (codecs.INT, b"\xf9" + bytes(121), "121 bytes, 120 are the most"),
    (codecs.INT, b"\x06" + bytes(121), "121 bytes, 120 are the most"),
    (codecs.FLOAT, bytes(7), "a float has 8"),
    (codecs.FLOAT, b"\xff\xff" + bytes(6), "other than the one"),
    (codecs.FLOAT, bytes(8), "other than the one"),
    (codecs.Tuple(str, int), b"a", "part 0: its end is not marked"),
    (codecs.Tuple(str, int), b"a\x00b\x00\x01\x80", "part 0: it has a zero byte that is not escaped"),
    (codecs.Tuple(str, int), b"a\x00\x01", "part 1: .*no first byte"),
    (codecs.Tuple(int, str), b"", "part 0: .*no first byte"),
    (codecs.Tuple(int, str), b"\x82\x01", "part 0: .*another length"),
    (codecs.Tuple(float, str), b"\x82\x01", "part 0: .*a float has 8"),
    (codecs.JSON, b"{", "truncated"),
    (codecs.JSON, b'"\xff"', "invalid start byte"),
    (codecs.JSON, b"[" * 100_000, "recursion"),
    (codecs.Json(Point), b'{"x":"1"}', r"Expected `int`, got `str` - at `\$\.x`"),
    (codecs.MSGPACK, b"\xc1", "invalid opcode"),
    (codecs.Msgpack(list[int]), b"\x91\xa1a", "Expected `int`, got `str`"),
    (codecs.OBJECTS, b'{"$object":1}', "does not know"),
    (codecs.OBJECTS, b"[" * 100_000, "recursion"),
    (codecs.PICKLE, b"", "EOFError"),
    (codecs.PICKLE, b"cno.such.module\nname\n.", "ModuleNotFoundError"),
]


@pytest.mark.parametrize(("codec", "data", "reason"), STRANGE, ids=lambda part: str(getattr(part, "name", part))[:24])
def test_bytes_that_the_codec_does_not_write(codec: codecs.Codec[Any], data: bytes, reason: str) -> None:
    with pytest.raises(codecs.DecodeError, match=reason) as caught:
        codec.decode(data)
    assert isinstance(caught.value, ValueError)
    said = f"are not what the codec {codec.name!r} writes", f"hold what the codec {codec.name!r} does not allow"
    assert str(caught.value).startswith(tuple(f"{len(data)} bytes {words}" for words in said))


WRONG: list[tuple[codecs.Codec[Any], Any, str]] = [
    (codecs.BYTES, 1, "the codec 'bytes' takes bytes or str, not int"),
    (codecs.STR, b"a", "the codec 'str' takes str, not bytes"),
    (codecs.INT, "1", "the codec 'int' takes int, not str"),
    (codecs.INT, True, "the codec 'int' takes int, not bool"),
    (codecs.INT, 1.0, "the codec 'int' takes int, not float"),
    (codecs.FLOAT, "1", "the codec 'float' takes float, not str"),
    (codecs.FLOAT, False, "the codec 'float' takes float, not bool"),
    (codecs.FLOAT, 1j, "takes float, not complex"),
    (codecs.INT, Decimal(1), r"takes int, not decimal\.Decimal"),
    (codecs.Tuple(int, str), [1, "a"], r"the codec 'tuple\(int,str\)' takes a tuple, not list"),
    (codecs.Tuple(int, str), ("a", 1), "the codec 'int' takes int, not str"),
    (codecs.Json(Point), Point3(1), "takes .*Point, not .*Point3"),
    (codecs.Json(list[int]), (1, 2), r"the codec 'json:list\[int\]' takes list, not tuple"),
    (codecs.Json(float), "1", "takes float or int, not str"),
    (codecs.Msgpack(Place), Point(1), "takes .*Place, not .*Point"),
    (codecs.Msgpack(Box[int]), Point(1), "takes .*Box, not .*Point"),
    (codecs.Msgpack(int), Colour.RED, "takes int, not .*Colour"),
    (codecs.JSON, object(), "object is unsupported"),
    (codecs.OBJECTS, object(), "the codec 'objects' does not take builtins.object; convert the value, or use"),
    (codecs.OBJECTS, Point(1), "the codec 'objects' does not take .*Point"),
    (codecs.PICKLE, lambda: None, "the codec 'pickle' does not take function"),
]


@pytest.mark.parametrize(
    ("codec", "value", "words"), WRONG, ids=[f"{codec.name}-{type(value).__name__}" for codec, value, _ in WRONG]
)
def test_a_value_of_a_wrong_type(codec: codecs.Codec[Any], value: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        codec.encode(value)


def nested(depth: int) -> list[Any]:
    """Return a list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


OUT_OF_RANGE: list[tuple[codecs.Codec[Any], Any, type[Exception], str]] = [
    (codecs.INT, INT_MAX + 1, OverflowError, "an int of 121 bytes is too large for the codec 'int': at most 120"),
    (codecs.INT, -INT_MAX - 2, OverflowError, "an int of 121 bytes"),
    (codecs.FLOAT, 2**53 + 1, ValueError, "no float is equal to 9007199254740993, the nearest is 9007199254740992.0"),
    (codecs.FLOAT, 10**400, OverflowError, "an int of 1329 bits is too large for the codec 'float': at most 1024"),
    (codecs.STR, "\ud800", ValueError, "surrogates not allowed"),
    (codecs.Tuple(int, str), (1,), ValueError, r"'tuple\(int,str\)' takes tuples of 2 parts, not of 1"),
    (codecs.Tuple(int, str), (1, "a", 2), ValueError, "takes tuples of 2 parts, not of 3"),
    (codecs.MSGPACK, 2**64, OverflowError, "2"),
    (codecs.JSON, nested(100_000), ValueError, "nested too deeply for the codec 'json'"),
    (codecs.OBJECTS, nested(100_000), ValueError, "nested too deeply for the codec 'objects'"),
    (codecs.PICKLE, nested(100_000), ValueError, "nested too deeply for the codec 'pickle'"),
]


@pytest.mark.parametrize(("codec", "value", "error", "words"), OUT_OF_RANGE, ids=range(len(OUT_OF_RANGE)))
def test_a_value_out_of_range(codec: codecs.Codec[Any], value: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        codec.encode(value)


COMING_BACK: list[tuple[codecs.Codec[Any], Any, Any]] = [
    (codecs.BYTES, bytearray(b"a"), b"a"),
    (codecs.BYTES, memoryview(b"abcd")[::2], b"ac"),
    (codecs.BYTES, "\u20ac", b"\xe2\x82\xac"),
    (codecs.STR, Word("a"), "a"),
    (codecs.INT, Colour.RED, 1),
    (codecs.FLOAT, 2**80, 2.0**80),
    (codecs.Tuple(int, str), Pair(1, "a"), (1, "a")),
    (codecs.Json(float), 1, 1.0),
    (codecs.JSON, (1, 2), [1, 2]),
    (codecs.JSON, math.nan, None),
]


@pytest.mark.parametrize(("codec", "value", "back"), COMING_BACK, ids=range(len(COMING_BACK)))
def test_what_comes_back_as_another_type(codec: codecs.Codec[Any], value: Any, back: Any) -> None:
    found = codec.decode(codec.encode(value))
    assert found == back
    assert type(found) is type(back)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.integers(), inner) | st.lists(inner).map(tuple),
    max_leaves=10,
)


@pytest.mark.parametrize("codec", [codecs.OBJECTS, codecs.PICKLE], ids=["objects", "pickle"])
@given(VALUES)
def test_any_object_comes_back(codec: codecs.Codec[Any], value: Any) -> None:
    assert repr(codec.decode(codec.encode(value))) == repr(value)


@given(KEYS | FEW_KEYS, KEYS | FEW_KEYS, st.integers(0, len(KEY.parts) - 1))
def test_a_prefix_is_that_of_the_tuples_that_begin_so(key: Any, other: Any, count: int) -> None:
    prefix = KEY.encode_prefix(key[:count])
    assert KEY.encode(key).startswith(prefix)
    assert KEY.encode(other).startswith(prefix) == (other[:count] == key[:count])
    if other[:count] != key[:count]:
        assert (KEY.encode(other) < prefix) == (other < key[:count])


@given(FEW_KEYS, FEW_KEYS)
def test_a_whole_tuple_is_the_prefix_of_those_whose_last_part_begins_so(key: Any, other: Any) -> None:
    assert KEY.encode_prefix(key) == KEY.encode(key)
    expected = other[:-1] == key[:-1] and other[-1].startswith(key[-1])
    assert KEY.encode(other).startswith(KEY.encode_prefix(key)) == expected


def test_a_prefix_that_is_none() -> None:
    with pytest.raises(ValueError, match="tuples of 2 parts, not of 3"):
        codecs.Tuple(int, int).encode_prefix((1, 2, 3))
    with pytest.raises(TypeError, match="takes a tuple, not int"):
        codecs.Tuple(int, int).encode_prefix(1)
    with pytest.raises(TypeError, match="the codec of each part"):
        codecs.Tuple()


class Harm:
    """What a hostile pickle looks like."""

    def __reduce__(self) -> Any:
        return print, ("harm",)


@pytest.mark.parametrize("spec", ["objects", "json", "msgpack", Point])
def test_only_pickle_runs_what_it_reads(spec: Any, capsys: pytest.CaptureFixture[str]) -> None:
    data = pickle.dumps(Harm(), 5)
    with pytest.raises(codecs.DecodeError):
        codecs.resolve(spec).decode(data)
    assert capsys.readouterr().out == ""
    codecs.resolve("pickle").decode(data)
    assert capsys.readouterr().out == "harm\n"


class Reversing:
    """A class of codecs of one's own."""

    name = "reversing"

    def encode(self, value: bytes, /) -> bytes:
        """Return the bytes."""
        return value[::-1]

    def decode(self, data: bytes, /) -> bytes:
        """Return the value."""
        return data[::-1]


def test_a_class_of_codecs_is_no_codec() -> None:
    with pytest.raises(TypeError, match=r"Msgpack is a class of codecs, and no codec; give one, codecs\.Msgpack\(T\)"):
        codecs.resolve(codecs.Msgpack)
    with pytest.raises(TypeError, match=r"Reversing is a class of codecs, and no codec; give one, Reversing\(\.\.\.\)"):
        codecs.resolve(Reversing)
    assert codecs.resolve(Reversing()).decode(b"ab") == b"ba"


@dataclass
class Counts:
    """A class with ints in it."""

    total: int
    each: list[int]


@pytest.mark.parametrize("validate", [None, True, False])
def test_an_int_that_has_too_many_bits_is_told_with_its_place(validate: bool | None) -> None:
    codec = codecs.Msgpack(Counts, validate=validate)
    for counts, place in ((Counts(-(2**63) - 1, []), "total"), (Counts(1, [1, 2**64]), r"each\[1\]")):
        with pytest.raises(OverflowError, match=f"Counts' takes ints of up to 64 bits in {place}: "):
            codec.encode(counts)
    with pytest.raises(OverflowError, match=r"'msgpack' takes ints of up to 64 bits in \['a'\]\[0\]: "):
        codecs.MSGPACK.encode({"a": [2**64]})
    with pytest.raises(OverflowError, match="'msgpack:int' takes ints of up to 64 bits: "):
        codecs.Msgpack(int).encode(2**64)
    with (
        oxidbm.Store(key=str, value=Counts) as store,
        pytest.raises(OverflowError, match=r"in total: .* key is 'a'$"),
    ):
        store.update({"a": Counts(2**64, [])})
    assert codec.decode(codec.encode(Counts(2**63, []))) == Counts(2**63, [])
