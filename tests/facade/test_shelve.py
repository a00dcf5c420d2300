"""oxidbm.shelve: what its safe codec keeps, what it refuses, and that pickle has to be asked for."""

import collections
import datetime as dt
import enum
import json
import math
import shelve as stdlib_shelve
import subprocess
import sys
import zoneinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oxidbm
from oxidbm import shelve
from tests.support import ROOT

UTC_OFFSET = dt.timezone(dt.timedelta(hours=5, minutes=30))
VALUES: list[Any] = [
    None, True, False, 0, -1, 10**30, 7**9000, -(7**9000), 0.1, -0.0, 1e300, math.inf, -math.inf, "", "text \u20ac",
    "\ud800", b"", b"\x00\xff", bytearray(b"x"), 1 + 2j, complex(math.inf, -0.0), [], [1, [2, [3]]],
    (), (1, "a", (b"b",)),
    {}, {"a": 1}, {"$tuple": [1]}, {"$": 1}, {"$dict": []}, {"$a": 1, "b": 2}, {1: "one", (2, 3): {4}, None: b"x"},
    {"a": {"$set": 1}}, set(), {1, "a"}, frozenset([(1, 2)]), Decimal("1.10"), Fraction(1, 3), UUID(int=7),
    dt.date(2020, 2, 29), dt.datetime(2020, 2, 29, 1, 2, 3, 4),  # noqa: DTZ001
    dt.time(1, 2, 3, fold=1),
    dt.datetime(2020, 2, 29, 1, 2, tzinfo=UTC_OFFSET, fold=1), dt.timedelta(-1, 2, 3),
]  # fmt: skip


class Colour(enum.IntEnum):
    """A subclass of int."""

    RED = 1


class Point(NamedTuple):
    """A subclass of tuple."""

    x: int
    y: int


def same(a: Any, b: Any) -> bool:
    """Tell whether two values are equal, of the same types all through."""
    return type(a) is type(b) and repr(a) == repr(b) and (a == b or a != a)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_the_safe_codec_gives_back_what_it_took(value: Any) -> None:
    data = shelve.dump_json(value, 0)
    json.loads(data, parse_constant=pytest.fail)
    assert shelve.load_json(data) == value
    if not isinstance(value, set | frozenset | dict | int):
        assert same(shelve.load_json(data), value)


def test_nan_comes_back() -> None:
    assert math.isnan(shelve.load_json(shelve.dump_json([math.nan], 0))[0])


SCALARS: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals()
)
SCALARS |= st.datetimes(timezones=st.none() | st.just(dt.UTC)) | st.dates() | st.times() | st.timedeltas()
KEYS = st.text() | st.sampled_from(["$tuple", "$dict", "$"]) | st.integers() | st.tuples(st.integers(), st.text())
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.lists(inner).map(tuple), max_leaves=20
)


@given(TREES)
def test_any_tree_comes_back(value: Any) -> None:
    assert repr(shelve.load_json(shelve.dump_json(value, 0))) == repr(value)


@pytest.mark.parametrize(
    "value",
    [object(), Colour.RED, Point(1, 2), collections.Counter("aa"), collections.OrderedDict(a=1), print, [{1: object()}],
     dt.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")), memoryview(b"a")],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_the_safe_codec_refuses_what_would_come_back_as_something_else(value: Any, tmp_path: Path) -> None:
    with shelve.open(tmp_path / "shelf", writeback=True) as shelf:
        with pytest.raises(TypeError, match="the 'json' shelf codec"):
            shelf["a"] = value
        assert len(shelf) == 0
        assert "a" not in shelf.cache


def test_a_value_that_contains_itself() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="contains itself"):
        shelve.dump_json(value, 0)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff", b'{"$object":1}', b'{"$":1}', b'{"$tuple":1}', b'{"$dict":[1]}', b'{"$set":[[1]]}',
     b'{"$bytes":"a"}', b'{"$datetime":"2020"}', b'{"$Decimal":"x"}', b'{"$Fraction":"1/0"}', b'{"$int":10}',
     b'{"$timedelta":["a"]}', b"\x80\x04K\x01.", b"[" * 100_000],
    ids=lambda data: repr(data)[:20],
)  # fmt: skip
def test_bytes_that_the_codec_did_not_write(data: bytes) -> None:
    with pytest.raises(shelve.DeserializeError, match="not what the 'json' shelf codec writes"):
        shelve.load_json(data)


