"""Values whose parts are of wrong types are refused when they are written, and those that come back equal are not."""

import collections
import datetime as dt
import enum
import math
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Generic, Literal, NewType, NotRequired, TypedDict, TypeVar, Union
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oxidbm
from oxidbm import Store, codecs
from tests.facade.models import Box, Colour, Pair, Place, Point, Point3, Word

UserId = NewType("UserId", int)
T = TypeVar("T")
WRONG_INT: Any = "1"
LATER = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)


class Size(enum.Enum):
    """An enum that is of no other type."""

    SMALL = "s"
    LARGE = "l"


class Film(TypedDict):
    """A dict with a key that may be left out."""

    title: str
    year: NotRequired[int]


@dataclass
class Inner:
    """A class in a class."""

    n: int
    next: "Inner | None" = None


@dataclass
class Pages(Generic[T]):
    """A generic class in which the parameter is inside of a type."""

    items: list[T]
    first: T | None = None


@dataclass
class Everything:
    """A field of each kind."""

    whole: int = 1
    real: float = 1.5
    text: str = "a"
    data: bytes = b"a"
    flag: bool = True
    nothing: None = None
    maybe: int | None = None
    either: Union[int, str] = 1  # noqa: UP007 - both ways to write one
    word: Literal["on", "off", 1] = "on"
    user: UserId = UserId(7)
    size: Size = Size.SMALL
    colour: Colour = Colour.RED
    at: dt.datetime = LATER
    day: dt.date = dt.date(2024, 2, 29)
    price: Decimal = Decimal("1.10")
    ident: UUID = UUID(int=1)  # noqa: RUF009 - it does not change
    inner: Inner = field(default_factory=lambda: Inner(1))
    inners: list[Inner] = field(default_factory=list)
    pair: tuple[int, str] = (1, "a")
    named: Pair = Pair(1, "a")  # noqa: RUF009
    many: tuple[int, ...] = ()
    numbers: list[int] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    table: dict[str, int] = field(default_factory=dict)
    film: Film = field(default_factory=lambda: Film(title="a"))
    place: Place = field(default_factory=lambda: Place("a", (1, 2)))
    box: Box[int] = field(default_factory=lambda: Box(1))
    anything: Any = None
    small: Annotated[int, msgspec.Meta(ge=0, extra={"unhashable": []})] = 0
    mapping: collections.abc.Mapping[str, int] = field(default_factory=dict)
    shared: ClassVar[int] = 0
    fixed: Final[int] = 3


CODECS: dict[str, codecs.Msgpack[Everything] | codecs.Json[Everything]] = {
    "msgpack": codecs.Msgpack(Everything),
    "json": codecs.Json(Everything),
    "msgpack, all": codecs.Msgpack(Everything, validate=True),
    "json, all": codecs.Json(Everything, validate=True),
}

