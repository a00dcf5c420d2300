"""Typed stores: each codec through every way to read and write, mismatches, wrong types, and the compiled coders."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import GenericAlias
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import oxidbm
from oxidbm import Store, codecs
from oxidbm._core.coder import coder_for
from tests.facade.models import Colour, Point, Word
from tests.support import Manual, leave_memory

SMALL: Manual = {"memory": "1MiB", "page_size": 4096, "durability": "manual"}


class Reverse:
    """A codec of a user's own: text backwards."""

    name = "reverse"

    def encode(self, value: str, /) -> bytes:
        """Return the bytes."""
        if not isinstance(value, str):
            raise TypeError(f"reverse takes str, not {type(value).__name__}")
        return value[::-1].encode()

    def decode(self, data: bytes, /) -> str:
        """Return the text."""
        return data.decode()[::-1]


# name: (spec, three values, one of a type that is refused)
KINDS: dict[str, tuple[Any, list[Any], Any]] = {
    "none": (None, [b"one", b"two", b""], 1),
    "bytes": (bytes, [b"one", b"two", b""], 1),
    "str": (str, ["one", "zw\u00f6lf\U0001f600", ""], b"bytes"),
    "int": (int, [0, -(2**70), 12345], "1"),
    "int by name": ("int", [1, 2, 3], True),
    "float": (float, [0.5, -math.inf, 1e300], "1.5"),
    "tuple": (codecs.Tuple(int, str), [(1, "a"), (1, "a\0b"), (-1, "")], [1, "a"]),
    "json": ("json", [{"a": [1, None]}, "text", 5], {1, 2}.__iter__()),
    "msgpack": (codecs.MSGPACK, [{"a": [1, None]}, b"bytes", 5], object()),
    "dataclass": (Point, [Point(1), Point(2, 0.5, ["x"]), Point(-3)], "no point"),
    "objects": ("objects", [{1: (2, 3)}, {4}, 1.25], object()),
    "pickle": ("pickle", [(1, 2), None, {3: "x"}], (lambda: None)),
    "own": (Reverse(), ["one", "two", ""], 1),
}
KEYS = [name for name in KINDS if name not in ("json", "msgpack", "objects", "pickle")]


