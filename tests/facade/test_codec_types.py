"""Which codec a type, a name or an object stands for, how it is called, and what Json and Msgpack make of types."""

import collections.abc
import datetime as dt
import enum
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, Union
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oxidbm
from oxidbm import codecs
from tests.facade.models import Box, Colour, Movie, Pair, Place, Point, Point3
from tests.support import ROOT

POINTS = st.builds(Point, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.lists(st.text()))


@pytest.mark.parametrize("codec", [codecs.resolve(Point), codecs.Msgpack(Point), codecs.PICKLE], ids=lambda c: c.name)
@given(POINTS)
def test_a_dataclass_comes_back(codec: codecs.Codec[Point], point: Point) -> None:
    back = codec.decode(codec.encode(point))
    assert type(back) is Point
    assert back == point


@given(POINTS.filter(lambda point: math.isfinite(point.y)))
def test_a_dataclass_comes_back_from_json(point: Point) -> None:
    assert codecs.Json(Point).decode(codecs.Json(Point).encode(point)) == point


TYPED: list[tuple[Any, Any]] = [
    (Place, Place("a", (1, 2))),
    (Box[int], Box(1)),
    (dict[str, Point], {"a": Point(1)}),
    (Point | None, None),
    (Point | None, Point(2)),
    (set[int], {1, 2}),
    (tuple[int, ...], (1, 2, 3)),
    (dt.datetime, dt.datetime(2020, 1, 2, tzinfo=dt.UTC)),
    (Decimal, Decimal("1.10")),
    (Pair, Pair(1, "a")),
    (Movie, {"title": "a"}),
    (Literal["a", 1], "a"),
    (Colour, Colour.RED),
    (collections.abc.Mapping[str, int], {"a": 1}),
    (Annotated[int, msgspec.Meta(ge=0)], 3),
    (Annotated[list[int], "words"], [3]),
    (object, [1, "a"]),
]


@pytest.mark.parametrize("make", [codecs.Json, codecs.Msgpack])
@pytest.mark.parametrize(("kind", "value"), TYPED, ids=str)
def test_a_value_of_the_type_comes_back(make: Any, kind: Any, value: Any) -> None:
    codec = make(kind)
    back = codec.decode(codec.encode(value))
    assert back == value
    assert type(back) is type(value)


def test_a_dataclass_may_gain_fields_with_defaults() -> None:
    data = codecs.Msgpack(Point).encode(Point(1, 2.0, ["a"]))
    assert codecs.Msgpack(Point3, name="point").decode(data) == Point3(1, 2.0, ["a"], 0)


def test_a_dataclass_may_lose_fields() -> None:
    assert codecs.Msgpack(Point).decode(codecs.Msgpack(Point3).encode(Point3(1, 2.0, ["a"], 3))) == Point(1, 2.0, ["a"])


HERE = Point.__module__
User = NewType("User", str)
Admin = NewType("Admin", User)
DAY = codecs.Tuple(int, str)
NAMES: list[tuple[codecs.Codec[Any], str]] = [
    (codecs.BYTES, "bytes"),
    (codecs.JSON, "json"),
    (codecs.MSGPACK, "msgpack"),
    (codecs.OBJECTS, "objects"),
    (codecs.PICKLE, "pickle"),
    (codecs.Json(Any), "json"),
    (codecs.Json(list[int]), "json:list[int]"),
    (codecs.Msgpack(dict[str, Any]), "msgpack:dict[str,Any]"),
    (codecs.Msgpack(tuple[int, ...]), "msgpack:tuple[int,...]"),
    (codecs.Msgpack(Point), f"msgpack:{HERE}.Point"),
    (codecs.Msgpack(Box[int]), f"msgpack:{HERE}.Box[int]"),
    (codecs.Msgpack(Point, name="point"), "msgpack:point"),
    (codecs.Json(Any, name="anything"), "json:anything"),
    (codecs.Msgpack(Point | None), f"msgpack:None|{HERE}.Point"),
    (codecs.Msgpack(Optional[int]), "msgpack:None|int"),  # noqa: UP045
    (codecs.Msgpack(Union[str, None, int]), "msgpack:None|int|str"),  # noqa: UP007
    (codecs.Msgpack(list[int | str]), "msgpack:list[int|str]"),
    (codecs.Msgpack(Literal["b", "a", 1]), "msgpack:Literal['a','b',1]"),
    (codecs.Msgpack(Annotated[int, msgspec.Meta(ge=0)]), "msgpack:int"),
    (codecs.Tuple(int, "str", None, codecs.Msgpack(Point, name="p")), "tuple(int,str,bytes,msgpack:p)"),
    (codecs.resolve(tuple[str, int]), "tuple(str,int)"),
    (codecs.resolve(tuple[str, tuple[dt.datetime, bool]]), "tuple(str,tuple(datetime,bool))"),
    (codecs.resolve(Colour), f"int:{HERE}.Colour"),
    (codecs.Enum(Colour, name="colour"), "int:colour"),
    (codecs.resolve(Movie), f"msgpack:{HERE}.Movie"),
    (codecs.resolve(Admin), "str"),
    (codecs.resolve(tuple[User, int]), "tuple(str,int)"),
    (codecs.Tuple(codecs.Tuple(int), Point), f"tuple(tuple(int),msgpack:{HERE}.Point)"),
]


