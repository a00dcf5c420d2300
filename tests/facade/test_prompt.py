"""What a user sees at the prompt: signatures, reprs, dir(), notebooks, names in tracebacks, weak references."""

import copy
import enum
import gc
import inspect
import pickle
import subprocess
import sys
import traceback
import weakref
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import _prompt, codecs
from tests.support import PURE, ROOT

ERRORS = [
    value
    for value in map(vars(oxidbm).get, oxidbm.__all__)
    if isinstance(value, type) and issubclass(value, (OSError, Warning))
]


def parameters(function: Any) -> dict[str, str]:
    """Return the names of a bound method's arguments, with how they may be given."""
    return {name: one.kind.name for name, one in inspect.signature(function).parameters.items()}


def test_a_class_says_what_it_is_opened_with() -> None:
    """Python's own text of `__init__` says nothing, and cannot be another."""
    for kind, option in ((oxidbm.Store, "read_cache: "), (oxidbm.Log, "keep_seconds: "), (oxidbm.Queue, "codec: ")):
        said = inspect.getdoc(kind) or ""
        assert said.count(option) == 1, kind


def test_signatures_say_which_arguments_go_by_name_alone() -> None:
    with oxidbm.Store() as store:
        assert parameters(store.get) == dict.fromkeys(["key", "default"], "POSITIONAL_OR_KEYWORD")
        assert PURE or str(inspect.signature(store.get)) == "(key, default=None)"
        assert parameters(store.set_many) == {
            "pairs": "POSITIONAL_OR_KEYWORD",
            "expire": "KEYWORD_ONLY",
            "tag": "KEYWORD_ONLY",
        }
        assert list(parameters(store.pop)) == ["key", "default"]
        assert parameters(store.history)["scan"] == "KEYWORD_ONLY"
        assert parameters(oxidbm.Store)["memory"] == "KEYWORD_ONLY"


@pytest.mark.parametrize("kind", [oxidbm.Store, oxidbm.Database, oxidbm.Session, oxidbm.Log, oxidbm.LogBatch])
def test_every_public_method_has_a_signature(kind: type) -> None:
    for name, method in inspect.getmembers(kind, callable):
        if not name.startswith("_"):
            assert inspect.signature(method), name


def test_help_on_a_method() -> None:
    code = "import oxidbm; help(oxidbm.Store().get); help(oxidbm.Store.path); help(oxidbm.Store)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert PURE or "get(key, default=None)" in done.stdout
    assert done.stdout.count("Return the key's value, or `default`.") == 2  # the class's own text does not repeat it
    assert done.stdout.count("The store's directory; None for a store in memory.") == 2


def test_dir_of_an_object_has_what_is_public() -> None:
    with oxidbm.Store() as store, oxidbm.Log() as log, oxidbm.Database() as database:
        assert {"get", "path", "stats", "__len__", "_repr_html_"} < set(dir(store))
        assert {"handle", "life", "table", "written", "owned"}.isdisjoint(dir(store))
        assert set(dir(database)) - set(dir(store)) >= {"firstkey", "nextkey"}
        assert {"append", "scan"} < set(dir(log))
        assert {"handle", "commits", "append_slowly"}.isdisjoint(dir(log))
        with store.session() as session:
            assert "serial" in dir(session)
            assert "state" not in dir(session)


def test_dir_of_the_package_has_what_is_public_and_nothing_else() -> None:
    names = {name for name in dir(oxidbm) if not name.startswith("__")}
    assert names == {*oxidbm.__all__, "codecs", "convert", "dbm", "device", "dump", "queue", "shelve", "testing"}
    code = "import oxidbm, sys; print('oxidbm.codecs' in sys.modules, oxidbm.codecs.STR)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stdout.startswith("True")
    assert [name for name in names if not hasattr(oxidbm, name)] == []


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: str(kind.__name__))
def test_errors_are_named_as_users_know_them(kind: type[Exception]) -> None:
    assert kind.__module__ == "oxidbm"
    assert traceback.format_exception_only(kind("why")) == [f"oxidbm.{kind.__name__}: why\n"]
    there = pickle.loads(pickle.dumps(kind("why")))
    assert (type(there), there.args) == (kind, ("why",))
    assert type(copy.copy(kind("why"))) is kind


def test_classes_are_named_as_users_know_them() -> None:
    kinds = [getattr(oxidbm, name) for name in oxidbm.__all__]
    homes = {kind.__name__: kind.__module__ for kind in kinds if isinstance(kind, type)}
    assert {name: home for name, home in homes.items() if home != "oxidbm"} == {"Queue": "oxidbm.queue"}
    for kind in kinds:
        if not isinstance(kind, str):
            assert pickle.loads(pickle.dumps(kind)) is kind


