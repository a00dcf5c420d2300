"""Codecs of bools, times, UUIDs, Decimals and enums: the order of their bytes, alone and in tuples, is the values'."""

import datetime as dt
import enum
import zoneinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oxidbm import Store, codecs
from oxidbm._plain import Plain
from tests.support import ROOT


class Level(enum.IntEnum):
    """Values below zero and of several bytes."""

    LOW = -300
    MIDDLE = 0
    HIGH = 70_000


class Size(enum.Enum):
    """Values that begin with each other, or hold a zero byte."""

    NONE = ""
    S = "s"
    S0 = "s\x00"
    SMALL = "small"


class Access(enum.Flag):
    """Members that are made of others."""

    READ = 1
    WRITE = 2


ZONES = [dt.timezone(dt.timedelta(minutes=minutes)) for minutes in (0, 60, -90)]
NEAR = st.integers(-3, 3).map(
    lambda micros: dt.datetime(2024, 2, 29, tzinfo=dt.UTC) + dt.timedelta(microseconds=micros)
)
INSTANTS = NEAR | st.datetimes(
    min_value=dt.datetime(2, 1, 1),  # noqa: DTZ001
    max_value=dt.datetime(9998, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from(ZONES),
)
FINITE = (
    st.decimals(allow_nan=False, allow_infinity=False)
    | st.integers(-1000, 1000).map(lambda number: Decimal(number) / 100)
    | st.sampled_from(["1E+999999", "-1E-999999", "9.99", "10", "0.1", "0.10", "-0", "1.01", "1.0100000001"]).map(
        Decimal
    )
)
DECIMALS = FINITE | st.sampled_from([Decimal("Infinity"), Decimal("-Infinity")])

# name: (type or codec, values)
KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "bool": (bool, st.booleans()),
    "datetime": (dt.datetime, INSTANTS),
    "naive-datetime": (codecs.NAIVE_DATETIME, st.datetimes()),
    "date": (dt.date, st.dates()),
    "time": (dt.time, st.times()),
    "timedelta": (dt.timedelta, st.timedeltas()),
    "uuid": (UUID, st.uuids()),
    "decimal": (Decimal, DECIMALS),
    "IntEnum": (Level, st.sampled_from(Level)),
}
CODECS = {name: codecs.resolve(spec) for name, (spec, _) in KINDS.items()}
TEXTS = st.text(st.sampled_from("\x00\x01\xff"), max_size=2)


@pytest.mark.parametrize("name", KINDS)
@given(st.data())
def test_what_is_written_comes_back_equal_and_written_the_same(name: str, data: st.DataObject) -> None:
    codec, value = CODECS[name], data.draw(KINDS[name][1])
    written = codec.encode(value)
    back = codec.decode(written)
    assert back == value
    assert type(back) is type(value)
    assert codec.encode(back) == written


@pytest.mark.parametrize("name", KINDS)
@given(st.data())
def test_the_order_of_the_bytes_is_the_values(name: str, data: st.DataObject) -> None:
    codec, values = CODECS[name], KINDS[name][1]
    one, other = data.draw(values), data.draw(values)
    assert (codec.encode(one) < codec.encode(other)) == (one < other)
    assert (codec.encode(one) == codec.encode(other)) == (one == other)


@given(st.data())
def test_the_order_of_tuples_is_the_values(data: st.DataObject) -> None:
    """Of up to four parts of any kind, of which any may be the last, and two tuples often begin alike."""
    names = data.draw(st.lists(st.sampled_from([*KINDS, "str"]), min_size=1, max_size=4))
    codec = codecs.Tuple(*(CODECS[name] if name != "str" else str for name in names))
    one = tuple(data.draw(KINDS[name][1] if name != "str" else TEXTS) for name in names)
    other = tuple(
        data.draw(st.just(part) | (KINDS[name][1] if name != "str" else TEXTS))
        for name, part in zip(names, one, strict=True)
    )
    written, others = codec.encode(one), codec.encode(other)
    assert codec.decode(written) == one
    assert (written < others) == (one < other)
    assert (written == others) == (one == other)
    count = data.draw(st.integers(0, len(names)))
    if count < len(names):
        assert others.startswith(codec.encode_prefix(one[:count])) == (other[:count] == one[:count])


@given(st.lists(st.sampled_from(Size)), st.booleans())
def test_members_are_in_the_order_of_their_values(members: list[Size], inside: bool) -> None:
    codec: Any = codecs.Tuple(Size, bool) if inside else codecs.resolve(Size)
    keys = [(member, True) if inside else member for member in members]
    written = sorted(map(codec.encode, keys))
    found = [key[0] if inside else key for key in map(codec.decode, written)]
    assert [member.value for member in found] == sorted(member.value for member in members)