@pytest.mark.parametrize(("codec", "name"), NAMES, ids=[name for _, name in NAMES])
def test_names(codec: codecs.Codec[Any], name: str) -> None:
    assert codec.name == name


def test_a_name_has_at_most_255_bytes() -> None:
    assert len(codecs.Msgpack(Point, name="\u20ac" * 82 + "a").name.encode()) == 255
    with pytest.raises(ValueError, match=r"1 to 255 bytes of UTF-8, and 'msgpack:.*' has 257"):
        codecs.Msgpack(Point, name="\u20ac" * 83)
    with pytest.raises(ValueError, match=r"'tuple.*' has 258"):
        codecs.Tuple(*[int] * 63)
    with pytest.raises(TypeError, match="has no name that a store could keep"):
        codecs.Msgpack(list["Point"])  # type: ignore[arg-type, unused-ignore]


class Mixed(enum.Enum):
    """Members whose values have no order."""

    A = 1
    B = "b"


@dataclass
class Own:
    """A codec of one's own."""

    name: Any = "own"

    def encode(self, value: int, /) -> bytes:
        return b"%d" % value

    def decode(self, data: bytes, /) -> int:
        return int(data)


@pytest.mark.parametrize(
    ("spec", "codec"),
    [(None, codecs.BYTES), (bytes, codecs.BYTES), (str, codecs.STR), (int, codecs.INT), (float, codecs.FLOAT),
     ("bytes", codecs.BYTES), ("str", codecs.STR), ("int", codecs.INT), ("float", codecs.FLOAT),
     (bool, codecs.BOOL), ("bool", codecs.BOOL), (dt.datetime, codecs.DATETIME), ("datetime", codecs.DATETIME),
     ("naive-datetime", codecs.NAIVE_DATETIME), (dt.date, codecs.DATE), ("date", codecs.DATE), (dt.time, codecs.TIME),
     ("time", codecs.TIME), (dt.timedelta, codecs.TIMEDELTA), ("timedelta", codecs.TIMEDELTA),
     (UUID, codecs.UUID), ("uuid", codecs.UUID), (Decimal, codecs.DECIMAL), ("decimal", codecs.DECIMAL),
     ("json", codecs.JSON), ("msgpack", codecs.MSGPACK), ("objects", codecs.OBJECTS), ("pickle", codecs.PICKLE),
     (DAY, DAY)],
    ids=lambda part: str(getattr(part, "name", part)),
)  # fmt: skip
def test_what_stands_for_a_codec(spec: Any, codec: codecs.Codec[Any]) -> None:
    assert codecs.resolve(spec) is codec


