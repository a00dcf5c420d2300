"""Edges that outsiders met: who keeps a store open, what a failed conversion leaves, arguments that look alike."""

import gc
import inspect
import os
import pydoc
import shutil
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from oxidbm._core.store.base import StoreBase
from oxidbm.codecs import RAW, DecodeError


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_what_uses_a_store_keeps_it_open(tmp_path: Path, where: str) -> None:
    """A store that only its iterator, session, batch or range still holds is open until that ends."""

    def opened(**options: Any) -> Store:
        store = Store(tmp_path / "store" if where == "disk" else None, **options)
        store.update({b"a": b"1", b"b": b"2"})
        return store

    assert dict(opened().items()) == {b"a": b"1", b"b": b"2"}
    assert sorted(opened()) == [b"a", b"b"]
    assert [record.key for record in opened().scan()] == [b"a", b"b"]
    assert list(opened(ordered=True).range()) == [(b"a", b"1"), (b"b", b"2")]
    assert list(opened(ordered=True).prefix(b"b")) == [(b"b", b"2")]
    session = opened().session("s")
    session.upsert(b"c", b"3")
    assert session.read(b"c") == b"3"
    session.close()
    del session
    gc.collect()
    with opened().batch() as batch:
        batch[b"d"] = b"4"
    del batch
    gc.collect()
    if where == "disk":
        with Store(tmp_path / "store", read_only=True) as store:
            assert dict(store) == {b"a": b"1", b"b": b"2", b"c": b"3", b"d": b"4"}


def test_pop_of_a_value_that_cannot_be_decoded_leaves_it(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store[b"key"] = b"\xff\xfe"
        store[b"good"] = b"text"
    path = tmp_path / "typed"
    with Store(path, value=str) as store:
        store[b"good"] = "text"
    with Store(path, key=RAW, value=RAW) as store:
        store[b"key"] = b"\xff\xfe"
    with Store(path, value=str) as store:
        for _ in range(2):
            with pytest.raises(DecodeError):
                store.pop(b"key")
        assert b"key" in store
        assert store.pop(b"good") == "text"
        assert store.pop(b"good", "none") == "none"
        with pytest.raises(KeyError):
            store.pop(b"good")
        assert len(store) == 1


def test_one_key_in_the_place_of_many_is_refused() -> None:
    with Store() as store:
        store["a"] = "1"
        wrong: list[Any] = ["abc", b"abc", bytearray(b"abc"), memoryview(b"abc")]
        for one in wrong:
            with pytest.raises(TypeError, match="is an iterable of keys, not one"):
                store.get_many(one)
            with pytest.raises(TypeError, match="is an iterable of keys, not one"):
                store.delete_many(one)
        assert store.get_many(["a"]) == [b"1"]


def test_update_takes_a_key_named_as_its_parameter_might_be() -> None:
    with Store() as store:
        store.update(other="1", self_="2", others="3")
        store.update({"x": "4"}, y="5")
        assert dict(store) == {b"other": b"1", b"self_": b"2", b"others": b"3", b"x": b"4", b"y": b"5"}
        with pytest.raises(TypeError, match="at most one mapping or iterable, not 2"):
            store.update({}, {})  # type: ignore[call-overload]


def test_setdefault_without_a_default_in_a_typed_store() -> None:
    with Store(value=int) as store:
        with pytest.raises(TypeError):
            store.setdefault(b"key")  # type: ignore[call-overload]
        assert len(store) == 0
    with Store() as store:
        assert store.setdefault(b"key") == b""


@pytest.mark.skipif(os.name == "nt", reason="an open directory cannot be deleted")
def test_a_store_whose_directory_was_deleted(tmp_path: Path) -> None:
    """Nothing owed: closing is quiet. Something owed: it is said, and nothing is written anywhere else."""
    path = tmp_path / "s"
    store = Store(path, durability="manual")
    store[b"a"] = b"1"
    store.sync()
    shutil.rmtree(path)
    store.close()
    store = Store(path, durability="manual")
    store[b"a"] = b"1"
    store.sync()
    store[b"b"] = b"2"
    shutil.rmtree(path)
    path.mkdir()
    with pytest.raises(oxidbm.PoisonedError, match=r"its directory was deleted: .*; nothing is left to reopen"):
        store.close()
    assert list(path.iterdir()) == []


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_function_that_writes_its_own_key_is_not_called_for_ever(where: str, tmp_path: Path) -> None:
    with Store(tmp_path / "s" if where == "disk" else None, key=str, value=int) as store, store.session() as session:
        calls = 0

        def writing(old: int) -> int:
            nonlocal calls
            calls += 1
            store["key"] = old + 1
            return old

        def once(old: int) -> int:
            nonlocal calls
            calls += 1
            if calls < 5:
                store["key"] = old + 1
            return old * 100

        store["key"] = 0
        with pytest.raises(RuntimeError, match=r"called its function 10000 times.* must not write its own key"):
            session.rmw("key", writing)
        assert calls == store["key"] == 10_000
        assert session.serial == 0
        store["key"] = calls = 0
        assert session.rmw("key", once) == store["key"] == 400
        assert (calls, session.serial) == (5, 1)


def test_stores_have_no_hash(tmp_path: Path) -> None:
    with Store() as store, oxidbm.open(tmp_path / "d", "c") as database, oxidbm.shelve.open(tmp_path / "f") as shelf:
        things: list[Any] = [store, database, shelf, store.keys(), store.items()]
        for thing in things:
            assert not isinstance(thing, Hashable)
            assert type(thing).__hash__ is None
            with pytest.raises(TypeError, match="unhashable"):
                hash(thing)
            assert thing in [thing]
        assert isinstance(store.values(), Hashable) == isinstance({}.values(), Hashable)


def test_the_signature_is_the_stubs() -> None:
    parameters = inspect.signature(Store).parameters
    assert list(parameters)[:2] == ["path", "memory"]
    assert parameters["path"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {word.kind for name, word in parameters.items() if name != "path"} == {inspect.Parameter.KEYWORD_ONLY}
    assert parameters["memory"].default == "256MiB"
    assert (parameters["key"].default, parameters["mode"].default) == (None, 0o666)
    assert inspect.signature(oxidbm.Database) == inspect.signature(Store)
    assert list(parameters) == list(inspect.signature(StoreBase).parameters)
    head = "".join(pydoc.plain(pydoc.render_doc(Store)).partition("class Store(")[2].splitlines()[1:30])
    shown = head.replace("|", "").replace(" ", "")  # a long signature is one line, or one for each parameter
    assert shown.startswith("Store(path=None,*,memory='256MiB'")
    assert "/)" not in shown.partition("Amappingof")[0]
