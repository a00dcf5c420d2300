"""Store.memoize: results found again, codecs, methods, arguments that make no sense, and types."""

import importlib.util
import inspect
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import oxidbm
from oxidbm import codecs
from tests.support import ROOT

needs_mypy = pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Reversed:
    """A codec of texts, written backwards."""

    name = "reversed"

    def encode(self, value: str, /) -> bytes:
        return value[::-1].encode()

    def decode(self, data: bytes, /) -> str:
        return data.decode()[::-1]


@pytest.fixture
def store() -> Iterator[oxidbm.Store]:
    with oxidbm.Store(memory="4MiB") as store:
        yield store


def test_a_result_is_found_again_after_reopening(tmp_path: Path) -> None:
    calls = []
    for _ in range(2):
        with oxidbm.Store(tmp_path / "store") as store:

            @store.memoize(name="area")
            def area(width: int, height: int) -> dict[str, Any]:
                calls.append((width, height))
                return {"size": (width, height), "area": width * height}

            assert area(2, 3) == {"size": (2, 3), "area": 6}
            assert area(2, 3) == {"size": (2, 3), "area": 6}
    assert calls == [(2, 3)]


def test_a_result_expires_by_the_stores_clock() -> None:
    clock = Clock()
    calls = []
    with oxidbm.Store(memory="4MiB", clock=clock) as store:

        @store.memoize(expire=60)
        def now() -> float:
            calls.append(clock.now)
            return clock.now

        assert now() == now() == 1_000_000.0
        assert store.ttl(now.cache_key()) == pytest.approx(60)
        clock.now += 61
        assert now() == 1_000_061.0
    assert calls == [1_000_000.0, 1_000_061.0]


def test_none_is_a_result(store: oxidbm.Store) -> None:
    calls = []

    @store.memoize()
    def nothing(x: int) -> None:
        calls.append(x)

    for _ in range(3):
        nothing(1)
    assert calls == [1]


def test_an_exception_is_not_stored(store: oxidbm.Store) -> None:
    calls = []

    @store.memoize()
    def fail_first(x: int) -> int:
        calls.append(x)
        if len(calls) == 1:
            raise OSError("not yet")
        return x

    with pytest.raises(OSError, match="not yet"):
        fail_first(1)
    assert len(store) == 0
    assert [fail_first(1), fail_first(1)] == [1, 1]
    assert calls == [1, 1]


def test_a_result_that_the_codec_does_not_take_is_an_error(store: oxidbm.Store) -> None:
    @store.memoize()
    def make() -> object:
        return object()

    with pytest.raises(TypeError):
        make()
    assert len(store) == 0


def test_what_does_not_decode_is_computed_again(store: oxidbm.Store) -> None:
    @store.memoize()
    def double(x: int) -> int:
        return 2 * x

    store[double.cache_key(4)] = b"\xff not of this codec"
    assert double(4) == 8
    assert codecs.OBJECTS.decode(store[double.cache_key(4)]) == 8


def test_what_does_not_decode_in_a_typed_store_is_computed_again(tmp_path: Path) -> None:
    class Strict:
        name = "strict"

        def encode(self, value: int, /) -> bytes:
            return struct.pack("<q", value)

        def decode(self, data: bytes, /) -> int:
            if broken:
                raise codecs.DecodeError("no eight bytes")
            return int(struct.unpack("<q", data)[0])

    broken = False
    calls = []
    with oxidbm.Store(tmp_path / "store", value=Strict()) as store:

        @store.memoize()
        def double(x: int) -> int:
            calls.append(x)
            return 2 * x

        assert [double(4), double(4)] == [8, 8]
        broken = True
        assert double(4) == 8
        broken = False
        assert double(4) == 8
    assert calls == [4, 4]


class Shop:
    """Prices with a discount."""

    def __init__(self, name: str, store: oxidbm.Store) -> None:
        self.name = name
        self.store = store
        self.calls: list[str] = []