RIGHT: list[dict[str, Any]] = [
    {},
    {"whole": Colour.RED, "real": 1, "data": bytearray(b"a")},
    {"maybe": 5, "either": "a", "word": 1, "size": Size.LARGE},
    {"either": Colour.RED, "user": Colour.RED},
    {"inner": Inner(1, Inner(2, Inner(3)))},
    {"inners": [Inner(1)], "numbers": [1], "words": {"a"}, "table": {"a": 1}, "many": (1, 2)},
    {"table": collections.OrderedDict(a=1), "film": {"title": "a", "year": 1979}},
    {"anything": {"a": [1]}, "mapping": {"a": 1}, "at": LATER.astimezone(dt.timezone(dt.timedelta(hours=1)))},
]

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"whole": "1"}, "takes int in whole, not str"),
    ({"whole": True}, "takes int in whole, not bool"),
    ({"whole": 1.0}, "takes int in whole, not float"),
    ({"whole": None}, "takes int in whole, not None"),
    ({"real": "1.5"}, "takes float or int in real, not str"),
    ({"real": True}, "takes float or int in real, not bool"),
    ({"text": b"a"}, "takes str in text, not bytes"),
    ({"text": Word("a")}, r"takes str in text, not .*Word"),
    ({"data": "a"}, "takes bytes in data, not str"),
    ({"flag": 1}, "takes bool in flag, not int"),
    ({"nothing": 0}, "takes None in nothing, not int"),
    ({"maybe": "a"}, r"takes None\|int in maybe, not str"),
    ({"either": 1.5}, r"takes int\|str in either, not float"),
    ({"word": True}, r"takes Literal\['off','on',1\] in word, not bool"),
    ({"user": "a"}, "takes int in user, not str"),
    ({"size": "s"}, "takes .*Size in size, not str"),
    ({"size": Colour.RED}, r"takes .*Size in size, not .*Colour"),
    ({"at": "2024-02-29T12:00:00Z"}, r"takes datetime\.datetime in at, not str"),
    ({"day": "2024-02-29"}, r"takes datetime\.date in day, not str"),
    ({"day": LATER}, r"takes datetime\.date in day, not datetime\.datetime"),
    ({"price": 0.1}, r"takes decimal\.Decimal in price, not float"),
    ({"ident": str(UUID(int=1))}, r"takes uuid\.UUID in ident, not str"),
    ({"inner": None}, "takes .*Inner in inner, not None"),
    ({"inner": Inner(WRONG_INT)}, r"takes int in inner\.n, not str"),
    ({"inner": Inner(1, Inner(2, Inner(WRONG_INT)))}, r"takes int in inner\.next\.next\.n, not str"),
    ({"inner": Point(1)}, "takes .*Inner in inner, not .*Point"),
    ({"pair": (1,)}, r"takes tuple\[int,str\] in pair, not \(1,\)"),
    ({"pair": ("a", 1)}, r"takes int in pair\[0\], not str"),
    ({"pair": [1, "a"]}, r"takes tuple\[int,str\] in pair, not list"),
    ({"named": Pair(WRONG_INT, "a")}, r"takes int in named\.a, not str"),
    ({"numbers": (1, 2)}, r"takes list\[int\] in numbers, not tuple"),
    ({"words": ["a"]}, r"takes set\[str\] in words, not list"),
    ({"table": [("a", 1)]}, r"takes dict\[str,int\] in table, not list"),
    ({"film": {"title": 1}}, r"takes str in film\['title'\], not int"),
    ({"film": {}}, r"takes .*Film in film, not \{\}"),
    ({"word": "maybe"}, r"takes Literal\['off','on',1\] in word, not 'maybe'"),
    ({"film": {"title": "a", "year": "1979"}}, r"takes int in film\['year'\], not str"),
    ({"place": Place("a", (1, WRONG_INT))}, r"takes int in place\.at\[1\], not str"),
    ({"box": Box("1")}, r"takes int in box\.content, not str"),
    ({"small": "0"}, "takes int in small, not str"),
    ({"fixed": "3"}, "takes int in fixed, not str"),
]  # fmt: skip

DEEP: list[tuple[dict[str, Any], str]] = [
    ({"inners": [Inner(1), Inner(WRONG_INT)]}, r"takes int in inners\[1\]\.n, not str"),
    ({"numbers": [1, "2"]}, r"takes int in numbers\[1\], not str"),
    ({"many": (1, None)}, r"takes int in many\[1\], not None"),
    ({"words": {1}}, r"takes str in words\[0\], not int"),
    ({"table": {"a": "1"}}, r"takes int in table\['a'\], not str"),
    ({"table": {1: 1}}, "takes str in table key 1, not int"),
    ({"small": -1}, "could not be read: Expected `int` >= 0"),
    ({"mapping": {"a": "b"}}, "could not be read: Expected `int`, got `str`"),
]


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("change", RIGHT, ids=str)
def test_what_comes_back_equal_is_written(name: str, change: dict[str, Any]) -> None:
    value = Everything(**change)
    assert CODECS[name].decode(CODECS[name].encode(value)) == value


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize(("change", "words"), WRONG, ids=[str(change) for change, _ in WRONG])
def test_a_field_of_a_wrong_type_is_refused(name: str, change: dict[str, Any], words: str) -> None:
    codec = CODECS[name]
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        codec.encode(Everything(**change))
    assert str(caught.value).startswith(f"the codec {codec.name!r} ")
    values = ("not 'maybe'", r"not \(1,\)", r"not \{\}")  # of the right type
    assert isinstance(caught.value, ValueError if words.endswith(values) else TypeError)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize(("change", "words"), DEEP, ids=[str(change) for change, _ in DEEP])