@pytest.fixture(params=[False, True], ids=["memory", "disk"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where the store is."""
    return tmp_path / "s" if request.param else None


def plain(value: Any) -> Any:
    """Return what can stand in a dict as a key for comparing."""
    return repr(value)


@pytest.mark.parametrize("name", KINDS)
def test_values_of_every_codec(name: str, place: Path | None) -> None:
    spec, (a, b, c), wrong = KINDS[name]
    with Store(place, key=str, value=spec, **SMALL) as store:
        store["a"] = a
        assert store["a"] == store.get("a") == a
        assert type(store["a"]) is type(a)
        assert store.get("x") is None
        assert store.get("x", 7) == 7
        assert store.setdefault("a", b) == a
        assert store.setdefault("b", b) == b
        store.update({"c": c})
        store.set("a", b)
        assert store.get_many(["a", "x", "c"]) == [b, None, c]
        assert not store.add("a", c)
        assert store.add("d", c)
        assert sorted(store.keys()) == ["a", "b", "c", "d"]
        assert dict(store.items()) == {"a": b, "b": b, "c": c, "d": c}
        assert list(store.values()) == [value for _, value in store.items()]
        assert b in store.values()
        assert ("a", b) in store.items()
        assert store == {"a": b, "b": b, "c": c, "d": c}
        with store.batch() as batch:
            batch["a"] = c
            batch.set("e", a)
            with pytest.raises((TypeError, ValueError)):
                batch["b"] = wrong
        with store.session() as session:
            assert session.read("a") == c
            session.upsert("f", b)
            assert session.rmw("f", lambda old: a if old == b else c) == a
            assert session.rmw("g", lambda old: old, c) == c
            assert session.rmw("missing", lambda old: old) is None
        for write in (store.__setitem__, store.setdefault, store.add, store.set, lambda k, v: store.set_many({k: v})):
            with pytest.raises((TypeError, ValueError)):
                write("new" if write in (store.setdefault, store.add) else "a", wrong)
        assert store["a"] == c
        assert "new" not in store
        assert store.pop("a") == c
        assert store.pop("a", 9) == 9
        expected = dict(store.items())
        assert expected == {"b": b, "c": c, "d": c, "e": a, "f": a, "g": c}
        assert store.check() == []
    if place is not None:
        with Store(place, key="str", value=spec, read_only=True, memory="1MiB") as reader:
            assert dict(reader.items()) == expected
            assert reader.get_many(["b"]) == [b]
        with Store(place, key=str, value=spec, **SMALL) as store:
            found = {}
            while store:
                key, value = store.popitem()
                found[key] = value
            assert found == expected


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_every_codec(name: str, place: Path | None) -> None:
    spec, (a, b, c), wrong = KINDS[name]
    with Store(place, key=spec, value="int", ordered=True, **SMALL) as store:
        store[a] = 1
        store.update([(b, 2)])
        store.set_many([(c, 3)])
        assert [store[key] for key in (a, b, c)] == store.get_many([a, b, c]) == [1, 2, 3]
        assert sorted(map(plain, store)) == sorted(map(plain, (a, b, c)))
        assert all(type(key) is type(a) for key in store.keys())  # noqa: SIM118 - the view is meant
        assert a in store
        assert store.incr(a) == 2
        assert store.ttl(a) is None
        assert store.touch(b, 100)
        order = [key for key, _ in store.range()]
        assert sorted(map(plain, order)) == sorted(map(plain, (a, b, c)))
        assert (store.first_key(), store.last_key()) == (order[0], order[2])
        assert (store.next_key(order[0]), store.previous_key(order[2])) == (order[1], order[1])
        assert [key for key, _ in store.range(order[1], reverse=True)] == [order[2], order[1]]
        if name != "dataclass" and name != "own":
            assert order == sorted((a, b, c))
        calls: list[Callable[[], object]] = [
            lambda: store[wrong], lambda: store.__setitem__(wrong, 1), lambda: store.__delitem__(wrong),
            lambda: store.delete(wrong), lambda: store.pop(wrong, 1), lambda: store.ttl(wrong),
            lambda: store.get_many([wrong]), lambda: store.delete_many([wrong]), lambda: store.range(wrong),
            lambda: store.next_key(wrong), lambda: store.incr(wrong), lambda: store.session().read(wrong),
            lambda: store.batch().delete(wrong),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(TypeError, match=type(wrong).__name__):
                call()
        del store[a]
        with pytest.raises(KeyError) as caught:
            del store[a]
        assert caught.value.args == (a,)
        assert store.delete_many([b, b]) == 1
        assert store.popitem() == (c, 3)
        assert store.first_key() is None
        assert store.check() == []


@pytest.mark.parametrize("made", ["str", "int", "pickle", "own"])
def test_another_codec_on_reopening(made: str, tmp_path: Path) -> None:
    """CodecError names both, and the store is as it was."""
    spec, values, _ = KINDS[made]
    with Store(tmp_path / "s", key=str, value=spec, **SMALL) as store:
        store["a"] = values[0]
        assert (store.key_codec, store.value_codec) == ("str", codecs.resolve(spec).name)
    before = {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()}
    others: list[Any] = [None, float, "json", Point]
    for other in others:
        for read_only in (False, True):
            name = codecs.resolve(other).name
            with pytest.raises(oxidbm.CodecError, match=codecs.resolve(spec).name) as caught:
                Store(tmp_path / "s", key=str, value=other, memory="1MiB", read_only=read_only)
            assert ("bytes as they are" if other is None else repr(name)) in str(caught.value)
            assert isinstance(caught.value, oxidbm.FormatError)
    with pytest.raises(oxidbm.CodecError, match="keeps keys of the codec 'str'"):
        Store(tmp_path / "s", value=spec, **SMALL)
    assert {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()} == before
    with Store(tmp_path / "s", key=str, value=spec, **SMALL) as store:
        assert dict(store.items()) == {"a": values[0]}


def test_raw_opening_sees_bytes(tmp_path: Path) -> None:
    with Store(tmp_path / "s", key=int, value=str, **SMALL) as store:
        store[1] = "one"
    with Store(tmp_path / "s", key=codecs.RAW, value=codecs.RAW, **SMALL) as raw:
        assert dict(raw.items()) == {b"\x81\x01": b"one"}
        assert (raw.key_codec, raw.value_codec) == ("int", "str")
        raw[b"\x81\x02"] = b"\xff"
        raw[b"\x81\x00"] = b"no key that the codec writes"
    with Store(tmp_path / "s", key=int, value=str, **SMALL) as store:
        assert store[1] == "one"
        with pytest.raises(codecs.DecodeError, match="codec 'str'"):
            store[2]
        with pytest.raises(codecs.DecodeError, match="codec 'int'"):
            list(store)
    with Store(tmp_path / "new", key=codecs.RAW, **SMALL) as store:
        assert store.key_codec == "bytes"


class Faulty:
    """A codec that does what it is told instead of its work."""

    name = "faulty"

    def __init__(self) -> None:
        self.result: Any = b"sound"

    def encode(self, value: object, /) -> Any:
        """Return, or raise, what was set."""
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    decode = encode


@pytest.mark.parametrize("result", ["text", None, 5, bytearray(b"x"), RuntimeError("codec")])
@pytest.mark.parametrize("what", ["key", "value"])
def test_faulty_codec(what: str, result: Any) -> None:
    codec = Faulty()
    options: dict[str, Any] = {what: codec}
    with Store(**options, ordered=True) as store:
        store["k"] = "v"
        codec.result = result
        error = RuntimeError if isinstance(result, Exception) else TypeError
        calls: list[Callable[[], object]] = [
            lambda: store.__setitem__("k", "v"), lambda: store.set("n", "v"), lambda: store.add("n", "v"),
            lambda: store.set_many({"n": "v"}), lambda: store.batch().set("n", "v"), lambda: store.setdefault("n", "v"),
            lambda: store.session().upsert("n", "v"),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(error, match="codec"):
                call()
        codec.result = b"sound"
        assert len(store) == 1
        codec.result = RuntimeError("codec")
        for call in (lambda: list(store.items()), lambda: list(store.range())):
            with pytest.raises(RuntimeError):
                call()
        codec.result = b"sound"
        assert len(list(store.items())) == 1


INT = coder_for("keys", int)
EDGES = sorted(
    {
        sign * (2**bits + off)
        for bits in (0, 1, 7, 8, 15, 16, 24, 32, 40, 48, 55, 56, 57, 62, 63, 64, 65, 120, 512, 952, 959)
        for off in (-2, -1, 0, 1, 2)
        for sign in (1, -1)
    }
)


@given(st.one_of(st.integers(-(2**960), 2**960 - 1), st.integers(-(2**64), 2**64), st.sampled_from(EDGES)))
@example(2**960 - 1)
@example(-(2**960))
def test_compiled_int_writes_the_codecs_bytes(number: int) -> None:
    data = INT.encode(number)
    assert data == codecs.INT.encode(number)
    assert INT.decode(data) == number


def test_compiled_int_at_every_edge() -> None:
    encoded = [INT.encode(number) for number in EDGES]
    assert encoded == [codecs.INT.encode(number) for number in EDGES]
    assert encoded == sorted(encoded)
    assert [INT.decode(data) for data in encoded] == EDGES


@pytest.mark.parametrize("number", [2**960, -(2**960) - 1, 2**2000, -(2**2000)])
def test_int_out_of_range(number: int) -> None:
    with Store(key=int, value=int) as store:
        store[1] = 1
        calls: list[Callable[[], object]] = [
            lambda: store.__setitem__(1, number), lambda: store[number], lambda: store.add(number, 1),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(OverflowError, match="at most 120"):
                call()
        assert dict(store.items()) == {1: 1}


def outcome(decode: Callable[[bytes], object], data: bytes) -> object:
    """Return what a decoder makes of bytes, or that it refuses them."""
    try:
        return decode(data)
    except codecs.DecodeError:
        return "refused"


@given(
    st.one_of(
        st.binary(max_size=12),
        st.builds(lambda first, rest: bytes([first]) + rest, st.integers(0x70, 0x90), st.binary(max_size=10)),
    )
)
@example(b"")
@example(b"\x80\0")
@example(b"\x81\0")
@example(b"\x7e\xff")
@example(b"\x82\0\1")
@example(b"\xff" + bytes(127))
def test_compiled_int_refuses_what_the_codec_refuses(data: bytes) -> None:
    assert outcome(INT.decode, data) == outcome(codecs.INT.decode, data)


@given(st.binary(max_size=6) | st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_compiled_str_refuses_what_the_codec_refuses(data: bytes) -> None:
    assert outcome(coder_for("keys", str).decode, data) == outcome(codecs.STR.decode, data)


def test_subclasses_come_back_as_their_base() -> None:
    with Store(key=str, value=int) as store:
        store[Word("w")] = Colour.RED
        assert [(type(key), type(value)) for key, value in store.items()] == [(str, int)]
        assert store[Word("w")] == 1


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_lone_surrogates(text: str) -> None:
    with Store(key=str, value=str) as store:
        store["k"] = "old"
        for call in (lambda: store.__setitem__("k", text), lambda: store[text], lambda: store.add(text, "v")):
            with pytest.raises(UnicodeEncodeError):
                call()
        assert dict(store.items()) == {"k": "old"}


def test_types_at_run_time() -> None:
    """Annotations cost nothing and say nothing: the codec is what key= and value= give."""
    alias = Store[int, str]
    assert isinstance(alias, GenericAlias)
    assert alias.__origin__ is Store
    assert alias.__args__ == (int, str)
    store: Store[int, str] = alias(key=int, value=str)
    store[1] = "one"
    assert store[1] == "one"
    assert (store.key_codec, store.value_codec) == ("int", "str")


@pytest.mark.parametrize("spec", ["nonsense", list, 5, object()])
def test_no_codec(spec: Any, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match="codec"):
        Store(tmp_path / "s", value=spec)
    assert not (tmp_path / "s").exists()


def test_values_on_disk_and_larger_than_a_page(tmp_path: Path) -> None:
    with Store(tmp_path / "s", key=int, value="pickle", **SMALL) as store:
        leave_memory(store, 10 * 4096)
        expected: dict[int, Any] = {i: list(range(i * 13 % 700)) for i in range(-150, 150)}
        store.update(expected)
        assert {key: store[key] for key in expected} == expected
        assert dict(store.items()) == expected
        store.set_many({key: [key] for key in expected})
        assert len(store) == 300
        assert dict(store.items()) == {key: [key] for key in expected}


def test_codec_that_uses_the_store() -> None:
    class Counting:
        name = "counting"

        def encode(self, value: str, /) -> bytes:
            other.incr("encoded")
            if inner:
                store.get(inner.pop())
            return value.encode()

        def decode(self, data: bytes, /) -> str:
            other.incr("decoded")
            return data.decode()

    inner: list[str] = []
    other = Store()
    store: Store[Any, Any] = Store(key=Counting(), value=Counting(), ordered=True)
    store.update({str(i): "v" * 100 for i in range(200)})
    inner += ["1", "2"]
    store["3"] = "new"
    assert store["3"] == "new"
    assert len(dict(store.items())) == len(list(store.range())) == 200
    assert int(other["encoded"]) >= 404


def test_iterator_survives_a_value_that_does_not_decode() -> None:
    """The next step goes on behind it."""
    with Store(value=codecs.RAW) as store:
        store.update({"a": "1", "b": "\xff", "c": "3"})

    class Strict:
        name = "strict"

        def encode(self, value: bytes, /) -> bytes:
            return value

        def decode(self, data: bytes, /) -> int:
            return int(data)

    strict: Any = Strict()  # what it gives is not of the type that it takes
    with Store(value=strict) as store:
        store.update({"a": b"1", "b": b"x", "c": b"3"})
        iterator: Iterator[Any] = iter(store.values())
        assert next(iterator) == 1
        with pytest.raises(ValueError, match="invalid literal"):
            next(iterator)
        assert list(iterator) == [3]
        assert store.stats()["readers"] == 0


def store_with_damage(path: Path) -> None:
    """Make a store of str and int that has a value, and a key, which its codecs did not write."""
    with Store(path, key=codecs.RAW, value=codecs.RAW) as raw:
        raw["bad"] = b"zz"
        raw[b"\xff"] = codecs.INT.encode(5)


def test_what_no_codec_wrote_is_named_by_key_and_place(tmp_path: Path) -> None:
    with Store(tmp_path / "s", key=str, value=int) as store:
        store["a"] = 1
    store_with_damage(tmp_path / "s")
    with Store(tmp_path / "s", key=str, value=int, ordered=True) as store:
        store["z"] = 2
        iterator = iter(store.items())
        assert next(iterator) == ("a", 1)
        with pytest.raises(
            codecs.DecodeError, match=r"the value of the key b'bad' \(.*\.seg at offset \d+\) cannot be"
        ):
            next(iterator)
        with pytest.raises(codecs.DecodeError, match=r"the key b'\\xff' \(.*\.seg at offset \d+\) cannot be decoded"):
            next(iterator)
        assert list(iterator) == [("z", 2)]
        for read in (store.__getitem__, store.get, store.pop, lambda key: store.get_many([key])):
            with pytest.raises(codecs.DecodeError, match="the value of the key b'bad' cannot be decoded"):
                read("bad")
        with pytest.raises(codecs.DecodeError, match="the value of the key b'bad' cannot be decoded"):
            list(store.range("b"))
        assert "bad" in store
        assert len(store) == 4


def test_iteration_goes_on_where_that_is_asked_for(tmp_path: Path) -> None:
    with Store(tmp_path / "s", key=str, value=int) as store:
        store["a"] = 1
    store_with_damage(tmp_path / "s")
    with Store(tmp_path / "s", key=str, value=int) as store:
        assert list(store.items(on_error="skip")) == [("a", 1)]
        assert list(store.keys(on_error="skip")) == ["a", "bad"]
        assert list(store.values(on_error="skip")) == [1, 5]
        assert list(store.items(on_error="bytes")) == [("a", 1), ("bad", b"zz"), (b"\xff", 5)]
        assert list(store.keys(on_error="bytes")) == ["a", "bad", b"\xff"]
        assert list(store.values(on_error="bytes")) == [1, b"zz", 5]
        word: Any = "ignore"
        for view in (store.keys, store.values, store.items):
            with pytest.raises(ValueError, match="on_error is"):
                view(on_error=word)


def test_a_long_key_is_shortened_in_an_error(tmp_path: Path) -> None:
    with Store(tmp_path / "t", value=int):
        pass
    with Store(tmp_path / "t", value=codecs.RAW) as raw:
        raw[b"k" * 1000] = b"zz"
    shown = r"^the value of the key b'k{80}'\.\.\. \(1000 bytes\) cannot"
    with Store(tmp_path / "t", value=int) as store, pytest.raises(codecs.DecodeError, match=shown):
        store["k" * 1000]