@pytest.mark.parametrize("name", KINDS)
@given(st.data())
def test_there_is_one_way_to_write_a_value(name: str, data: st.DataObject) -> None:
    codec = CODECS[name]
    known = codec.encode(data.draw(KINDS[name][1]))
    at = data.draw(st.integers(0, len(known)))
    changed = known[:at] + data.draw(st.binary(max_size=3)) + known[at + data.draw(st.integers(0, 3)) :]
    for written in (changed, data.draw(st.binary(max_size=12))):
        try:
            value = codec.decode(written)
        except codecs.DecodeError:
            continue
        assert codec.encode(value) == written


@given(st.binary(max_size=16), st.sampled_from(sorted(KINDS)))
@example(b"\x40", "decimal")
@example(b"\x40\xff" + bytes(127), "decimal")
@example(b"\x40\x80\x65\x00", "decimal")
@example(b"\x40\x80\x0b\x01\x00", "decimal")
@example(b"\x40\x80\x00", "decimal")
@example(b"\x20\x7f\xff", "decimal")
def test_a_part_of_a_tuple_is_read_or_refused(data: bytes, name: str) -> None:
    codec = codecs.Tuple(CODECS[name], str)
    try:
        value = codec.decode(data)
    except codecs.DecodeError:
        return
    assert codec.encode(value) == data


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
TWICE = dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)
GOLDEN: list[tuple[str, Any, str]] = [
    ("bool", False, "00"),
    ("bool", True, "01"),
    ("datetime", dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "80"),
    ("datetime", dt.datetime(2024, 2, 29, 12, 30, 15, 250_000, tzinfo=dt.UTC), "870612846be27450"),
    ("datetime", dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC), "7f"),
    ("naive-datetime", dt.datetime(1970, 1, 1, 0, 0, 1), "830f4240"),  # noqa: DTZ001
    ("date", dt.date(1970, 1, 2), "8101"),
    ("date", dt.date.min, "7cf506c6"),
    ("time", dt.time(0, 0, 0, 256), "820100"),
    ("timedelta", dt.timedelta(microseconds=-1), "7f"),
    ("timedelta", dt.timedelta(days=1), "85141dd76000"),
    ("uuid", UUID("12345678-1234-5678-1234-567812345678"), "12345678123456781234567812345678"),
    ("decimal", Decimal(0), "30"),
    ("decimal", Decimal("1.10"), "40800c00"),
    ("decimal", Decimal("-1.1"), "207ff3ff"),
    ("decimal", Decimal(12345), "4081040d233300"),
    ("decimal", Decimal("0.001"), "407efd0b00"),
    ("decimal", Decimal("Infinity"), "50"),
    ("decimal", Decimal("-Infinity"), "10"),
    ("IntEnum", Level.HIGH, "83011170"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "data"), GOLDEN, ids=[f"{name}-{value}" for name, value, _ in GOLDEN])
def test_the_bytes(name: str, value: Any, data: str) -> None:
    assert CODECS[name].encode(value).hex() == data
    assert CODECS[name].decode(bytes.fromhex(data)) == value


def test_the_format_document_has_each_codec_that_keeps_order() -> None:
    text = (ROOT / "docs" / "format.md").read_text(encoding="utf-8").partition("## What codecs write")[2]
    unordered = ("json", "msgpack", "objects", "pickle")
    assert [name for name in get_args(codecs.Name) if name not in unordered and f"\n| `{name}` |" not in text] == []


class Fake(dt.datetime):
    """A subclass, as those that stop the clock in tests."""


