"""oxidbm.integrations.django beside Django's own cache in memory: the same calls give the same answers."""

import asyncio
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oxidbm import LockedError
from tests.integrations.clock import Clock

REASON = "Django is not installed: pip install oxidbm[integrations]"
django_cache = pytest.importorskip("django.core.cache", reason=REASON)

from django.conf import settings  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.http import HttpResponse  # noqa: E402

from oxidbm.integrations._open_stores import OPEN  # noqa: E402

BACKEND = "oxidbm.integrations.django.Cache"
IN_MEMORY = "django.core.cache.backends.locmem.LocMemCache"
MISSING = object()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def configured(tmp_path: Path, clock: Clock) -> Iterator[dict[str, dict[str, Any]]]:
    """Settings of some caches, all of one directory but the last; the stores are closed at the end."""
    one = {"BACKEND": BACKEND, "LOCATION": tmp_path / "cache", "OPTIONS": {"memory": "1MiB", "clock": clock}}
    yield {
        "default": one,
        "prefix": {**one, "KEY_PREFIX": "another"},
        "version": {**one, "VERSION": 2},
        "short": {**one, "TIMEOUT": 5},
        "for-ever": {**one, "TIMEOUT": None},
        "memory": {"BACKEND": IN_MEMORY, "LOCATION": str(tmp_path)},
    }
    OPEN.close(str(tmp_path / "cache"))


@pytest.fixture
def caches(configured: dict[str, dict[str, Any]]) -> Any:
    return django_cache.CacheHandler(configured)


@pytest.fixture
def cache(caches: Any) -> Any:
    return caches["default"]


class Unpicklable:
    """What cannot be cached."""

    def __reduce__(self) -> str:
        raise pickle.PicklingError("not for a cache")


def calls() -> list[Callable[[Any], Any]]:
    """Return calls that a cache answers, one after the other."""
    return [
        lambda cache: cache.get("a"),
        lambda cache: cache.get("a", "none"),
        lambda cache: cache.set("a", {"of": ["any", (1, 2.5), {3}]}),
        lambda cache: cache.get("a"),
        lambda cache: cache.add("a", 1),
        lambda cache: cache.add("b", 2),
        lambda cache: cache.set("nothing", None),
        lambda cache: cache.get("nothing", "none"),
        lambda cache: cache.get_many(["b", "c", "nothing"]),
        lambda cache: cache.get_many(key for key in "ab"),
        lambda cache: ("a" in cache, "c" in cache, cache.has_key("nothing"), cache.has_key("never")),
        lambda cache: cache.get_or_set("made", lambda: 5),
        lambda cache: cache.get_or_set("made", 6),
        lambda cache: cache.get_or_set("none-made", None, 100),
        lambda cache: cache.set("count", 41),
        lambda cache: (cache.incr("count"), cache.incr("count", 10), cache.decr("count"), cache.decr("count", 2)),
        lambda cache: (cache.incr("count", -3), cache.get("count")),
        lambda cache: cache.set_many({"x": 1, "y": 2}),
        lambda cache: cache.get_many(["x", "y"]),
        lambda cache: cache.delete_many(["x", "never"]),
        lambda cache: (cache.delete("y"), cache.delete("y")),
        lambda cache: cache.touch("never"),
        lambda cache: (cache.touch("a"), cache.touch("a", 10), cache.touch("a", None), cache.get("a")),
        lambda cache: cache.set("at-once", 1, 0),
        lambda cache: cache.get("at-once"),
        lambda cache: (cache.set("before", 1), cache.set("before", 2, -1), cache.get("before")),
        lambda cache: (cache.add("at-once", 1, 0), cache.get("at-once")),
        lambda cache: (cache.set("goes", 1), cache.add("goes", 2, 0), cache.touch("goes", 0), cache.get("goes")),
        lambda cache: (cache.touch("goes", 0), cache.set_many({"m": 1}, 0), cache.get("m")),
        lambda cache: cache.set("v", "one", version=1),
        lambda cache: cache.set("v", "two", version=2),
        lambda cache: (cache.get("v"), cache.get("v", version=2), cache.get("v", version=3)),
        lambda cache: (cache.incr_version("v", 4), cache.get("v"), cache.get("v", version=5)),
        lambda cache: (cache.decr_version("v", version=2), cache.get("v"), cache.get("v", version=2)),
        lambda cache: (cache.add("v", 3, version=7), cache.has_key("v", version=7), cache.delete("v", version=7)),
        lambda cache: cache.set_many({"v": 8, "w": 9}, version=8),
        lambda cache: (cache.get_many(["v", "w"], version=8), cache.incr("w", version=8), cache.touch("w", version=8)),
        lambda cache: (cache.delete_many(["v"], version=8), cache.get_many(["v", "w"], version=8)),
        lambda cache: cache.set("ключ", "значение"),
        lambda cache: (cache.get("ключ"), cache.get(1), cache.set(1, "an int"), cache.get(1), cache.get("1")),
        lambda cache: (cache.close(), cache.get("a")),
        lambda cache: (cache.clear(), cache.get("a"), cache.get("w", version=8)),
    ]


def test_the_answers_are_those_of_the_cache_in_memory(caches: Any) -> None:
    ours, theirs = caches["default"], caches["memory"]
    for number, call in enumerate(calls()):
        assert call(ours) == call(theirs), number