class Harm:
    """What a hostile pickle looks like."""

    def __reduce__(self) -> Any:
        return print, ("harm",)


def test_a_pickled_shelf_is_not_read_unless_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with shelve.open(tmp_path / "shelf", serializer="pickle") as shelf:
        shelf["a"] = Harm()
    with shelve.open(tmp_path / "shelf", "r") as shelf, pytest.raises(shelve.DeserializeError):
        shelf["a"]
    assert capsys.readouterr().out == ""
    stdlib: stdlib_shelve.Shelf[Any]
    with stdlib_shelve.Shelf(oxidbm.open(tmp_path / "shelf")) as stdlib:
        stdlib["a"]
    assert capsys.readouterr().out == "harm\n"


def test_functions_as_serializers_get_the_protocol(tmp_path: Path) -> None:
    seen = []

    def serializer(value: Any, protocol: int) -> bytes:
        seen.append(protocol)
        return bytes([value])

    with shelve.open(tmp_path / "shelf", protocol=3, serializer=serializer, deserializer=lambda data: data[0]) as shelf:
        shelf["a"] = 7
        assert shelf["a"] == 7
    assert seen == [3]


@pytest.mark.parametrize(
    "arguments",
    [{"serializer": "marshal"}, {"serializer": len}, {"serializer": "json", "deserializer": "pickle"},
     {"serializer": "json", "deserializer": len}, {"deserializer": len}, {"serializer": len, "deserializer": "json"}],
)  # fmt: skip
def test_serializers_that_do_not_fit(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="serializer"):
        shelve.open(tmp_path / "shelf", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_shelf_is_a_shelf(tmp_path: Path) -> None:
    with shelve.open(tmp_path / "shelf") as shelf:
        assert isinstance(shelf, stdlib_shelve.Shelf)
        shelf["\u20ac"] = [1]
        shelf["\u20ac"].append(2)
        assert dict(shelf) == {"\u20ac": [1]}
        with pytest.raises(KeyError, match="no such key"):
            shelf["no such key"]
        shelf.reorganize()
        shelf.clear()
        assert list(shelf) == []
    shelf.close()
    for use in (lambda: shelf["a"], lambda: len(shelf), lambda: list(shelf), lambda: shelf.__setitem__("a", 1)):
        with pytest.raises(ValueError, match="closed shelf"):
            use()


def test_writeback(tmp_path: Path) -> None:
    with shelve.open(tmp_path / "shelf", writeback=True) as shelf:
        shelf["a"] = [1]
        shelf["a"].append(2)
        shelf.sync()
        shelf["a"].append(3)
    with shelve.open(tmp_path / "shelf", "r") as shelf:
        assert shelf["a"] == [1, 2, 3]


def test_a_shelf_left_open_is_written_at_exit(tmp_path: Path) -> None:
    path = str(tmp_path / "shelf")
    code = f"import oxidbm; s = oxidbm.shelve.open({path!r}, writeback=True); s['a'] = [1]; s['a'].append(2)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert result.stderr == ""
    with shelve.open(path) as shelf:
        assert shelf["a"] == [1, 2]


def test_which_value_was_refused(tmp_path: Path) -> None:
    with (
        shelve.open(tmp_path / "shelf") as shelf,
        pytest.raises(TypeError, match=r"does not take builtins.object.*'bad'$"),
    ):
        shelf.update({"good": 1, "bad": object()})
