"""get_many, set_many, delete_many and update: every kind of input, errors in the middle, input that uses the store."""

from collections import UserDict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from oxidbm.testing import CrashDevice
from tests.inside import abandon
from tests.support import Manual, leave_memory, scaled

PAGE_BYTES = 4096
SMALL: Manual = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual"}
PAIRS = {b"a": b"1", b"b": b"2", b"c": b""}


@pytest.fixture(params=["memory", "disk", "few pages", "own device"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store on each device; sound at the end."""
    if request.param == "memory":
        opened = Store(memory="8MiB", page_size=PAGE_BYTES)
    else:
        device = CrashDevice(PAGE_BYTES) if request.param == "own device" else None
        opened = Store(tmp_path / "s", device=device, **SMALL)
        if request.param != "disk":
            leave_memory(opened, 12 * PAGE_BYTES)
    with opened:
        yield opened
        if not opened.closed:
            assert opened.check() == []
            assert len(opened) == len(list(opened))


class Keyed:
    """What has keys() and no more of a mapping."""

    def keys(self) -> Iterator[bytes]:
        """Return the keys."""
        return iter(PAIRS)

    def __getitem__(self, key: bytes) -> bytes:
        return PAIRS[key]


class Shouting(dict[str, str]):
    """A dict whose items are others than those it holds; a dict's update does not look at them either."""


def filled() -> Store:
    """Return a store of the pairs."""
    other = Store()
    for key, value in PAIRS.items():
        other[key] = value
    return other


INPUTS: dict[str, Callable[[], Any]] = {
    "dict": lambda: dict(PAIRS),
    "subclass of dict": lambda: Shouting({key.decode(): value.decode() for key, value in PAIRS.items()}),
    "mapping": lambda: UserDict(PAIRS),
    "read-only mapping": lambda: MappingProxyType(PAIRS),
    "object with keys": Keyed,
    "list of tuples": lambda: list(PAIRS.items()),
    "list of lists": lambda: [list(pair) for pair in PAIRS.items()],
    "tuple": lambda: tuple(PAIRS.items()),
    "set": lambda: set(PAIRS.items()),
    "deque": lambda: deque(PAIRS.items()),
    "generator": lambda: (pair for pair in PAIRS.items()),
    "map": lambda: map(tuple, PAIRS.items()),
    "view": PAIRS.items,
    "words of two": lambda: ["a1", "b2", ("c", "")],
    "other types": lambda: [("a", bytearray(b"1")), (memoryview(b"b"), "2"), (bytearray(b"c"), b"")],
    "another store": filled,
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("method", ["set_many", "update"])
def test_kinds_of_pairs(name: str, method: str, store: Store) -> None:
    assert getattr(store, method)(INPUTS[name]()) is None
    assert dict(store.items()) == PAIRS


@pytest.mark.parametrize("kind", [list, tuple, set, dict, deque, iter, lambda keys: (key for key in keys)])
def test_kinds_of_keys(kind: Callable[[Any], Any], store: Store) -> None:
    store.set_many(PAIRS)
    keys: list[str | bytes | bytearray] = [b"c", "a", bytearray(b"b")] if kind in (list, tuple) else [b"c", "a", b"b"]
    given = kind(dict.fromkeys(keys)) if kind is dict else kind(keys)
    order = [key.encode() if isinstance(key, str) else bytes(key) for key in (keys if kind is not set else given)]
    assert store.get_many(given) == [PAIRS[key] for key in order]
    again = kind(dict.fromkeys(keys)) if kind is dict else kind(keys)
    assert store.delete_many(again) == 3
    assert len(store) == 0


def test_defaults_and_repeated_keys(store: Store) -> None:
    store.update(PAIRS)
    marker = object()
    assert store.get_many(["a", "x", "a", ""], marker) == [b"1", marker, b"1", marker]
    assert store.get_many([]) == []
    assert store.get_many(["x"]) == [None]
    assert store.delete_many(["a", "a", "x", "b"]) == 2
    store.set_many([("a", "first"), ("a", "last")])
    assert store["a"] == b"last"
    store.update({"a": "from the mapping"}, a="by name", d="4")
    assert store["a"] == b"by name"
    store.update()
    store.set_many({})
    assert sorted(store) == [b"a", b"c", b"d"]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (("b",), ValueError), (("b", "c", "d"), ValueError), ("abc", ValueError), (5, TypeError), (None, TypeError),
        ((1, "v"), TypeError), (("k", 1), TypeError), (("k", None), TypeError), (("k" * 65_536, ""), ValueError),
        (("k", bytes(5 << 20)), ValueError), (("\ud800", ""), ValueError),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_what_came_before_an_error_stays(
    bad: Any, error: type[Exception], kind: Callable[[Any], Any], store: Store
) -> None:
    with pytest.raises(error):
        store.set_many(kind([("a", "1"), bad, ("z", "26")]))
    assert dict(store.items()) == {b"a": b"1"}


def test_errors_of_keys(store: Store) -> None:
    store.update(PAIRS)
    with pytest.raises(TypeError, match="keys are bytes or str, not int"):
        store.get_many(["a", 1])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="keys are bytes or str, not int"):
        store.delete_many(["a", 1, "b"])  # type: ignore[list-item]
    assert sorted(store) == [b"b", b"c"]
    methods: list[Callable[[Any], object]] = [store.get_many, store.set_many, store.delete_many]
    for method in methods:
        with pytest.raises(TypeError):
            method(5)
    assert sorted(store) == [b"b", b"c"]


def failing() -> Iterator[tuple[str, str]]:
    """Yield a pair and fail."""
    yield "n", "1"
    raise RuntimeError("no more")


def test_input_that_fails(store: Store) -> None:
    with pytest.raises(RuntimeError, match="no more"):
        store.set_many(failing())
    with pytest.raises(RuntimeError, match="no more"):
        store.delete_many(key for key, _ in failing())
    with pytest.raises(RuntimeError, match="no more"):
        store.get_many(key for key, _ in failing())
    assert len(store) == 0


def test_expire(tmp_path: Path) -> None:
    now = 1000.0
    with Store(tmp_path / "s", clock=lambda: now, **SMALL) as store:
        store.set_many({"a": "1", "b": "2"}, expire=10)
        store.set_many([("b", "3")])
        assert (store.ttl("a"), store.ttl("b")) == (10.0, None)
        now += 10
        assert store.get_many(["a", "b"]) == [None, b"3"]
        assert store.delete_many(["a", "b"]) == 1
        wrong: list[tuple[Any, type[Exception]]] = [(0, ValueError), ("1", TypeError)]
        for expire, error in wrong:
            with pytest.raises(error):
                store.set_many({"c": "1"}, expire=expire)
        assert len(store) == 0


def test_the_store_itself_as_input(store: Store) -> None:
    store.update({b"%d" % i: b"x" * i for i in range(500)})
    before = dict(store.items())
    assert store.get_many(store) == list(before.values())
    store.set_many(store)
    store.update(store.items())
    assert dict(store.items()) == before
    store.set_many((key, value + b"!") for key, value in store.items())
    assert dict(store.items()) == {key: value + b"!" for key, value in before.items()}
    assert store.delete_many(key for key in store if len(key) == 3) == 400
    assert store.delete_many(store) == 100
    assert len(store) == 0


def test_input_that_writes_to_the_store(store: Store) -> None:
    def pairs() -> Iterator[tuple[bytes, bytes]]:
        for i in range(200):
            store[b"own%d" % i] = bytes(1000)
            store.pop(b"many%d" % (i - 1), None)
            yield b"many%d" % i, bytes(2000)

    store.set_many(pairs())
    assert len(store) == 201

    def keys() -> Iterator[bytes]:
        for i in range(200):
            store.pop(b"own%d" % (i + 1), None)  # before its turn comes
            yield b"own%d" % i

    assert store.delete_many(keys()) == 1
    assert list(store) == [b"many199"]


@pytest.mark.parametrize("method", ["get_many", "set_many", "delete_many"])
def test_input_that_closes_the_store(method: str, store: Store) -> None:
    def given() -> Iterator[Any]:
        yield ("a", "1") if method == "set_many" else "a"
        store.close()
        yield ("b", "2") if method == "set_many" else "b"

    with pytest.raises(oxidbm.ClosedError):
        getattr(store, method)(given())
    assert store.closed


def test_codec_that_closes_the_store() -> None:
    store: Any  # the class below uses it before it is opened

    class Closing:
        name = "closing"

        def encode(self, value: object, /) -> bytes:
            store.close()
            return b"x"

        def decode(self, data: bytes, /) -> object:
            return data

    store = Store(value=Closing())
    with pytest.raises(oxidbm.ClosedError):
        store.set_many({"a": 1})


@pytest.mark.parametrize("method", ["set_many", "update", "delete_many"])
def test_always_durable(method: str, tmp_path: Path) -> None:
    """One commit for all, before the call returns, also where it ends by an error."""
    store = Store(tmp_path / "s", **(SMALL | {"durability": "always"}))
    store.set_many({f"old{i}": "x" for i in range(10)})
    before = store.stats()["commit_sequence"]
    if method == "delete_many":
        with pytest.raises(TypeError):
            store.delete_many(["old1", "old2", 3])  # type: ignore[list-item]
    else:
        with pytest.raises(TypeError):
            getattr(store, method)([("a", "1"), ("b", "2"), ("c", 3)])
    assert store.stats()["commit_sequence"] == before + 1
    expected = dict(store.items())
    abandon(store)
    with Store(tmp_path / "s", **SMALL) as again:
        assert dict(again.items()) == expected
        assert len(again) == (8 if method == "delete_many" else 12)


def test_larger_than_memory(store: Store) -> None:
    count = scaled(3000, least=200)
    pairs = {b"%d" % i: b"%d" % i * (i % 200) for i in range(count)}
    for _ in range(2):
        store.set_many(pairs)
        assert store.get_many(pairs) == list(pairs.values())
    assert store.delete_many(list(pairs)[::2]) == count - count // 2
    assert store.get_many(pairs, b"gone") == [
        b"gone" if i % 2 == 0 else value for i, value in enumerate(pairs.values())
    ]


def test_full_memory_store_keeps_what_came_before() -> None:
    store = Store(memory="1MiB", page_size=PAGE_BYTES)
    with pytest.raises(oxidbm.FullError):
        store.set_many((b"%d" % i, bytes(3000)) for i in range(1000))
    assert sorted(store) == sorted(b"%d" % i for i in range(len(store)))
    assert store.delete_many(list(store)) > 100
    store.set_many({"after": "that"})
    assert store.check() == []


def test_refused_where_nothing_can_be_written(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **SMALL) as store:
        store.update(PAIRS)
    with Store(tmp_path / "s", read_only=True, memory="1MiB") as reader:
        assert reader.get_many(PAIRS) == list(PAIRS.values())
        with pytest.raises(oxidbm.ReadOnlyError):
            reader.set_many({})
        with pytest.raises(oxidbm.ReadOnlyError):
            reader.delete_many([])
    for method in (reader.get_many, reader.set_many, reader.delete_many):
        with pytest.raises(oxidbm.ClosedError):
            method([])


@pytest.mark.parametrize("call", ["set_many", "update", "get_many", "delete_many", "prefetch"])
def test_what_nothing_can_be_taken_out_of_is_named(call: str, store: Store) -> None:
    name = "pairs is a mapping or an iterable of pairs" if call in ("set_many", "update") else "keys is an iterable"
    with pytest.raises(TypeError, match=rf"{name} .*, not 5"):
        getattr(store, call)(5)
    if call == "update":
        with pytest.raises(TypeError, match=rf"{name} .*, not 5"):
            store.batch().update(5)  # type: ignore[call-overload]


@pytest.mark.parametrize(("pair", "kind"), [(5, TypeError), ((5,), ValueError), ((b"k", b"v", b"w"), ValueError)])
def test_what_is_no_pair_is_named(pair: object, kind: type[Exception], store: Store) -> None:
    for call in (store.set_many, store.update, store.batch().update):
        with pytest.raises(kind, match=r"pairs holds .* where a pair of key and value belongs"):
            call([(b"a", b"1"), pair])  # type: ignore[list-item]
    assert store[b"a"] == b"1"


def test_how_batches_and_sessions_show_themselves(store: Store) -> None:
    place = repr(store.path) if store.path else "a store in memory"
    with store.batch() as batch:
        batch[b"a"] = b"1"
        assert repr(batch) == f"<oxidbm.Batch of {place}, keys: 1>"
    with store.session("ingest") as session:
        session.upsert(b"a", b"2")
        assert repr(session) == f"<oxidbm.Session 'ingest' of {place}, at 1>"
    assert repr(session).endswith(", closed>")
    assert repr(store.session()) == f"<oxidbm.Session without a name of {place}, at 0>"
    with oxidbm.Log() as log, log.batch() as entries:
        entries.append(b"1")
        assert repr(entries) == "<oxidbm.LogBatch of a log in memory, entries: 1>"


MANY: list[tuple[str, Callable[[Store[Any, Any]], object], type[Exception], str]] = [
    ("update of a dict", lambda s: s.update({"good": 1, "bad": "x"}), TypeError, "values are int, not str"),
    ("update of pairs", lambda s: s.update([("good", 1), ("bad", "x")]), TypeError, "values are int, not str"),
    ("update of a generator", lambda s: s.update((k, k) for k in ["bad"]), TypeError, "values are int, not str"),
    ("update of a mapping", lambda s: s.update(UserDict(bad="x")), TypeError, "values are int, not str"),
    ("update of what is too large", lambda s: s.update({"bad": 1 << 2000}), OverflowError, "bytes is too large"),
    ("set_many", lambda s: s.set_many({"bad": None}, expire=5), TypeError, "values are int, not NoneType"),
    ("update of a batch", lambda s: s.batch().update({"good": 1, "bad": "x"}), TypeError, "values are int, not str"),
    ("pairs of a batch", lambda s: s.batch().update([("bad", "x")]), TypeError, "values are int, not str"),
    ("a mapping of a batch", lambda s: s.batch().update(UserDict(bad="x")), TypeError, "values are int, not str"),
    ("set_many with a tag", lambda s: s.set_many([("bad", None)], tag="t"), TypeError, "values are int, not NoneType"),
]


@pytest.mark.parametrize(
    ("words", "call", "kind", "said"), MANY, ids=lambda part: part if isinstance(part, str) else ""
)
def test_which_value_of_many_was_refused(words: str, call: Any, kind: type[Exception], said: str) -> None:
    with Store(key=str, value=int) as store, pytest.raises(kind) as caught:
        call(store)
    assert said in str(caught.value)
    assert str(caught.value).endswith("; the key is 'bad'")
    assert str(caught.value).count("the key is") == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.update([("good", 1), (7, 1)]), lambda s: s.get_many(["good", 7]), lambda s: s.get_many({"good", 7}),
        lambda s: s.delete_many(["good", 7]), lambda s: s.delete_many(iter(["good", 7])), lambda s: s.update({7: 1}),
    ],
)  # fmt: skip
def test_which_key_of_many_was_refused(call: Any, tmp_path: Path) -> None:
    refused = pytest.raises(TypeError, match=r"store's keys are str, not int; the key is 7$")
    with Store(key=str, value=int) as store, refused:
        call(store)
    with Store(tmp_path / "s", key=str, value=int, **SMALL) as cold:
        cold["good"] = 1
        leave_memory(cold, 12 * PAGE_BYTES)
        cold.update((str(number), number) for number in range(4000))
        with refused:
            call(cold)
        with refused:
            cold.prefetch(["good", 7])  # type: ignore[list-item]
    with Store() as plain, pytest.raises(TypeError, match=r"keys are bytes or str, not list; the key is \[1\]$"):
        plain.get_many([b"good", [1]])  # type: ignore[list-item]


def test_an_error_whose_text_is_made_of_its_parts_gets_a_note() -> None:
    with Store(key=str, value=str) as store, pytest.raises(UnicodeEncodeError) as caught:
        store.update({"bad": "\ud800"})
    assert caught.value.__notes__ == ["the key is 'bad'"]