def test_a_method_needs_a_key(store: oxidbm.Store) -> None:
    class Prices(Shop):
        @store.memoize()
        def price(self, article: str) -> int:
            return len(article)

        @store.memoize(key=lambda self, article: f"{self.name}/{article}")
        def keyed(self, article: str) -> str:
            self.calls.append(article)
            return f"{article} at {self.name}"

        @classmethod
        @store.memoize(key=lambda cls, x: f"{cls.__name__}/{x}")
        def made(cls, x: int) -> str:
            return f"{cls.__name__} {x}"

        @staticmethod
        @store.memoize()
        def plain(x: int) -> int:
            return x + 1

    one, two = Prices("one", store), Prices("two", store)
    with pytest.raises(TypeError, match=r"'self' of .*price, a .*Prices, cannot be part of a key; pass key="):
        one.price("apple")
    assert [one.keyed("apple"), one.keyed(article="apple"), two.keyed("apple")] == [
        "apple at one",
        "apple at one",
        "apple at two",
    ]
    assert (one.calls, two.calls) == (["apple"], ["apple"])
    assert store[b"one/apple"]
    assert Prices.keyed.forget(one, "apple")
    bound: Any = Prices  # type checkers bind no callable object under classmethod and staticmethod
    assert bound.made(1) == "Prices 1"
    assert store[b"Prices/1"]
    assert (cast(Any, one).plain(1), bound.plain(1)) == (2, 2)


def test_key_replaces_the_whole_key(store: oxidbm.Store) -> None:
    calls = []

    @store.memoize(key=lambda word, **_: word.lower())
    def count(word: str, verbose: bool = False) -> int:
        calls.append(word)
        return len(word)

    assert [count("Word"), count("word", verbose=True), count(word="WORD")] == [4, 4, 4]
    assert calls == ["Word"]
    assert count.cache_key("Word") == "word"
    assert list(store) == [b"word"]


def test_forget_removes_one_entry(store: oxidbm.Store) -> None:
    calls = []

    @store.memoize()
    def double(x: int) -> int:
        calls.append(x)
        return 2 * x

    double(1)
    double(2)
    assert double.forget(x=1) is True
    assert double.forget(1) is False
    assert [double(1), double(2)] == [2, 4]
    assert calls == [1, 2, 1]


def test_the_wrapper_looks_like_the_function(store: oxidbm.Store) -> None:
    def triple(x: int) -> int:
        """Return three times x."""
        return 3 * x

    async def later(x: int) -> int:
        return x

    wrapper = store.memoize()(triple)
    assert wrapper.__wrapped__ is triple
    assert (cast(Any, wrapper).__name__, wrapper.__doc__) == ("triple", triple.__doc__)
    assert inspect.signature(wrapper) == inspect.signature(triple)
    assert not inspect.iscoroutinefunction(wrapper)
    assert inspect.iscoroutinefunction(store.memoize()(later))


def test_a_codec_for_the_results(store: oxidbm.Store) -> None:
    calls = []

    @store.memoize(name="shout", codec=Reversed())
    def shout(word: str) -> str:
        calls.append(word)
        return word.upper()

    assert [shout("word"), shout("word")] == ["WORD", "WORD"]
    assert calls == ["word"]
    assert store[shout.cache_key("word")] == b"DROW"


def test_a_codec_by_name(store: oxidbm.Store) -> None:
    @store.memoize(codec="bytes")
    def data(x: int) -> bytes:
        return bytes(x)

    assert [data(3), data(3)] == [b"\0\0\0"] * 2
    assert store[data.cache_key(3)] == b"\0\0\0"


def test_results_go_through_the_codec_of_a_typed_store(tmp_path: Path) -> None:
    calls = []
    for _ in range(2):
        with oxidbm.Store(tmp_path / "store", key=str, value=codecs.OBJECTS) as store:

            @store.memoize(name="split")
            def split(text: str) -> list[str] | None:
                calls.append(text)
                return text.split() or None

            assert [split("a b"), split("a b")] == [["a", "b"]] * 2
            assert [split(""), split("")] == [None, None]
            assert store['split\0["a b"]'] == ["a", "b"]
            assert split.cache_key("a b") == 'split\0["a b"]'
    assert calls == ["a b", ""]


def test_keys_of_a_store_of_ints() -> None:
    with oxidbm.Store(memory="4MiB", key=int, value=str) as store:
        with pytest.raises(ValueError, match=r"default keys are bytes or str, .* have the codec 'int'; pass key="):
            store.memoize()

        @store.memoize(key=lambda x: x)
        def text(x: int) -> str:
            return f"number {x}"

        assert [text(5), text(5)] == ["number 5"] * 2
        assert dict(store.items()) == {5: "number 5"}