def test_repr_of_a_store_says_keys_types_and_state(tmp_path: Path) -> None:
    where = str(tmp_path / "s")
    with oxidbm.Store(where, key="str", value="json", ordered=True) as store:
        assert repr(store) == f"<oxidbm.Store {where!r}: 0 keys, str to json, ordered, open>"
        store["a"] = 1
        assert repr(store) == f"<oxidbm.Store {where!r}: 1 key, str to json, ordered, open>"
        store.sync()
        with oxidbm.Store(where, key="str", value="json", read_only=True) as reader:
            assert repr(reader) == f"<oxidbm.Store {where!r}: 1 key, str to json, read-only>"
    assert repr(store) == f"<oxidbm.Store {where!r}: str to json, ordered, closed>"
    with oxidbm.Database() as database:
        database["x"] = "y"
        assert repr(database) == "<oxidbm.Database in memory: 1 key, open>"


def test_repr_of_what_a_store_gives() -> None:
    with oxidbm.Store(ordered=True) as store:
        store["a"] = "b"
        keys = iter(store)
        assert repr(keys) == "<keys of the store in memory>"
        assert list(keys) == [b"a"]
        assert repr(keys) == "<keys of the store in memory, ended>"
        assert repr(iter(store.items())) == "<items of the store in memory>"
        found = store.range("a", "c", reverse=True)
        assert repr(found) == "<range of the store in memory, from b'a', up to b'c', backwards>"
        assert list(found)
        assert repr(found).endswith(", ended>")
        assert repr(store.history("a")).startswith("<versions of the key b'a' of the store in memory")
        scan = store.scan()
        assert repr(scan).startswith("<records of the store in memory, at ")
        assert list(scan)
        assert repr(scan) == "<records of the store in memory, ended>"


def test_repr_of_a_log_and_a_queue(tmp_path: Path) -> None:
    with oxidbm.Log(codec="json") as log:
        assert repr(log) == "<oxidbm.Log in memory: 0 entries, json, open>"
        log.append(1)
        assert repr(log) == "<oxidbm.Log in memory: 1 entry, json, open>"
    assert repr(log) == "<oxidbm.Log in memory: json, closed>"
    where = str(tmp_path / "q")
    with oxidbm.Queue(where) as queue:
        queue.put(b"a")
        queue.put(b"b")
        message = queue.take()
        assert repr(queue) == f"<oxidbm.Queue {where!r}: 1 waiting, 1 in flight, open>"
        message.ack()
        with oxidbm.Queue(where, read_only=True) as reader:
            assert repr(reader) == f"<oxidbm.Queue {where!r}: read-only>"
    assert repr(queue) == f"<oxidbm.Queue {where!r}: closed>"


def test_a_notebook_shows_a_table() -> None:
    with oxidbm.Store(key="str") as store:
        store["<b>"] = b"1"
        text = store._repr_html_()  # type: ignore[attr-defined]
        assert "&lt;oxidbm.Store in memory: 1 key" in text
        assert "<table>" in text
        assert "memory budget" in text
    assert "<table>" not in store._repr_html_()  # type: ignore[attr-defined]


def test_sizes_are_for_people() -> None:
    assert [_prompt.size(count) for count in (0, 1023, 1024, 5 << 20, 3 << 40, 5 << 50)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 MiB",
        "3.0 TiB",
        "5120.0 TiB",
    ]


def test_completion_of_keys_is_bounded(tmp_path: Path) -> None:
    with oxidbm.Store(tmp_path / "s", key="str") as store:
        complete = store._ipython_key_completions_  # type: ignore[attr-defined]
        assert complete() == []
        store.update({f"key-{number}": b"" for number in range(30)})
        del store["key-3"]
        assert sorted(complete()) == sorted(store)
        store.update({f"more-{number}": b"" for number in range(_prompt.KEYS_MAX)})
        assert len(complete()) <= _prompt.KEYS_MAX
    assert complete() == []


def test_copies_are_dicts_or_refused_with_a_sentence() -> None:
    with oxidbm.Store(key="str", value="json") as store:
        store["a"] = 1
        assert (type(store.copy()), store.copy()) == (dict, {"a": 1})
        assert store | {"b": 2} == {"a": 1, "b": 2}
        assert store | {"a": 2} == {"a": 2}
        assert {"a": 2, "c": 3} | store == {"a": 1, "c": 3}
        assert store | store == {"a": 1}
        for function in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match=r"copy\(\) is a dict of its items"):
                function(store)
        with pytest.raises(TypeError, match="unsupported operand"):
            store | 3  # type: ignore[operator]
        with pytest.raises(TypeError, match="unsupported operand"):
            [] | store  # type: ignore[operator]


