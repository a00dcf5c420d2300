"""oxidbm.integrations.dogpile, as regions of dogpile.cache use it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from tests.integrations.clock import Clock

REASON = "dogpile.cache is not installed: pip install oxidbm[integrations]"
cache = pytest.importorskip("dogpile.cache", reason=REASON)

from dogpile.cache.api import NO_VALUE  # noqa: E402

cache.register_backend("tests.oxidbm", "oxidbm.integrations.dogpile", "Backend")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[oxidbm.Store]:
    with oxidbm.Store(tmp_path / "cache", memory="1MiB", clock=Clock()) as store:
        yield store


def region(arguments: dict[str, Any], **options: Any) -> Any:
    """Return a region of this backend."""
    return cache.make_region().configure("tests.oxidbm", arguments=arguments, **options)


def test_a_region_keeps_and_deletes_values(store: oxidbm.Store) -> None:
    kept = region({"store": store})
    assert kept.get("a") is NO_VALUE
    kept.set("a", {"any": ("thing", 1)})
    kept.set_multi({"b": None, "c": [3]})
    assert kept.get("a") == {"any": ("thing", 1)}
    assert kept.get_multi(["b", "never", "c"]) == [None, NO_VALUE, [3]]
    kept.delete("a")
    kept.delete("a")
    kept.delete_multi(["b", "never"])
    assert kept.get_multi(["a", "b", "c"]) == [NO_VALUE, NO_VALUE, [3]]
    assert list(store) == [b"c"]


def test_the_backend_has_bytes(store: oxidbm.Store) -> None:
    backend = region({"store": store}).actual_backend
    backend.set_serialized("a", b"1")
    backend.set_serialized_multi({"b": b"2"})
    assert backend.get_serialized("a") == b"1"
    assert backend.get_serialized_multi(["a", "b", "c"]) == [b"1", b"2", NO_VALUE]


made: list[int] = []


def slow_square(number: int) -> int:
    """Return a square, after long enough for other threads to ask for it too."""
    made.append(number)
    time.sleep(0.01)
    return number * number


def test_a_value_is_made_once_and_stays(tmp_path: Path) -> None:
    made.clear()
    for _ in range(2):
        kept = region({"path": tmp_path / "cache", "memory": "1MiB"}, expiration_time=3600)

        square = kept.cache_on_arguments()(slow_square)
        threads = [threading.Thread(target=square, args=(7,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert square(7) == 49
        kept.actual_backend.store.close()
    assert made == [7]


def test_what_is_old_is_deleted_where_that_is_asked_for(tmp_path: Path) -> None:
    clock = Clock()
    kept = region({"path": tmp_path / "cache", "memory": "1MiB", "expire": "60", "clock": clock})
    kept.set("a", 1)
    kept.set_multi({"b": 2})
    clock.now += 59
    assert kept.get_multi(["a", "b"]) == [1, 2]
    clock.now += 2
    assert kept.get_multi(["a", "b"]) == [NO_VALUE, NO_VALUE]
    kept.actual_backend.store.close()


def test_the_dbm_backend_takes_a_store_too(tmp_path: Path) -> None:
    with oxidbm.dbm.install():
        kept = cache.make_region().configure("dogpile.cache.dbm", arguments={"filename": str(tmp_path / "cache")})
        kept.set("a", [1])
        assert kept.get("a") == [1]
    assert oxidbm.whichdb(tmp_path / "cache") == "oxidbm"
