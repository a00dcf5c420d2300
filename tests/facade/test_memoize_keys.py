"""Store.memoize's default keys: stable over processes, the same for the same arguments, different for all others."""

import decimal
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import oxidbm
from tests.support import ROOT


@pytest.fixture
def store() -> Iterator[oxidbm.Store]:
    with oxidbm.Store(memory="4MiB") as store:
        yield store


def test_another_process_finds_it_whatever_its_hash_seed(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys, oxidbm
        with oxidbm.Store(sys.argv[1]) as store:
            @store.memoize(name="f")
            def f(words, table):
                print("ran")
                return len(words)
            print(f({"a", "b", "c", "d", "e", "f"}, {frozenset("xyz"): {"k": 1, "l": 2}}))
    """)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    output = ""
    for seed in ("1", "2", "3"):
        result = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "store")],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        output += result.stdout
    assert output.split() == ["ran", "6", "6", "6"]


def test_every_way_to_pass_the_same_arguments_shares_an_entry(store: oxidbm.Store) -> None:
    @store.memoize(name="f")
    def f(x: int, y: int = 2, *, z: int = 3, **more: int) -> int:
        return x + y + z + sum(more.values())

    keys = {f.cache_key(1), f.cache_key(x=1), f.cache_key(1, 2), f.cache_key(1, z=3), f.cache_key(y=2, z=3, x=1)}
    assert len(keys) == 1
    assert f.cache_key(1, a=1, b=2) == f.cache_key(1, b=2, a=1)
    assert f.cache_key(1, a=1, b=2) != f.cache_key(1, a=2, b=1)
    assert f(1) == f(x=1, z=3) == 6
    assert len(store) == 1
    with pytest.raises(TypeError, match="x"):
        f.cache_key()  # type: ignore[call-arg]


EQUAL_OR_ALIKE = [
    [1, 1.0, True, decimal.Decimal(1), "1", b"1", 1 + 0j],
    [0, 0.0, -0.0, False, None, "", b"", bytearray()],
    [(), [], set(), frozenset(), {}],
    [(1, 2), [1, 2], {1, 2}, frozenset({1, 2}), {1: 2}, ((1, 2),), ["tuple", 1, 2], ("tuple", 1, 2)],
    [{"a": 1}, {"a": True}, {b"a": 1}, {("a",): 1}, {"$tuple": [1]}, {"a": (1,)}, {"a": [1]}],
    [["=", "x", 1], ("=", "x", 1), ["dict"], ["$set", [1]]],
]


@pytest.mark.parametrize("values", EQUAL_OR_ALIKE)
def test_arguments_of_different_types_have_keys_of_their_own(store: oxidbm.Store, values: list[object]) -> None:
    @store.memoize()
    def f(x: object, *rest: object, **more: object) -> str:
        return repr(x)

    assert len({f.cache_key(value) for value in values}) == len(values)
    assert len({f.cache_key(0, value) for value in values}) == len(values)
    assert len({f.cache_key(0, y=value) for value in values}) == len(values)
    assert [f(value) for value in values] == [f(value) for value in values] == [repr(value) for value in values]


def test_keyword_and_positional_arguments_are_told_apart(store: oxidbm.Store) -> None:
    @store.memoize()
    def f(*rest: object, **more: object) -> None: ...

    keys = [f.cache_key("x", 1), f.cache_key(x=1), f.cache_key(["=", "x", 1]), f.cache_key(("=", "x", 1))]
    assert len(set(keys)) == len(keys)


def test_the_order_of_a_dict_makes_no_difference(store: oxidbm.Store) -> None:
    @store.memoize()
    def f(x: object) -> None: ...

    assert f.cache_key({"a": 1, "b": [{2: 3, 1: 2}]}) == f.cache_key({"b": [{1: 2, 2: 3}], "a": 1})


def test_a_key_begins_with_the_name_and_is_readable(store: oxidbm.Store) -> None:
    def f(x: int, y: str = "a") -> None: ...

    assert store.memoize(name="größe")(f).cache_key(1) == "größe\0".encode() + b'[1,"a"]'
    default = f"{__name__}.{f.__qualname__}".encode()
    assert store.memoize()(f).cache_key(1) == default + b'\0[1,"a"]'


def test_a_long_key_becomes_a_hash(store: oxidbm.Store) -> None:
    calls = []

    @store.memoize(name="count")
    def count(text: str) -> int:
        calls.append(len(text))
        return len(text)

    texts = ["x" * 100_000, "x" * 100_001, "x" * 500]
    for text in texts * 2:
        assert count(text) == len(text)
    assert calls == [100_000, 100_001, 500]
    assert [len(count.cache_key(text)) for text in texts] == [71, 71, 510]
    assert count.cache_key(texts[0]).startswith(b"count\0#")


def test_an_argument_that_cannot_be_encoded_asks_for_a_key(store: oxidbm.Store) -> None:
    @store.memoize()
    def size(number: int, *paths: Path) -> int:
        return len(paths)

    with pytest.raises(TypeError, match=r"'paths\[1\]' of .*size, a pathlib.*Path, cannot be part of a key; pass key="):
        size(1, "a", Path("a"))  # type: ignore[arg-type]
    assert size(1) == 0


def test_the_object_that_cannot_be_encoded_is_told_and_not_what_holds_it(store: oxidbm.Store) -> None:
    @store.memoize()
    def total(first: object = None, **kw: object) -> int:
        return len(kw)

    with pytest.raises(TypeError, match=r"the argument 'rate' of .*total, a builtins.object, cannot be part of a key"):
        total(tax=1, rate=object())
    with pytest.raises(TypeError, match=r"'first' of .*total, in which is a builtins.object, cannot be part of a key"):
        total([1, {"a": (object(),)}])
    assert total(tax=1) == 1


@pytest.mark.parametrize("name", ["", "x" * 401, "ö" * 201])
def test_a_name_of_a_wrong_length(store: oxidbm.Store, name: str) -> None:
    with pytest.raises(ValueError, match=f"a name of {len(name.encode())} bytes"):
        store.memoize(name=name)(len)
