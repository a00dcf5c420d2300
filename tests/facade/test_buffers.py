"""Values and keys that are buffers: taken as their bytes by every method, or refused by every one in a sentence."""

import array
import ctypes
import mmap
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Store, codecs
from oxidbm._core.coder import coder_for


def mapped(data: bytes) -> mmap.mmap:
    """Return anonymous memory that holds some bytes."""
    found = mmap.mmap(-1, len(data))
    found[:] = data
    return found


# A function, since each use needs a new one: the buffer's bytes
OF_BYTES: dict[str, tuple[Callable[[], Any], bytes]] = {
    "bytearray": (lambda: bytearray(b"bar"), b"bar"),
    "memoryview": (lambda: memoryview(b"bar"), b"bar"),
    "reversed memoryview": (lambda: memoryview(b"xraxb")[::-2], b"bax"),
    "rows": (lambda: memoryview(b"abcd").cast("B", (2, 2)), b"abcd"),
    "char memoryview": (lambda: memoryview(b"bar").cast("c"), b"bar"),
    "signed memoryview": (lambda: memoryview(b"\xffa").cast("b"), b"\xffa"),
    "array of bytes": (lambda: array.array("B", b"bar"), b"bar"),
    "mmap": (lambda: mapped(b"bar"), b"bar"),
    "PickleBuffer": (lambda: pickle.PickleBuffer(b"bar"), b"bar"),
    "ctypes bytes": (lambda: (ctypes.c_ubyte * 3)(1, 2, 3), b"\1\2\3"),
    "empty": (lambda: memoryview(b""), b""),
}
OF_ITEMS: dict[str, tuple[Callable[[], Any], bytes]] = {
    "array of ints": (lambda: array.array("i", [1, 2]), array.array("i", [1, 2]).tobytes()),
    "every other int": (lambda: memoryview(array.array("h", [1, 2, 3]))[::2], array.array("h", [1, 3]).tobytes()),
    "array of floats": (lambda: array.array("d", [0.5]), array.array("d", [0.5]).tobytes()),
    "ctypes ints": (lambda: (ctypes.c_int * 2)(1, 2), array.array("i", [1, 2]).tobytes()),
    "bools": (lambda: memoryview(b"\1\0").cast("?"), b"\1\0"),
}


class Node(ctypes.Structure):
    """A structure that holds an address."""

    _fields_ = (("OPZ", ctypes.c_int), ("next", ctypes.c_void_p))


class Pixel(ctypes.Structure):
    """A structure that holds none, although its fields are named so."""

    _fields_ = (("O", ctypes.c_int), ("P", ctypes.c_int))


NEITHER: dict[str, tuple[Callable[[], Any], str]] = {
    "ctypes int": (lambda: ctypes.c_int(5), r"this c_int of format '.i' is a single number"),
    "structure": (
        lambda: Pixel(1, 2),
        "this Pixel of format .* is a single number or structure, not a buffer of bytes",
    ),
    "pointers": (lambda: (ctypes.c_char_p * 2)(b"a", b"b"), "holds pointers, which mean nothing in another process"),
    "structures with pointers": (Node * 2, "holds pointers"),
    "objects": (ctypes.py_object * 1, "holds pointers"),
}


