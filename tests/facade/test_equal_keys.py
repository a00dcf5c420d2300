"""Keys that are equal have equal bytes, or are refused; keys that are not have others. In every process."""

import datetime as dt
import math
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oxidbm import Store, codecs
from oxidbm._key_codecs import for_keys
from tests.facade.models import Box, Colour, Movie, Pair, Place, Point, Word
from tests.support import ROOT

ZONES = [dt.timezone(dt.timedelta(minutes=minutes)) for minutes in (0, 60, -90)]
HOURS = st.integers(0, 2)
NUMBERS: st.SearchStrategy[Any] = (
    st.integers(-2, 2)
    | st.booleans()
    | st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 0.1, 1e16, 1e300, math.inf])
    | st.sampled_from([10**16, int(1e300), 2**63, 7**4000])
    | st.sampled_from(["0", "-0", "0E-9999", "1", "1.0", "1E+1", "10", "1E+16", "Infinity"]).map(Decimal)
    | st.sampled_from(["0.5", "0.50", "0.1", "0.10", "1.10"]).map(Decimal)
)  # fmt: skip
ATOMS: st.SearchStrategy[Any] = (
    NUMBERS
    | st.none()
    | st.sampled_from(["", "a", "$tuple", "1"])
    | st.sampled_from([b"", b"a", bytearray(b"a")])
    | st.sampled_from([dt.date(2020, 1, 1), dt.timedelta(days=1), dt.timedelta(hours=24)])
    | st.builds(lambda fold: dt.time(1, fold=fold), st.integers(0, 1))
    | st.builds(lambda hour, zone: dt.datetime(2020, 1, 2, hour, tzinfo=zone), HOURS, st.sampled_from(ZONES))
    | st.builds(lambda fold: dt.datetime(2020, 1, 2, fold=fold), st.integers(0, 1))  # noqa: DTZ001
    | st.sampled_from([UUID(int=1), UUID(int=2)])
)  # fmt: skip
HASHABLE = st.recursive(
    ATOMS.filter(lambda value: not isinstance(value, bytearray)),
    lambda inner: st.frozensets(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)
OBJECTS = st.recursive(
    ATOMS | HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(HASHABLE, max_size=3)
        | st.dictionaries(HASHABLE, inner, max_size=3)
    ),
    max_leaves=8,
)


def equal_one(value: Any, data: st.DataObject) -> Any:
    """Return a value that is equal to another, and built otherwise."""
    kind = type(value)
    if kind in (bool, int, float) and abs(value) < 1 << 60 and value == int(value):
        return data.draw(st.sampled_from([int, float, Decimal]))(value)
    if kind is float and value - value == 0:
        return Decimal(value)
    if kind in (list, tuple):
        return kind(equal_one(item, data) for item in value)
    if kind in (set, frozenset):
        items = data.draw(st.permutations(list(value)))
        return data.draw(st.sampled_from([set, frozenset]))(items)
    if kind is dict:
        items = data.draw(st.permutations(list(value.items())))
        return {key: equal_one(item, data) for key, item in items}
    if kind in (bytes, bytearray):
        return data.draw(st.sampled_from([bytes, bytearray]))(value)
    if kind is dt.datetime and value.tzinfo is not None:
        return value.astimezone(data.draw(st.sampled_from(ZONES)))
    return value


KEYS = for_keys(codecs.OBJECTS)


@given(OBJECTS, st.data())
def test_equal_objects_have_equal_bytes_and_come_back_equal(value: Any, data: st.DataObject) -> None:
    other = equal_one(value, data)
    assert other == value
    written = KEYS.encode(value)
    assert KEYS.encode(other) == written
    assert KEYS.decode(written) == value
    assert KEYS.encode(KEYS.decode(written)) == written


@given(OBJECTS, OBJECTS)
@example((1, 2), [1, 2])
@example({}, set())
@example({"$tuple": [1]}, (1,))
@example({1: 2}, frozenset({(1, 2)}))
@example("1", 1)
@example(2**53 + 1, float(2**53))
@example(Decimal("0.1"), 0.1)
def test_objects_have_equal_bytes_where_they_are_equal(one: Any, other: Any) -> None:
    assert (KEYS.encode(one) == KEYS.encode(other)) == (one == other)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (Word("a"), "does not take tests.*Word"),
        (Colour.RED, "does not take tests.*Colour"),
        (Pair(1, "a"), "does not take tests.*Pair"),
        ((1, Fraction(1, 2)), "does not take fractions.Fraction in keys; convert the value"),
        ([1j], "does not take builtins.complex in keys"),
        (dt.time(1, tzinfo=dt.UTC), "does not take datetime.time with a UTC offset in keys"),
        (Point(1), "does not take tests.*Point"),
    ],
)
def test_objects_that_are_refused_in_keys(key: Any, words: str) -> None:
    with Store(key="objects", value=int) as store:
        calls: list[Callable[[], object]] = [lambda: store.set(key, 1), lambda: store[key], lambda: store.delete(key)]
        for call in calls:
            with pytest.raises(TypeError, match=f"a key of the codec 'objects' {words}"):
                call()
        assert len(store) == 0