@pytest.mark.parametrize("name", ["incr", "decr", "incr_version", "decr_version"])
def test_a_key_that_is_not_there_is_not_counted(cache: Any, name: str) -> None:
    with pytest.raises(ValueError, match="not found"):
        getattr(cache, name)("never")


def test_a_value_that_is_no_number_is_not_counted(cache: Any) -> None:
    cache.set("a", "text")
    with pytest.raises(TypeError):
        cache.incr("a")
    assert cache.get("a") == "text"


def test_values_expire(caches: Any, clock: Clock) -> None:
    caches["default"].set("usual", 1)
    caches["default"].set("given", 2, timeout=10)
    caches["default"].set("for-ever", 3, timeout=None)
    caches["default"].set_many({"one": 1, "two": 2}, timeout=10)
    caches["short"].set("short", 4)
    caches["for-ever"].set("by-setting", 5)
    caches["default"].set("touched", 6, timeout=10)
    caches["default"].set("count", 7, timeout=10)
    clock.now += 6
    assert caches["default"].touch("touched", timeout=100)
    assert caches["default"].incr("count") == 8
    names = ["usual", "given", "for-ever", "one", "short", "by-setting", "touched", "count"]
    left = ["usual", "given", "for-ever", "one", "by-setting", "touched", "count"]
    assert list(caches["default"].get_many(names)) == left
    clock.now += 5
    left = ["usual", "for-ever", "by-setting", "touched"]
    assert list(caches["default"].get_many(names)) == left
    clock.now += 300
    assert list(caches["default"].get_many(names)) == ["for-ever", "by-setting"]


def test_what_cannot_be_pickled_is_refused(cache: Any) -> None:
    cache.set("a", "before")
    with pytest.raises(TypeError, match="pickle"):
        cache.set("a", Unpicklable())
    assert cache.get("a") == "before"


def test_prefixes_and_versions_are_apart_and_cleared_together(caches: Any) -> None:
    for name in ("default", "prefix", "version"):
        caches[name].set("a", name)
    assert [caches[name].get("a") for name in ("default", "prefix", "version")] == ["default", "prefix", "version"]
    assert caches["default"].get("a", version=2) == "version"
    caches["prefix"].clear()
    assert [caches[name].get("a") for name in ("default", "prefix", "version")] == [None, None, None]


def test_keys_that_memcached_would_not_take_are_warned_about(cache: Any) -> None:
    for key in ("with spaces", "x" * 251):
        with pytest.warns(django_cache.CacheKeyWarning):
            cache.set(key, 1)
        with pytest.warns(django_cache.CacheKeyWarning):
            assert cache.get(key) == 1


def test_a_response_can_be_cached(cache: Any) -> None:
    if not settings.configured:
        settings.configure()
    cache.set("page", HttpResponse("hello", headers={"ETag": '"1"'}))
    page = cache.get("page")
    assert (page.content, page["ETag"]) == (b"hello", '"1"')


def test_the_asynchronous_calls_are_there(cache: Any) -> None:
    async def use() -> list[Any]:
        await cache.aset("a", 1)
        await cache.aset_many({"b": 2})
        return [
            await cache.aget("a"),
            await cache.aget_many(["a", "b"]),
            await cache.aincr("a"),
            await cache.adelete("b"),
        ]

    assert asyncio.run(use()) == [1, {"a": 1, "b": 2}, 2, True]


def test_threads_share_a_store_and_lose_no_count(caches: Any) -> None:
    caches["default"].set("count", 0)
    stores = []

    def count() -> None:
        for _ in range(100):
            caches["default"].incr("count")
        stores.append((caches["default"], caches["default"].store))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert caches["default"].get("count") == 400
    assert len({id(cache) for cache, _ in stores}) == 4, "Django makes a cache for each thread"
    assert len({id(store) for _, store in stores}) == 1


def test_settings_that_cannot_be_kept_are_refused(configured: dict[str, dict[str, Any]]) -> None:
    one = configured["default"]
    wrong = {
        "entries": {**one, "OPTIONS": {"MAX_ENTRIES": 100}},
        "nowhere": {**one, "LOCATION": ""},
        "other options": {**one, "OPTIONS": {"memory": "2MiB"}},
        "misspelt": {**one, "LOCATION": one["LOCATION"] / "other", "OPTIONS": {"memry": "2MiB"}},
    }
    caches = django_cache.CacheHandler({**configured, **wrong})
    caches["default"].set("a", 1)
    for name, expected in {
        "entries": "size_limit",
        "nowhere": "LOCATION is the directory",
        "other options": "with other options",
    }.items():
        with pytest.raises(ImproperlyConfigured, match=expected):
            caches[name].get("a")
    with pytest.raises(TypeError, match="memry"):
        caches["misspelt"].get("a")


def test_what_is_cached_stays_and_a_store_that_was_closed_is_opened_again(caches: Any) -> None:
    caches["default"].set("a", [1, 2], timeout=None)
    caches["default"].store.close()
    assert caches["default"].get("a") == [1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_is_told_that_its_parent_has_the_store(cache: Any) -> None:
    cache.set("a", 1)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            cache.get("a")
            said = b"got"
        except LockedError:
            said = b"locked"
        except BaseException as failure:
            said = repr(failure).encode()
        os.write(write, said)
        os._exit(0)
    os.close(write)
    deadline = time.monotonic() + 60
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert os.read(read, 1000) == b"locked"
    os.close(read)
    assert cache.get("a") == 1