def test_types_and_objects_stand_for_codecs() -> None:
    point, place, own = codecs.resolve(Point), codecs.resolve(Place), Own()
    assert (type(point), point.name) == (codecs.Msgpack, f"msgpack:{HERE}.Point")
    assert (type(place), place.name) == (codecs.Msgpack, f"msgpack:{HERE}.Place")
    assert codecs.resolve(own) is own
    assert codecs.Tuple(own, own).decode(codecs.Tuple(own, own).encode((1, 2))) == (1, 2)


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [("marshal", ValueError, "no codec named 'marshal'; the names are bytes, str, int, float, bool, json"),
     (complex, TypeError, "the type complex has no codec of its own; give codecs.Msgpack"),
     (tuple[int, ...], TypeError, r"tuple\[int, ...\] does not say how many parts .*: tuple\[int, str\] stands for"),
     (tuple, TypeError, "tuple does not say how many parts"),
     (tuple[int, list[int]], TypeError, r"the type list\[int\] has no codec of its own; give codecs.Msgpack or"),
     (Pair, TypeError, r"named tuple .*Pair has no codec .*; codecs\.Tuple of its .*codecs\.Msgpack\(Pair"),
     (Mixed, TypeError, r"Mixed needs values that are all int, all str, all bytes or all float; give codecs\.Msgpack"),
     (list, TypeError, "has no codec of its own"),
     (list[int], TypeError, "has no codec of its own"),
     (Box[int], TypeError, "has no codec of its own"),
     (Point | None, TypeError, "has no codec of its own"),
     (type(codecs.INT), TypeError, "has no codec of its own"),
     (1, TypeError, "a codec is an object with a name"),
     (Point(1), TypeError, "a codec is an object with a name"),
     (Own(name=1), TypeError, "a codec is an object with a name"),
     (Own(name=""), ValueError, "1 to 255 bytes of UTF-8, and '' has 0"),
     (Own(name="a" * 256), ValueError, "has 256")],
    ids=lambda part: str(part)[:40],
)  # fmt: skip
def test_what_stands_for_no_codec(spec: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        codecs.resolve(spec)


@pytest.mark.parametrize(
    "use",
    [lambda: codecs.resolve(Point), lambda: codecs.resolve("json"), lambda: codecs.resolve("msgpack"),
     lambda: codecs.JSON.encode(1), lambda: codecs.MSGPACK.decode(b"1"), lambda: codecs.Json(int),
     lambda: codecs.Tuple(int, "json")],
)  # fmt: skip
def test_without_msgspec(monkeypatch: pytest.MonkeyPatch, use: Any) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)
    monkeypatch.setattr(codecs.JSON, "loaded", None)
    monkeypatch.setattr(codecs.MSGPACK, "loaded", None)
    with pytest.raises(ModuleNotFoundError, match=r'need msgspec: pip install "oxidbm\[codecs\]"') as caught:
        use()
    assert caught.value.name == "msgspec"
    assert codecs.resolve(int).decode(codecs.resolve("int").encode(1)) == 1


def test_importing_the_codecs_imports_nothing_else() -> None:
    heavy = ["pickle", "json", "msgspec", "dataclasses", "datetime", "base64", "shelve"]
    code = f"""
import sys, oxidbm.codecs
print([name for name in {heavy} if name in sys.modules])
oxidbm.codecs.OBJECTS.encode([1])
print([name for name in {heavy} if name in sys.modules])
"""
    answer = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert answer.stdout.splitlines() == ["[]", "['json', 'base64']"]


@pytest.mark.parametrize("kind", ["log", "store"])
def test_a_class_of_a_script_is_told_apart(tmp_path: Path, kind: str) -> None:
    """It is __main__'s there, and another module's elsewhere; the error says the name with which it opens."""
    script = f"""
from dataclasses import dataclass
import oxidbm
@dataclass
class Event:
    n: int
if __name__ == "__main__":
    if {kind!r} == "log":
        with oxidbm.Log({str(tmp_path / "kept")!r}, codec=Event) as log:
            log.append(Event(1))
    else:
        with oxidbm.Store({str(tmp_path / "kept")!r}, key=str, value=Event) as store:
            store["a"] = Event(1)
"""
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    scope: dict[str, Any] = {"__name__": "events"}
    exec(script, scope)
    event = scope["Event"]

    def opened(codec: Any) -> Any:
        path = tmp_path / "kept"
        return oxidbm.Log(path, codec=codec) if kind == "log" else oxidbm.Store(path, key=str, value=codec)

    with pytest.raises(oxidbm.CodecError, match=r"codecs\.Msgpack\(CLASS, name='__main__\.Event'\)"):
        opened(event)
    with opened(codecs.Msgpack(event, name="__main__.Event")) as kept:
        assert list(kept.scan() if kind == "log" else kept.values())[-1] in (event(1), (64, event(1)))