def test_items_and_limits_are_checked_where_that_is_asked_for(name: str, change: dict[str, Any], words: str) -> None:
    codec = CODECS[name]
    if "all" not in name:
        codec.encode(Everything(**change))
        return
    with pytest.raises((TypeError, ValueError), match=words):
        codec.encode(Everything(**change))


@pytest.mark.parametrize(("change", "_"), WRONG, ids=[str(change) for change, _ in WRONG])
def test_nothing_but_the_own_type_is_checked_where_that_is_asked_for(change: dict[str, Any], _: str) -> None:
    codec = codecs.Msgpack(Everything, validate=False)
    if not isinstance(change.get("text"), Word):  # which msgspec does not write
        codec.encode(Everything(**change))
    with pytest.raises(TypeError, match=r"takes .*Everything, not .*Point"):
        codec.encode(Point(1))  # type: ignore[arg-type]


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=2) | st.binary(max_size=2)


@pytest.mark.parametrize("make", [codecs.Msgpack, codecs.Json])
@given(SCALARS, SCALARS, st.lists(SCALARS, max_size=2))
def test_what_is_written_with_validation_can_be_read(make: Any, x: Any, y: Any, tags: Any) -> None:
    codec = make(Point, validate=True)
    value = Point(x, y, tags)
    try:
        data = codec.encode(value)
    except (TypeError, ValueError):
        unfit = type(x) is not int or type(y) not in (int, float) or any(type(tag) is not str for tag in tags)
        assert unfit or (make is codecs.Json and y - y != 0)
        return
    assert repr(codec.decode(data)) == repr(Point(x, float(y), tags))


@pytest.mark.parametrize("validate", [None, True])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_json_lacks_is_refused_where_it_would_not_come_back(number: float, validate: bool | None) -> None:
    with pytest.raises(ValueError, match=f"takes float or int in y, not {number}"):
        codecs.Json(Point, validate=validate).encode(Point(1, number))
    assert repr(codecs.Msgpack(Point, validate=validate).encode(Point(1, number)))


TOPS: list[tuple[Any, Any, Any, str]] = [
    (Point | None, None, 1, r"takes None\|.*Point, not int"),
    (Point | None, Point(1), Point("1"), "takes int in x, not str"),  # type: ignore[arg-type]
    (Point | None, Point(1), Point3(1), r"takes None\|.*Point, not .*Point3"),
    (int | str, "a", 1.5, r"takes int\|str, not float"),
    (Literal["a", "b"], "a", "c", r"takes Literal\['a','b'\], not 'c'"),
    (tuple[int, str], (1, "a"), ("a", 1), r"takes int in \[0\], not str"),
    (Film, {"title": "a"}, {"title": None}, r"takes str in \['title'\], not None"),
    (Box[Point], Box(Point(1)), Box(1), "takes .*Point in content, not int"),
    (
        Pages[int],
        Pages([1], 2),
        Pages([1], "2"),
        r"takes int\|None in first, not str|takes None\|int in first, not str",
    ),
]


@pytest.mark.parametrize("make", [codecs.Msgpack, codecs.Json])
@pytest.mark.parametrize(("kind", "right", "wrong", "words"), TOPS, ids=[str(kind) for kind, *_ in TOPS])
def test_types_that_are_no_class(make: Any, kind: Any, right: Any, wrong: Any, words: str) -> None:
    codec = make(kind)
    assert codec.decode(codec.encode(right)) == right
    with pytest.raises((TypeError, ValueError), match=words):
        codec.encode(wrong)


def test_a_field_that_is_not_there() -> None:
    point = Point(1)
    del point.x
    with pytest.raises(TypeError, match=r"takes no .*Point without x"):
        codecs.Msgpack(Point).encode(point)