@pytest.mark.parametrize(
    "key", [Decimal("1E+5000"), Decimal("1E-5000"), dt.datetime(1, 1, 1, tzinfo=ZONES[1]), [[]]], ids=range(4)
)
def test_objects_out_of_range_in_keys(key: Any) -> None:
    if key == [[]]:
        key[0].append(key)
    with pytest.raises(ValueError, match=r"cannot be part of a key|contains itself"):
        KEYS.encode(key)


@pytest.mark.parametrize(
    "data", [b"true", b"1.0", b'{"$set":[1]}', b'{"b":1,"a":2}', b'{"$frozenset":[2,1]}', b'{"$Decimal":"1.10"}', b" 1"]
)
def test_bytes_by_which_no_key_is_found_are_refused(data: bytes) -> None:
    codecs.OBJECTS.decode(data)
    with pytest.raises(codecs.DecodeError, match="another, canonical form"):
        KEYS.decode(data)


def test_floats_have_one_zero_as_keys_and_two_as_values() -> None:
    with Store(key=float, value=float, ordered=True) as store:
        store[-0.0] = -0.0
        assert 0.0 in store
        assert math.copysign(1, store[0]) == -1
        store[0.0] = 1.0
        assert list(store.items()) == [(0.0, 1.0)]
        assert [math.copysign(1, key) for key in store] == [1]
        assert [key for key, _ in store.range(-0.0)] == [0.0]
        store[math.nan] = 2.0
        assert store[-math.nan] == 2.0
    with pytest.raises(codecs.DecodeError, match="canonical"):
        for_keys(codecs.FLOAT).decode(codecs.FLOAT.encode(-0.0))


def test_tuples_have_the_parts_of_keys() -> None:
    with Store(key=codecs.Tuple(float, codecs.OBJECTS, bytes), value=int) as store:
        store[-0.0, {1: frozenset("ab"), 2.0: True}, b"x"] = 1
        other: Any = (0, {2: 1, True: set("ba")}, bytearray(b"x"))
        assert store[other] == 1
        assert len(store) == 1
        assert store.key_codec == "tuple(float,objects,bytes)"
    with pytest.raises(ValueError, match="the codec 'pickle' is not for keys"):
        Store(key=codecs.Tuple(int, codecs.PICKLE))


@pytest.mark.parametrize(
    "pair",
    [
        (Point(1, 0.0, ["a"]), Point(True, 0.0, ["a"])),
        (Point(1, 0.0), Point(1.0, -0.0)),  # type: ignore[arg-type]
        (Point(1, 2), Point(1, 2.0)),
        (Point(1, math.nan), Point(1, math.nan)),
        (Point(Colour.RED, 2), Point(1, 2)),
        (Point(1, tags=[Word("a")]), Point(1, tags=["a"])),
    ],
)
@pytest.mark.parametrize("make", [codecs.Json, codecs.Msgpack])
def test_equal_dataclasses_are_one_key_or_refused(make: Any, pair: tuple[Point, Point]) -> None:
    written = set()
    codec = for_keys(make(Point))
    for key in pair:
        try:
            written.add(codec.encode(key))
        except (TypeError, ValueError) as failure:
            assert "key of tests.facade.models.Point" in str(failure) or "Word" in str(failure)  # noqa: PT017
        else:
            assert codec.decode(codec.encode(key)) == key
    assert len(written) <= 1


INNER = st.dictionaries(st.sampled_from(["x", "y", "$z"]), st.frozensets(st.sampled_from(["a", "b", "c"])), max_size=3)


@pytest.mark.parametrize("make", [codecs.Json, codecs.Msgpack])
@given(INNER, INNER, st.data())
def test_sets_and_dicts_in_typed_keys(make: Any, one: Any, other: Any, data: st.DataObject) -> None:
    codec = for_keys(make(dict[str, frozenset[str]]))
    assert (codec.encode(one) == codec.encode(other)) == (one == other)
    again = {
        key: frozenset(data.draw(st.permutations(list(one[key])))) for key in data.draw(st.permutations(list(one)))
    }
    assert codec.encode(again) == codec.encode(one)
    assert codec.decode(codec.encode(one)) == one


@dataclass
class Many:
    """What has an order of its own, and a float."""

    number: float
    days: frozenset[dt.date]
    ids: frozenset[UUID]
    counts: frozenset[int]
    data: frozenset[bytes]
    table: dict[str, tuple[float, ...]]


MANY = st.builds(
    Many, st.floats(allow_nan=False, allow_infinity=False) | st.just(-0.0), st.frozensets(st.dates(), max_size=4),
    st.frozensets(st.uuids(), max_size=4), st.frozensets(st.integers(-300, 300), max_size=6),
    st.frozensets(st.binary(max_size=3) | st.just(b"-0.0"), max_size=4),
    st.dictionaries(st.text(max_size=2), st.sampled_from([(), (0.0,), (-0.0, 1.5), (0.0, -0.0)]), max_size=3),
)  # fmt: skip


