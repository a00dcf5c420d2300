"""oxidbm.integrations.cachelib beside cachelib's own cache in memory: the same calls give the same answers."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from tests.integrations.clock import Clock

cachelib = pytest.importorskip("cachelib", reason="cachelib is not installed: pip install oxidbm[integrations]")

from oxidbm.integrations.cachelib import OxidbmCache  # noqa: E402


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> Iterator[OxidbmCache]:
    cache = OxidbmCache(tmp_path / "cache", default_timeout=60, memory="1MiB", clock=clock)
    yield cache
    cache.close()


def calls() -> list[Callable[[Any], Any]]:
    """Return calls that a cache answers, one after the other."""
    return [
        lambda cache: cache.get("a"),
        lambda cache: cache.set("a", {"of": ["any", (1, 2.5)]}),
        lambda cache: cache.get("a"),
        lambda cache: cache.add("a", 1),
        lambda cache: cache.add("b", 2),
        lambda cache: cache.get_many("a", "b", "c"),
        lambda cache: cache.get_dict("b", "c"),
        lambda cache: cache.has("b"),
        lambda cache: cache.has("c"),
        lambda cache: cache.set_many({"c": None, "d": "4"}),
        lambda cache: cache.has("c"),
        lambda cache: cache.get("c"),
        lambda cache: cache.inc("count"),
        lambda cache: cache.inc("count", 5),
        lambda cache: cache.dec("count", 2),
        lambda cache: cache.dec("below"),
        lambda cache: cache.delete("a"),
        lambda cache: cache.delete("a"),
        lambda cache: cache.delete_many("b", "never"),
        lambda cache: cache.get_many("a", "b", "d"),
        lambda cache: cache.set("short", 1, timeout=timedelta(seconds=5)),
        lambda cache: cache.set("long", 1, timeout=0),
        lambda cache: cache.get_many("short", "long"),
        lambda cache: cache.set("d", "gone", timeout=-1),
        lambda cache: cache.get("d"),
        lambda cache: cache.clear(),
        lambda cache: cache.get_many("long", "count"),
    ]


def test_the_answers_are_those_of_the_cache_in_memory(cache: OxidbmCache) -> None:
    other = cachelib.SimpleCache(default_timeout=60)
    for number, call in enumerate(calls()):
        assert call(cache) == call(other), number


def test_values_expire(cache: OxidbmCache, clock: Clock) -> None:
    cache.set("usual", 1)
    cache.set("short", 2, timeout=10)
    cache.set("for ever", 3, timeout=0)
    cache.set_many({"one": 1, "two": 2}, timeout=10)
    clock.now += 11
    assert cache.get_many("usual", "short", "for ever", "one", "two") == [1, None, 3, None, None]
    assert cache.add("short", 4, timeout=-1)
    assert not cache.has("short")
    assert cache.add("short", 4)
    clock.now += 50
    assert cache.get_many("usual", "short", "for ever") == [None, 4, 3]


def test_a_counter_keeps_its_time(cache: OxidbmCache, clock: Clock) -> None:
    assert cache.inc("requests") == 1
    clock.now += 59
    assert cache.inc("requests") == 2
    clock.now += 2
    assert cache.inc("requests") == 1


def test_what_cannot_be_decoded_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    with oxidbm.Store(path, key=str, value=Broken()) as store:
        store["a"] = "ab"
        store["b"] = "b"
    cache = OxidbmCache(path, value=Broken())
    assert cache.get("a") is None
    assert cache.get_many("a", "b") == [None, "b"]
    cache.close()


class Broken:
    """A codec that reads back only what is one byte long."""

    name = "test:broken"

    def encode(self, value: str) -> bytes:
        return value.encode()

    def decode(self, data: bytes) -> str:
        if len(data) != 1:
            raise oxidbm.codecs.DecodeError("another length")
        return data.decode()


def test_it_stays(tmp_path: Path) -> None:
    cache = OxidbmCache(tmp_path / "cache", value="objects")
    cache.set("a", [1, {"b": 2.5}])
    with pytest.raises(TypeError):
        cache.set("a", object())
    cache.close()
    again = OxidbmCache(tmp_path / "cache", ignore_delete_many_errors=False, value="objects")
    assert not again.ignore_delete_many_errors
    assert again.get("a") == [1, {"b": 2.5}]
    again.close()