def test_a_class_whose_annotations_cannot_be_found_is_checked_by_its_own_type() -> None:
    class Hidden:
        """What the class below names and nobody finds."""

    @dataclass
    class Local:
        n: "int | Hidden"

    with pytest.raises(NameError):
        codecs.Msgpack(Local)  # by msgspec, which has to know them


def test_a_value_in_itself_and_a_long_chain() -> None:
    ring = Inner(1)
    ring.next = ring
    chain = None
    for i in range(50_000):
        chain = Inner(i, chain)
    for value in (ring, chain):
        assert value is not None
        with pytest.raises(ValueError, match="contains itself, or is nested too deeply"):
            codecs.Msgpack(Inner).encode(value)


def test_nothing_is_stored_of_what_is_refused(tmp_path: Path) -> None:
    wrong: Any = Point(1, "1.5")  # type: ignore[arg-type]
    with Store(tmp_path / "s", key=str, value=Point) as store:
        store["a"] = Point(1)
        with pytest.raises(TypeError, match="takes float or int in y, not str"):
            store["a"] = wrong
        with pytest.raises(TypeError, match="in y"):
            store.set_many({"b": wrong})
        with store.batch() as batch, pytest.raises(TypeError, match="in y"):
            batch["c"] = wrong
        with store.session() as session, pytest.raises(TypeError, match="in y"):
            session.rmw("a", lambda old: wrong, Point(3))
        assert dict(store) == {"a": Point(1)}
    with oxidbm.Log(tmp_path / "l", codec=Point) as log:
        with pytest.raises(TypeError, match="in y"):
            log.append(wrong)
        assert len(log) == 0
    with oxidbm.Queue(tmp_path / "q", codec=Point) as queue:
        with pytest.raises(TypeError, match="in y"):
            queue.put(wrong)
        assert len(queue) == 0


def test_an_error_on_reading_names_the_key(tmp_path: Path) -> None:
    """Each way to read a value that another version of the class wrote."""
    loose = codecs.Msgpack(Point, name="point", validate=False)
    codec = codecs.Msgpack(Point, name="point")
    with Store(tmp_path / "s", key=str, value=loose) as store:
        store["old"] = Point("1")  # type: ignore[arg-type]
    with Store(tmp_path / "s", key=str, value=codec, ordered=True) as store, store.session() as session:
        reads: list[Any] = [
            lambda: store["old"], lambda: store.get("old"), lambda: store.pop("old"), store.popitem,
            lambda: store.setdefault("old", Point(1)), lambda: store.get_many(["old"]), lambda: list(store.items()),
            lambda: list(store.values()), lambda: list(store.range()), lambda: list(store.prefix("o")),
            lambda: session.read("old"), lambda: session.rmw("old", lambda old: old),
            lambda: list(store.history("old")),
        ]  # fmt: skip
        for read in reads:
            with pytest.raises(codecs.DecodeError, match=r"key b'old'.*Expected `int`, got `str` - at `\$\.x`"):
                read()
        assert "old" in store


@dataclass
class Tagged:
    """A class with a field whose items are not looked at by default."""

    tags: list[str]


@pytest.mark.parametrize("make", [codecs.Msgpack, codecs.Json])
def test_an_item_that_was_not_looked_at_is_told_as_that_when_it_is_read(make: Any) -> None:
    wrong: Any = Tagged([1])  # type: ignore[list-item]
    with Store(key=str, value=make(Tagged)) as store:
        store["a"] = wrong
        with pytest.raises(codecs.DecodeError) as caught:
            store["a"]
    text = str(caught.value)
    assert "key b'a'" in text
    assert "tags[0]" in text
    assert "validate=True" in text
    assert "use the codec" not in text
    with Store(key=str, value=make(Tagged, validate=True)) as store:
        with pytest.raises(TypeError, match=r"in tags\[0\]"):
            store["a"] = wrong
        with pytest.raises(codecs.DecodeError, match="use the codec they were written with"):
            make(Tagged).decode(b"\xc1")
        with pytest.raises(codecs.DecodeError, match=r"another codec wrote them$"):
            make(Tagged, validate=True).decode(make(Tagged).encode(wrong))