class Nanoseconds(dt.datetime):
    """A subclass that holds more, and compares it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nanoseconds)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, Nanoseconds)

    __hash__ = dt.datetime.__hash__


NAIVE = dt.datetime(2024, 2, 29)  # noqa: DTZ001
REFUSED: list[tuple[str, Any, type[Exception], str]] = [
    ("bool", 1, TypeError, "the codec 'bool' takes bool, not int"),
    ("datetime", NAIVE, TypeError, r"has no time zone: give it one, as astimezone\(\) does, or use codecs.NAIVE_DAT"),
    ("datetime", dt.date(2024, 2, 29), TypeError, r"takes datetime\.datetime, not datetime\.date"),
    ("datetime", 0, TypeError, r"takes datetime\.datetime, not int"),
    ("datetime", dt.datetime(1, 1, 1, tzinfo=ZONES[1]), ValueError, "in UTC .* is out of the range of datetime"),
    ("datetime", dt.datetime(9999, 12, 31, 23, tzinfo=ZONES[2]), ValueError, "in UTC .* is out of the range"),
    ("datetime", Nanoseconds(2024, 2, 29, tzinfo=dt.UTC), ValueError, "is not equal to any value of its base class"),
    ("naive-datetime", NAIVE.astimezone(dt.UTC), TypeError, "without a time zone.* use codecs.DATETIME for instants"),
    ("naive-datetime", Nanoseconds(2024, 2, 29), ValueError, "is not equal to any value of its base class"),
    ("date", NAIVE, TypeError, r"takes datetime\.date, not datetime\.datetime"),
    ("time", dt.time(1, tzinfo=dt.UTC), TypeError, "takes times without a time zone"),
    ("time", NAIVE, TypeError, r"takes datetime\.time, not datetime\.datetime"),
    ("timedelta", 1, TypeError, r"takes datetime\.timedelta, not int"),
    ("uuid", str(UUID(int=1)), TypeError, r"takes uuid\.UUID, not str"),
    ("decimal", 1, TypeError, r"takes decimal\.Decimal, not int"),
    ("decimal", Decimal("NaN"), ValueError, "takes numbers, not NaN"),
    ("decimal", Decimal("sNaN"), ValueError, "takes numbers, not NaN"),
    ("IntEnum", -300, TypeError, r"takes .*Level, not int"),
    ("IntEnum", Size.S, TypeError, r"takes .*Level, not .*Size"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "error", "words"), REFUSED, ids=[f"{name}-{value!s}" for name, value, *_ in REFUSED]
)
def test_what_is_refused(name: str, value: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        CODECS[name].encode(value)


STRANGE: list[tuple[str, str, str]] = [
    ("bool", "02", "it is the byte 0 or 1"),
    ("datetime", "88ffffffffffffffff", "is out of range"),
    ("datetime", "8100", "says nothing"),
    ("date", "83ffffff", "is out of range"),
    ("time", "7f", "-1 is out of range"),
    ("uuid", "00", "a UUID has 16"),
    ("decimal", "", "no first byte that it has"),
    ("decimal", "30ff", "it has another end"),
    ("decimal", "4080", "its end is not marked"),
    ("decimal", "40800c0100", "it has another form"),
    ("IntEnum", "8107", "7 is not a valid"),
    ("IntEnum", "8100", "says nothing"),
]


@pytest.mark.parametrize(("name", "data", "words"), STRANGE)
def test_bytes_that_the_codec_does_not_write(name: str, data: str, words: str) -> None:
    with pytest.raises(codecs.DecodeError, match=words):
        CODECS[name].decode(bytes.fromhex(data))


def test_what_comes_back_otherwise() -> None:
    """An instant in UTC, a subclass as its base, a Decimal without zeros at its end."""
    assert repr(codecs.DATETIME.decode(codecs.DATETIME.encode(TWICE))) == repr(TWICE.astimezone(dt.UTC))
    fake = Fake(2024, 2, 29, tzinfo=dt.UTC)
    assert type(codecs.DATETIME.decode(codecs.DATETIME.encode(fake))) is dt.datetime
    assert str(codecs.DECIMAL.decode(codecs.DECIMAL.encode(Decimal("1.10")))) == "1.1"
    assert str(codecs.DECIMAL.decode(codecs.DECIMAL.encode(Decimal("-0.00")))) == "0"
    assert str(codecs.DECIMAL.decode(codecs.DECIMAL.encode(Decimal(1500)))) == "1.5E+3"


def test_an_hour_that_the_clock_shows_twice_is_two_instants() -> None:
    first, second = TWICE, TWICE.replace(fold=1)
    assert codecs.DATETIME.encode(first) < codecs.DATETIME.encode(second)
    assert codecs.NAIVE_DATETIME.encode(first.replace(tzinfo=None)) == codecs.NAIVE_DATETIME.encode(
        second.replace(tzinfo=None)
    )


@pytest.mark.parametrize("name", [name for name in KINDS if name != "IntEnum"])
@given(st.data())
def test_tools_write_and_read_them_as_text_and_json(name: str, data: st.DataObject) -> None:
    written = CODECS[name].encode(data.draw(KINDS[name][1]))
    plain = Plain(name)
    assert plain.from_text(plain.to_text(written)) == written
    assert plain.from_json(plain.to_json(written)) == written


def test_a_member_made_of_others() -> None:
    codec = codecs.Enum(Access)
    both = Access.READ | Access.WRITE
    assert codec.decode(codec.encode(both)) is both


def test_a_store_of_such_keys_and_values(tmp_path: Path) -> None:
    start = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
    with Store(tmp_path / "s", key=tuple[str, dt.datetime, Level], value=Decimal, ordered=True) as store:
        for minute in (2, 0, 1):
            store["b", start + dt.timedelta(minutes=minute), Level.HIGH] = Decimal(minute)
            store["a", start + dt.timedelta(minutes=minute), Level.LOW] = Decimal(-minute)
        found = list(store.range(("a", start + dt.timedelta(minutes=1), Level.LOW), ("b", start, Level.HIGH)))
        assert [(place, time.minute, int(value)) for (place, time, _), value in found] == [("a", 1, -1), ("a", 2, -2)]
        assert [level for (_, _, level), _ in store.prefix(("b", start))] == [Level.HIGH]
    with Store(tmp_path / "t", key=UUID, value=Size) as other:
        other[UUID(int=1)] = Size.SMALL
        assert dict(other) == {UUID(int=1): Size.SMALL}
        assert (other.key_codec, other.value_codec) == ("uuid", f"str:{__name__}.Size")