def test_parentheses_are_needed(store: oxidbm.Store) -> None:
    def f() -> None: ...

    with pytest.raises(TypeError, match=r"parentheses: @store.memoize\(\)"):
        store.memoize(f)  # type: ignore[arg-type]


@pytest.mark.parametrize("expire", [0, -1, float("nan"), float("inf"), "60"])
def test_an_expiry_that_is_none(store: oxidbm.Store, expire: Any) -> None:
    with pytest.raises(ValueError, match="expire is a number of seconds greater than 0"):
        store.memoize(expire=expire)


def test_what_cannot_be_memoized(store: oxidbm.Store) -> None:
    def generate() -> Iterator[int]:
        yield 1

    async def generate_later() -> Any:
        yield 1

    decorator = store.memoize()
    for function in (generate, generate_later):
        with pytest.raises(TypeError, match="return a list"):
            decorator(function)
    with pytest.raises(TypeError, match="not classmethod; @classmethod and @property go above it"):
        decorator(classmethod(lambda cls: 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no name to tell its results by; pass name="):
        decorator(lambda: 1)
    with pytest.raises(TypeError, match="does not tell its parameters; pass key="):
        store.memoize(name="type")(type)


def test_arguments_that_contradict_each_other(store: oxidbm.Store) -> None:
    with pytest.raises(ValueError, match="leave one out"):
        store.memoize(key=str, name="f")
    with (
        oxidbm.Store(memory="4MiB", value=codecs.OBJECTS) as typed,
        pytest.raises(ValueError, match="this store's own codec, 'objects'"),
    ):
        typed.memoize(codec=Reversed())


def test_a_closed_store_says_so() -> None:
    with oxidbm.Store(memory="4MiB") as store:

        @store.memoize()
        def f() -> int:
            return 1

    with pytest.raises(oxidbm.ClosedError):
        f()


TYPED = """
from typing import assert_type
import oxidbm

def use(store: oxidbm.Store[bytes, bytes]) -> None:
    @store.memoize()
    def area(width: int, height: int = 1, *, unit: str = "m") -> float:
        return width * height

    @store.memoize(expire=60, name="later")
    async def later(x: int) -> list[int]:
        return [x]

    @store.memoize(30.5, lambda x: b"key", codec="pickle")
    def keyed(x: object) -> None: ...

    class Prices:
        @store.memoize(key=lambda self, article: article)
        def price(self, article: str) -> int:
            return 1

    assert_type(area(1, unit="m"), float)
    assert_type(area.__wrapped__(1, 2), float)
    assert_type(area.forget(1, height=2), bool)
    area.cache_key(width=1)
    keyed(object())
    assert_type(Prices().price("a"), int)
    assert_type(Prices().price(article="a"), int)
    assert_type(Prices.price(Prices(), "a"), int)
    assert_type(Prices.price.forget(Prices(), "a"), bool)

async def use_later(store: oxidbm.Store[bytes, bytes]) -> None:
    @store.memoize()
    async def later(x: int) -> list[int]:
        return [x]

    assert_type(await later(1), list[int])
    assert_type(later.forget(1), bool)

def misuse(store: oxidbm.Store[bytes, bytes]) -> None:
    @store.memoize()
    def area(width: int, height: int = 1) -> float:
        return width * height

    area("1")  # type: ignore[arg-type]
    area()  # type: ignore[call-arg]
    area.forget(1, 2, 3)  # type: ignore[call-arg]
    area.cache_key(depth=1)  # type: ignore[call-arg]
    store.memoize("60")  # type: ignore[arg-type]

    class Prices:
        @store.memoize(key=lambda self, article: article)
        def price(self, article: str) -> int:
            return 1

    Prices().price(1)  # type: ignore[arg-type]
"""


@pytest.mark.slow
@needs_mypy
@pytest.mark.compiled_only("type checkers read the same in both modes")
def test_type_checkers_see_the_function(tmp_path: Path) -> None:
    source = tmp_path / "typed.py"
    source.write_text(TYPED, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(source)],
        cwd=ROOT,
        env={**os.environ, "OXIDBM_PURE": "1", "MYPY_CACHE_DIR": str(tmp_path / "cache"), "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
