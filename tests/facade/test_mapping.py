"""The mapping face beside a dict, and what it says to wrong input."""

import os
from collections.abc import Callable, Hashable, MutableMapping
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import codecs

PAIRS = {b"a": b"1", b"b": b"2", b"": b"", b"long" * 100: b"v" * 5000}


def key_error(call: Callable[[], object]) -> object:
    """Return a call's result, or the key its KeyError names."""
    try:
        return call()
    except KeyError as missing:
        return ("KeyError", missing.args[0])


def refused(call: Callable[[], object]) -> object:
    """Return the kind of a call's error: dict says ValueError for a pair of one, which is a wrong type here."""
    try:
        return call()
    except KeyError:
        return KeyError
    except (TypeError, ValueError):
        return TypeError


def by_name(mapping: Any, *names: str) -> dict[str, Any]:
    """Return arguments by name: a store takes text for keys, for which a dict of bytes has none."""
    if isinstance(mapping, oxidbm.Store):
        return dict.fromkeys(names or ("named",), b"4")
    mapping.update({name.encode(): b"4" for name in names or ("named",)})
    return {}


CALLS: dict[str, Callable[[Any], object]] = {
    "getitem": lambda m: m[b"a"],
    "getitem missing": lambda m: m[b"x"],
    "get": lambda m: (m.get(b"a"), m.get(b"x"), m.get(b"x", b"d")),
    "contains": lambda m: (b"a" in m, b"x" in m),
    "delitem": lambda m: m.__delitem__(b"a"),
    "delitem missing": lambda m: m.__delitem__(b"x"),
    "pop": lambda m: (m.pop(b"a"), m.pop(b"x", None)),
    "pop missing": lambda m: m.pop(b"x"),
    "setdefault": lambda m: (m.setdefault(b"a", b"9"), m.setdefault(b"n", b"9")),
    "update mapping": lambda m: m.update({b"a": b"7", b"n": b"8"}),
    "update pairs": lambda m: m.update([(b"a", b"7"), (b"n", b"8")]),
    "update nothing": lambda m: m.update(),
    "clear": lambda m: m.clear(),
    "bool": bool,
    "views": lambda m: (len(m.keys()), b"a" in m.keys(), b"1" in m.values(), (b"b", b"2") in m.items()),  # noqa: SIM118
    "set operations": lambda m: (m.keys() & {b"a", b"x"}, m.items() - {(b"a", b"1")}),
    "equal": lambda m: (m == dict(PAIRS), m == {b"a": b"1"}, m != dict(PAIRS)),
    "update by name": lambda m: m.update({"a": b"3"} if type(m) is not dict else {b"a": b"3"}, **by_name(m)),
    "update by the name of a parameter": lambda m: m.update(**by_name(m, "other", "self", "pairs", "key")),
    "update twice": lambda m: refused(lambda: m.update({}, {})),
    "update of what is none": lambda m: refused(lambda: m.update(5)),
    "update of one text": lambda m: refused(lambda: m.update("ab")),
    "update of bytes": lambda m: refused(lambda: m.update(b"ab")),
    "update of triples": lambda m: refused(lambda: m.update([(b"a", b"b", b"c")])),
    "ior mapping": lambda m: m.__ior__({b"a": b"7", b"n": b"8"}) is m,
    "ior pairs": lambda m: m.__ior__([(b"a", b"7"), (b"n", b"8")]) is m,
    "ior itself": lambda m: m.__ior__(m) is m,
    "ior of what is none": lambda m: refused(lambda: m.__ior__(5)),
    "pop default": lambda m: (m.pop(b"x", b"d"), m.pop(b"x", None), m.pop(b"a", b"d")),
    "pop too much": lambda m: refused(lambda: m.pop(b"a", 1, 2)),
    "get too much": lambda m: refused(lambda: m.get(b"a", 1, 2)),
    "popitem of an empty one": lambda m: (m.clear(), refused(m.popitem)),
    "setdefault again": lambda m: (m.setdefault(b"n", b"1"), m.setdefault(b"n", b"2")),
    "hash": lambda m: (refused(lambda: hash(m)), isinstance(m, Hashable)),
    "iter": lambda m: (sorted(m), sorted(m.keys()), sorted(m.items()), sorted(m.values())),
    "disjoint": lambda m: (m.keys().isdisjoint([b"x"]), m.items().isdisjoint({(b"a", b"1")})),
    "popitem until empty": lambda m: sorted(m.popitem() for _ in range(len(m))),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_behaves_as_a_dict(name: str, place: str, tmp_path: Path) -> None:
    with oxidbm.Store(tmp_path / "s" if place == "disk" else None) as store:
        model = dict(PAIRS)
        store.update(PAIRS)
        assert key_error(lambda: CALLS[name](store)) == key_error(lambda: CALLS[name](model))
        assert dict(store.items()) == model
        assert len(store) == len(model) == len(list(store))
        assert sorted(store.values()) == sorted(model.values())
        assert store.check() == []


TYPED: dict[str, tuple[Any, Any, list[Any], list[Any]]] = {
    "str, int": (str, int, ["a", "b", "", "other"], [1, -2, 0, 10**30]),
    "tuple": (codecs.Tuple(str, int), "objects", [("a", 1), ("b", 2), ("", 0), ("c", 3)], [None, {}, [], (1,)]),
    "objects, pickle": ("objects", "pickle", [None, (1, "a"), frozenset({1, 2}), 0.5], [None, "a", {"b"}, 0]),
    "float, json": (float, "json", [0.0, -1.5, 2.0, 1e300], [None, 1, "a", [1]]),
}  # fmt: skip
TYPED_CALLS: dict[str, Callable[[Any, list[Any], list[Any]], object]] = {
    "getitem": lambda m, k, v: [m[key] for key in k[:2]],
    "getitem missing": lambda m, k, v: m[k[3]],
    "get": lambda m, k, v: (m.get(k[0]), m.get(k[3]), m.get(k[3], v[1])),
    "contains": lambda m, k, v: [key in m for key in k],
    "delitem": lambda m, k, v: m.__delitem__(k[0]),
    "delitem missing": lambda m, k, v: m.__delitem__(k[3]),
    "pop": lambda m, k, v: (m.pop(k[0]), m.pop(k[0], None), m.pop(k[3], 5), m.pop(k[1], 5)),
    "pop missing": lambda m, k, v: m.pop(k[3]),
    "popitem": lambda m, k, v: [len(m) for _ in range(3) if m.popitem()],
    "popitem of an empty one": lambda m, k, v: (m.clear(), refused(m.popitem)),
    "setdefault": lambda m, k, v: (m.setdefault(k[0], v[3]), m.setdefault(k[3], v[2]), m.setdefault(k[3], v[1])),
    "update mapping": lambda m, k, v: m.update({k[0]: v[3], k[3]: v[0]}),
    "update pairs": lambda m, k, v: m.update([(k[0], v[3]), [k[3], v[0]]]),
    "update twice": lambda m, k, v: refused(lambda: m.update({}, {})),
    "ior": lambda m, k, v: m.__ior__({k[0]: v[3], k[3]: v[0]}) is m,
    "ior pairs": lambda m, k, v: m.__ior__([(k[3], v[0])]) is m,
    "clear": lambda m, k, v: m.clear(),
    "equal": lambda m, k, v: (m == dict(zip(k[:3], v[:3], strict=True)), m == {}, m != {}),
    "views": lambda m, k, v: ([key in m.keys() for key in k], [value in m.values() for value in v],  # noqa: SIM118
                              [(key, v[0]) in m.items() for key in k]),
    "set operations": lambda m, k, v: (m.keys() & {k[0], k[3]}, m.keys() - {k[0]}, m.keys() | {k[3]}),
    "hash": lambda m, k, v: (refused(lambda: hash(m)), isinstance(m, Hashable)),
}  # fmt: skip


@pytest.mark.parametrize("call", TYPED_CALLS)
@pytest.mark.parametrize("kind", TYPED)
def test_a_typed_store_behaves_as_a_dict(kind: str, call: str, tmp_path: Path) -> None:
    key, value, keys, values = TYPED[kind]
    with oxidbm.Store(tmp_path / "s", key=key, value=value) as store:
        model = dict(zip(keys[:3], values[:3], strict=True))
        store.update(model)
        function = TYPED_CALLS[call]
        assert key_error(lambda: function(store, keys, values)) == key_error(lambda: function(model, keys, values))
        if call == "popitem":
            assert len(store) == len(model) == 0
        assert dict(store.items()) == model
        assert store.check() == []


def test_setdefault_without_a_default() -> None:
    """A dict stores None; so do stores whose values can be None, and others say what they take."""
    for value in ("objects", "pickle", "json", "msgpack"):
        with oxidbm.Store(key=str, value=value) as store:
            assert store.setdefault("k") is None
            assert dict(store) == {"k": None}
    kinds: list[type] = [str, int, float]
    for kind in kinds:
        with oxidbm.Store(key=str, value=kind) as typed:
            with pytest.raises(TypeError, match=f"{kind.__name__}, not None"):
                typed.setdefault("k")
            assert len(typed) == 0
    with oxidbm.Store() as plain:
        assert plain.setdefault("k") == b""


def test_is_a_mutable_mapping_that_cannot_be_hashed_or_pickled() -> None:
    store = oxidbm.Store()
    assert isinstance(store, MutableMapping)
    with pytest.raises(TypeError, match="unhashable"):
        hash(store)
    with pytest.raises(TypeError, match="cannot be pickled"):
        store.__reduce__()
    with pytest.raises(KeyError):
        store.popitem()
    store.update(a="1", b="2")
    assert dict(store) == {b"a": b"1", b"b": b"2"}
    assert repr(store) == "<oxidbm.Store in memory: 2 keys, open>"
    store.close()
    assert "closed" in repr(store)


@pytest.mark.parametrize("wrong", [1, 1.5, None, ["a"], ("a",)])
def test_wrong_types_are_named(wrong: Any) -> None:
    with oxidbm.Store() as store:
        store["k"] = "old"
        for call in (
            lambda: store[wrong],
            lambda: wrong in store,
            lambda: store.get(wrong),
            lambda: store.__setitem__(wrong, b"v"),
            lambda: store.__setitem__("k", wrong),
            lambda: store.pop(wrong),
            lambda: store.add("n", wrong),
        ):
            with pytest.raises(TypeError, match=type(wrong).__name__):
                call()
        assert dict(store) == {b"k": b"old"}


def test_what_does_not_fit_says_both_numbers_and_leaves_the_old_value() -> None:
    with oxidbm.Store(memory="1MiB", page_size=4096) as store:
        store["k"] = "old"
        with pytest.raises(ValueError, match=r"65536.*65535"):
            store[b"k" * 65_536] = b"v"
        with pytest.raises(ValueError, match=r"\d{7}.*524288"):
            store["k"] = bytes(1 << 20)
        with pytest.raises(ValueError, match="524288"), store.session() as session:
            session.rmw("k", lambda old: bytes(1 << 20))
        assert store["k"] == b"old"
        assert store.check() == []


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_after_close_every_call_is_the_stores_error(place: str, tmp_path: Path) -> None:
    store = oxidbm.Store(tmp_path / "s" if place == "disk" else None)
    store["k"] = "v"
    session = store.session()
    iterator = iter(store)
    assert next(iterator) == b"k"
    half_done = iter(store.items())
    store.close()
    store.close()
    assert store.closed
    for call in (
        lambda: store["k"],
        lambda: "k" in store,  # type: ignore[comparison-overlap]
        lambda: store.__setitem__("k", "v"),
        lambda: len(store),
        lambda: list(store),
        store.sync,
        store.check,
        store.stats,
        store.clear,
        store.session,
        lambda: next(half_done),
        lambda: session.read("k"),
        lambda: session.upsert("k", "v"),
        store.__enter__,
    ):
        with pytest.raises(oxidbm.error, match="closed"):
            call()


def test_a_read_only_store_reads_the_last_commit_and_refuses_writes(tmp_path: Path) -> None:
    with oxidbm.Store(tmp_path / "s", durability="manual") as writer:
        writer["k"] = "committed"
        writer.sync()
        writer["k"] = "later"
        with oxidbm.Store(tmp_path / "s", read_only=True) as reader:
            assert dict(reader) == {b"k": b"committed"}
            for call in (
                lambda: reader.__setitem__("k", "v"),
                lambda: reader.__delitem__("k"),
                reader.clear,
                lambda: reader.pop("k"),
                reader.sync,
            ):
                with pytest.raises(oxidbm.ReadOnlyError, match="read-only"):
                    call()
    with pytest.raises(oxidbm.MissingError):
        oxidbm.Store(tmp_path / "nothing", read_only=True)


def test_a_second_writer_is_told_who_holds_the_store(tmp_path: Path) -> None:
    with oxidbm.Store(tmp_path / "s"), pytest.raises(oxidbm.LockedError, match=str(os.getpid())):
        oxidbm.Store(tmp_path / "s", memory="1GiB")


@pytest.mark.parametrize(
    "options",
    [{"memory": "x"}, {"memory": 0}, {"memory": 1000}, {"durability": "sometimes"}, {"page_size": 5000}],
)
def test_options_that_make_no_sense(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        oxidbm.Store(tmp_path / "s", **options)
    with pytest.raises(TypeError, match="float"):
        oxidbm.Store(memory=1.5)  # type: ignore[call-overload]


def test_a_session_commits_when_its_block_ends_and_not_by_an_exception(tmp_path: Path) -> None:
    with oxidbm.Store(tmp_path / "s", durability="manual") as store:
        with store.session("s") as session:
            session.upsert("a", "1")
            assert session.rmw("a", lambda old: old + b"+", initial="0") == b"1+"
            assert session.rmw("n", lambda old: old, initial="first") == b"first"
            assert session.rmw("a", lambda old: None) is None
            assert session.rmw("absent", lambda old: b"never") is None
            assert session.read("absent", b"default") == b"default"
        assert session.durable_serial == session.serial == 5
        with pytest.raises(ZeroDivisionError), store.session("t") as other:  # noqa: PT012 - both belong to the block
            other.upsert("b", "2")
            other.rmw("b", lambda old: b"%d" % (1 // 0))
        assert other.durable_serial == 0
        assert store.stats()["durable_tail"] < store.stats()["tail"]
        assert store.add("a", "3") is False
        assert store.add("c", "3") is True
    with oxidbm.Store(tmp_path / "s") as store, store.session("s") as session:
        assert session.serial == 5
        assert dict(store) == {b"a": b"1+", b"n": b"first", b"b": b"2", b"c": b"3"}