@pytest.fixture(params=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of bytes, sound at the end."""
    with Store(tmp_path / "s" if request.param == "disk" else None) as opened:
        yield opened
        assert opened.check() == []


def writes(store: Store, key: Any, value: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield every way to write a value under a key that has none."""

    def in_batch() -> None:
        with store.batch() as batch:
            batch.set(key, value)

    def updated_batch() -> None:
        with store.batch() as batch:
            batch.update([(key, value)])

    def in_session() -> None:
        with store.session() as session:
            session.upsert(key, value)

    def modified() -> None:
        with store.session() as session:
            session.upsert(key, b"")
            session.rmw(key, lambda old: value)

    yield "setitem", lambda: store.__setitem__(key, value)
    yield "set", lambda: store.set(key, value)
    yield "add", lambda: store.add(key, value)
    yield "setdefault", lambda: store.setdefault(key, value)
    yield "set_many", lambda: store.set_many([(key, value)])
    yield "set_many of pairs", lambda: store.set_many(iter([[key, value]]))  # type: ignore[arg-type]
    yield "update", lambda: store.update([(key, value)])
    yield "batch", in_batch
    yield "update of a batch", updated_batch
    yield "session", in_session
    yield "rmw", modified


@pytest.mark.parametrize("kind", [*OF_BYTES, *OF_ITEMS])
def test_values_are_taken_as_their_bytes(kind: str, store: Store) -> None:
    make, data = {**OF_BYTES, **OF_ITEMS}[kind]
    for name, write in writes(store, b"k", make()):
        write()
        assert store.pop(b"k") == data, name
    assert coder_for("values", codecs.Tuple(bytes, int)).encode((make(), 1)).startswith(data.replace(b"\0", b"\0\xff"))
    assert codecs.BYTES.encode(make()) == codecs.RAW.encode(make()) == data


@pytest.mark.parametrize("kind", OF_BYTES)
def test_keys_are_taken_as_their_bytes(kind: str, store: Store) -> None:
    make, data = OF_BYTES[kind]
    for name, write in writes(store, make(), b"v"):
        write()
        assert list(store) == [data], name
        assert (store[make()], store.get(make()), make() in store) == (b"v", b"v", True)
        assert store.get_many([make()]) == [b"v"]
        assert store.ttl(make()) is None
        assert store.touch(make())
        assert store.delete_many([make()]) == 1
    store[data] = b"1"
    assert store.incr(make()) == 2
    with store.session() as session:
        assert session.read(make()) == b"2"
        assert session.delete(make())
    store[data] = b"1"
    del store[make()]
    assert coder_for("keys", codecs.Tuple(bytes)).encode((make(),)) == data


@pytest.mark.parametrize("kind", OF_ITEMS)
def test_keys_of_other_items_are_refused(kind: str, store: Store) -> None:
    """array.array("i", [1]) is equal to array.array("q", [1])."""
    make, _ = OF_ITEMS[kind]
    calls = [*writes(store, make(), b"v"), ("get", lambda: store.get(make())), ("in", lambda: make() in store),
             ("del", lambda: store.__delitem__(make())), ("many", lambda: store.get_many([make()])),
             ("tuple", lambda: coder_for("keys", codecs.Tuple(bytes)).encode((make(),)))]  # fmt: skip
    for name, call in calls:
        with pytest.raises(TypeError, match=r"cannot be a key: equal ones need not have equal bytes; give bytes\(\)"):
            raise AssertionError((name, call()))
    assert len(store) == 0


@pytest.mark.parametrize("kind", NEITHER)
def test_buffers_that_are_none_of_bytes_are_refused(kind: str, store: Store) -> None:
    make, words = NEITHER[kind]
    for name, write in writes(store, b"k", make()):
        with pytest.raises(TypeError, match=words):
            raise AssertionError((name, write()))
        store.pop(b"k", None)
    with pytest.raises(TypeError, match=words):
        store[make()] = b"v"
    with pytest.raises(TypeError, match=words):
        codecs.BYTES.encode(make())


def test_a_released_buffer_is_an_error(store: Store) -> None:
    view = memoryview(b"bar")
    view.release()
    with pytest.raises(ValueError, match=r"this memoryview cannot be read as a buffer .*released"):
        store["k"] = view
    assert len(store) == 0


ONE = ["user:1", b"abc", bytearray(b"abc"), memoryview(b"abc"), array.array("B", b"abc"), mapped(b"abc")]


@pytest.mark.parametrize("one", ONE, ids=lambda one: type(one).__name__)
def test_one_key_in_the_place_of_many(one: Any, store: Store) -> None:
    store.update({"a": "1", "u": "2"})
    for call in (store.get_many, store.delete_many):
        with pytest.raises(TypeError, match=f"an iterable of keys, not one {type(one).__name__}; put it into a list"):
            call(one)
    for write in (store.set_many, store.update, store.batch().update, store.__ior__):
        with pytest.raises(TypeError, match=f"iterable of pairs of key and value, not one {type(one).__name__}"):
            write(one)
    assert dict(store) == {b"a": b"1", b"u": b"2"}
    text = array.array("w" if sys.version_info >= (3, 13) else "u", "au")
    assert store.get_many(text) == [b"1", b"2"]  # an iterable of str, and a buffer by chance