def test_weak_references(tmp_path: Path) -> None:
    gone: list[object] = []
    with oxidbm.Store(tmp_path / "s") as store:
        session: Any = store.session()
        things = [store, session, oxidbm.Store(), oxidbm.Database(), oxidbm.Log(), oxidbm.Queue()]
        references = [weakref.ref(thing, gone.append) for thing in things]
        assert [reference() for reference in references] == things
        assert weakref.WeakValueDictionary(store=store)["store"] is store
        session.close()
    del store, session, things
    gc.collect()
    assert [reference() for reference in references] == [None] * 6
    assert len(gone) == 6


@pytest.mark.compiled_only("in pure mode Python has them")
def test_weak_references_come_and_go() -> None:
    kept = oxidbm.Store()
    for _ in range(1000):
        other = oxidbm.Store(memory="1MiB", page_size="4KiB")
        first, second = weakref.ref(other), weakref.ref(other)
        assert first is second
        del other
        assert first() is None
    assert weakref.getweakrefcount(kept) == 0
    kept.close()


def test_weak_references_of_a_store_in_a_circle() -> None:
    """As a cache keeps them: what refers to itself goes with the garbage collector."""

    class Holder:
        def __init__(self) -> None:
            self.store = oxidbm.Store()
            self.me = self

    holder = Holder()
    reference = weakref.ref(holder.store)
    del holder
    gc.collect()
    assert reference() is None


def test_an_error_is_shown_alone(tmp_path: Path) -> None:
    """Not behind the one by which the store has found it out."""
    (tmp_path / "file").touch()
    with oxidbm.Store() as store:
        for call, kind in (
            (store.popitem, KeyError),
            (lambda: oxidbm.Store(tmp_path / "none", create=False), oxidbm.MissingError),
            (lambda: oxidbm.Store(tmp_path / "file"), oxidbm.FormatError),
        ):
            with pytest.raises(kind) as caught:
                call()
            assert "During handling" not in "".join(traceback.format_exception(caught.value))


class Colour(enum.IntEnum):
    """An enum."""

    RED = 1


@pytest.mark.parametrize(
    ("codec", "shown"),
    [
        (codecs.INT, "codecs.INT"),
        (codecs.NAIVE_DATETIME, "codecs.NAIVE_DATETIME"),
        (codecs.RAW, "codecs.RAW"),
        (codecs.OBJECTS, "codecs.OBJECTS"),
        (codecs.JSON, "codecs.JSON"),
        (codecs.MSGPACK, "codecs.MSGPACK"),
        (codecs.Json(), "codecs.JSON"),
        (codecs.Msgpack(list[int]), "codecs.Msgpack(list[int])"),
        (codecs.Json(int | None, name="n", validate=True), "codecs.Json(int | None, name='n', validate=True)"),
        (codecs.Msgpack(Colour), f"codecs.Msgpack({__name__}.Colour)"),
        (codecs.Tuple(int, codecs.UUID), "codecs.Tuple(codecs.INT, codecs.UUID)"),
        (codecs.Enum(Colour), f"codecs.Enum({__name__}.Colour)"),
        (codecs.Enum(Colour, name="colour"), f"codecs.Enum({__name__}.Colour, name='colour')"),
    ],
    ids=str,
)
def test_a_codec_prints_as_it_is_written(codec: Any, shown: str) -> None:
    assert repr(codec) == shown
    assert repr(pickle.loads(pickle.dumps(codec))) == shown


def test_each_codec_that_has_a_name_prints_as_that() -> None:
    for name in codecs.__all__:
        if name.isupper():
            assert repr(getattr(codecs, name)) == f"codecs.{name}"


def test_a_shelf_prints_where_it_is_and_what_is_in_it(tmp_path: Path) -> None:
    path = str(tmp_path / "notes")
    with oxidbm.shelve.open(path) as notes:
        assert repr(notes) == f"<oxidbm.shelve.Shelf {path!r}: 0 keys, str to json, open>"
        notes["a"] = [1]
        assert repr(notes) == f"<oxidbm.shelve.Shelf {path!r}: 1 key, str to json, open>"
    assert repr(notes) == f"<oxidbm.shelve.Shelf {path!r}: str to json, closed>"
    with oxidbm.shelve.open(path, "r", serializer="pickle") as notes:
        assert repr(notes) == f"<oxidbm.shelve.Shelf {path!r}: 1 key, str to pickle, read-only>"


def test_a_memoized_function_prints_its_name() -> None:
    with oxidbm.Store() as store:

        @store.memoize()
        def area(country: str) -> int:
            return len(country)

        assert "area" in repr(area)