def turned(value: Any) -> Any:
    """Return an equal value whose zeros have the other sign and whose sets and dicts were filled backwards."""
    if isinstance(value, float):
        return -value if value == 0 else value
    if isinstance(value, frozenset | tuple):
        return type(value)(map(turned, list(value) if isinstance(value, tuple) else list(value)[::-1]))
    if isinstance(value, dict):
        return {key: turned(item) for key, item in reversed(value.items())}
    return value


@pytest.mark.parametrize("make", [codecs.Json, codecs.Msgpack])
@given(MANY)
def test_zeros_and_orders_together_in_typed_keys(make: Any, value: Many) -> None:
    codec = for_keys(make(Many))
    other = Many(**{name: turned(item) for name, item in vars(value).items()})
    assert other == value
    written = codec.encode(value)
    assert codec.encode(other) == written
    assert codec.decode(written) == value


@dataclass(frozen=True)
class Visit:
    """A key of several types."""

    day: dt.date
    who: str | None
    kind: Literal["a", "b"]
    parts: tuple[Annotated[int, "words"], ...] = ()
    next: "Visit | None" = None


class Partly(msgspec.Struct):
    """A struct that compares otherwise."""

    a: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Partly)

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Hidden:
    """A dataclass with a field that does not count."""

    a: int
    b: int = field(default=0, compare=False)


@dataclass(eq=False)
class Lenient:
    """A dataclass that compares otherwise."""

    a: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lenient) and other.a.lower() == self.a.lower()

    __hash__ = None  # type: ignore[assignment]


FIT = [Visit, Point, Place, codecs.Json(Place), codecs.Msgpack(Box[int]), codecs.Msgpack(Pair),
       codecs.Msgpack(bytes | int), codecs.Json(Colour), codecs.Json(set[UUID])]  # fmt: skip


@pytest.mark.parametrize("spec", FIT)
def test_types_that_are_for_keys(spec: Any) -> None:
    assert for_keys(codecs.resolve(spec)).name == codecs.resolve(spec).name


REFUSED: list[tuple[Any, str]] = [
    ("pickle", "need not have equal pickles"),
    ("json", "values of Any can differ"),
    ("msgpack", "values of Any can differ"),
    (codecs.Json(list), "values of list can differ"),
    (codecs.Json(list[Any]), "values of Any can differ"),
    (codecs.Msgpack(int | float), "a number of one type can be equal to one of another"),
    (codecs.Msgpack(Literal[1] | bool), "a number of one type"),
    (codecs.Msgpack(Decimal), "values of Decimal can differ"),
    (codecs.Msgpack(tuple[dt.datetime, int]), "values of datetime can differ"),
    (codecs.Msgpack(Box[Decimal]), "values of Decimal can differ"),
    (codecs.Msgpack(dict[int, str]), "keys that are no str have no order"),
    (codecs.Msgpack(Movie), "values of Movie can differ"),
    (Partly, "values of Partly can differ"),
    (Hidden, "values of Hidden can differ"),
    (Lenient, "values of Lenient can differ"),
]


@pytest.mark.parametrize(("spec", "words"), REFUSED, ids=range(len(REFUSED)))
def test_codecs_that_are_not_for_keys(spec: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"is not for keys.*{words}.*codecs\.Tuple"):
        Store(tmp_path / "s", key=spec)
    assert not (tmp_path / "s").exists()
    Store(value=spec).close()


def test_a_key_of_a_tuple_type_names_the_codec() -> None:
    for spec in (tuple, tuple[int, ...]):
        with pytest.raises(TypeError, match=r"codecs\.Tuple\(int, str\)"):
            Store(key=spec)


PROGRAM = textwrap.dedent("""
    import sys, oxidbm
    from dataclasses import dataclass
    from oxidbm import codecs

    @dataclass
    class Group:
        names: frozenset[str]

    words = ["a", "b", "c", "d", "e", "f"]
    if sys.argv[2] == "turned":
        words.reverse()
    objects = [frozenset(words), {word: {word, 1} for word in words}, (set(words), {1: 2.0, True: 3})]
    with oxidbm.Store(sys.argv[1] + "/objects", key="objects", value=int) as store:
        for key in objects:
            store.incr(key)
        print(len(store), sorted(store.values()))
    with oxidbm.Store(sys.argv[1] + "/groups", key=codecs.Msgpack(Group, name="group"), value=int) as store:
        store.incr(Group(frozenset(words)))
        print(len(store), list(store.values()))
""")


def test_another_process_finds_the_keys_whatever_its_hash_seed(tmp_path: Path) -> None:
    found = []
    for seed, order in (("1", "straight"), ("2", "turned"), ("3", "straight")):
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path), order],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        found.append(result.stdout)
    assert found == [f"3 [{count}, {count}, {count}]\n1 [{count}]\n" for count in (1, 2, 3)]
