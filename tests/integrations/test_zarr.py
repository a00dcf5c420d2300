"""oxidbm.integrations.zarr: arrays and groups of zarr in a store, and each call that zarr makes.

zarr's own tests of stores, `zarr.testing.store.StoreTests`, are the model for these; they need pytest-asyncio, and are
not run here.
"""

import asyncio
import pickle
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import oxidbm

zarr = pytest.importorskip("zarr", reason="zarr is not installed: pip install oxidbm[integrations]")

import numpy as np  # noqa: E402 - zarr needs it
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest  # noqa: E402
from zarr.core.buffer import default_buffer_prototype  # noqa: E402

from oxidbm.integrations.zarr import OxidbmStore  # noqa: E402

PROTOTYPE = default_buffer_prototype()
KEYS = ["a", "a!/b", "a/b", "a/b/c", "a/b/d", "a/c", "a0", "b/c/d/e", "zarr.json"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OxidbmStore]:
    store = OxidbmStore(tmp_path / "data", memory="4MiB")
    yield store
    store.close()


def buffer(data: bytes) -> Any:
    """Return bytes as zarr hands them on."""
    return PROTOTYPE.buffer.from_bytes(data)


def content(value: Any) -> bytes | None:
    """Return the bytes of what zarr was given."""
    return None if value is None else bytes(value.to_bytes())


async def collected(items: AsyncIterator[str]) -> list[str]:
    """Return what an iterator gives."""
    return [item async for item in items]


def test_arrays_and_groups_stay(store: OxidbmStore, tmp_path: Path) -> None:
    numbers = np.arange(10_000, dtype="i4").reshape(100, 100)
    root = zarr.open_group(store, mode="w")
    array = root.create_array("level/numbers", shape=numbers.shape, chunks=(30, 30), dtype=numbers.dtype)
    array[:] = numbers
    array[5, 5:8] = -1
    root.attrs["who"] = "nobody"
    store.close()
    again = zarr.open_group(OxidbmStore(tmp_path / "data", read_only=True, memory="4MiB"), mode="r")
    assert again.attrs["who"] == "nobody"
    assert list(again) == ["level"]
    assert again["level/numbers"][5, 4:9].tolist() == [504, -1, -1, -1, 508]
    assert int(again["level/numbers"][:].sum()) == int(numbers.sum()) - (505 + 506 + 507) - 3
    again.store.close()
    with oxidbm.Store(tmp_path / "data", key=str, read_only=True) as inside:
        assert "level/numbers/c/0/0" in inside


def test_a_part_of_a_group_is_deleted(store: OxidbmStore) -> None:
    root = zarr.open_group(store, mode="w")
    for name in ("one", "two"):
        root.create_array(name, shape=(10,), chunks=(2,), dtype="f8")[:] = 1.0
    del root["one"]
    assert sorted(root.array_keys()) == ["two"]
    assert not any(key.startswith("one") for key in store.store)


def test_calls(store: OxidbmStore) -> None:
    async def use() -> None:
        assert await store.get("a", PROTOTYPE) is None
        assert not await store.exists("a")
        await store.set("a", buffer(b"0123456789"))
        await store.set_if_not_exists("a", buffer(b"other"))
        await store.set_if_not_exists("b", buffer(b"new"))
        assert await store.exists("a")
        ranges = [None, RangeByteRequest(2, 4), OffsetByteRequest(7), SuffixByteRequest(2), SuffixByteRequest(99)]
        found = await store.get_partial_values(PROTOTYPE, [("a", wanted) for wanted in ranges] + [("c", None)])
        assert [content(value) for value in found] == [b"0123456789", b"23", b"789", b"89", b"0123456789", None]
        assert content(await store.get("b", PROTOTYPE)) == b"new"
        with pytest.raises(ValueError, match="Unexpected byte_range"):
            await store.get("a", PROTOTYPE, (0, 2))
        with pytest.raises(TypeError, match="Buffer"):
            await store.set("a", b"bytes")
        await store.delete("a")
        await store.delete("a")
        assert await collected(store.list()) == ["b"]

    asyncio.run(use())
    store.set_sync("c", buffer(b"1"))
    assert content(store.get_sync("c")) == b"1"
    store.delete_sync("c")
    assert store.get_sync("c") is None


def test_listing(store: OxidbmStore) -> None:
    async def use() -> None:
        for key in KEYS:
            await store.set(key, buffer(b""))
        assert await collected(store.list()) == sorted(KEYS)
        for prefix in ("", "a", "a/", "a/b", "b/c/d/e", "c"):
            expected = sorted(key for key in KEYS if key.startswith(prefix))
            assert await collected(store.list_prefix(prefix)) == expected, prefix
        for directory in ("", "a", "a/", "a/b", "b", "b/c", "c"):
            below = directory.rstrip("/") + "/" if directory else ""
            names = {key.removeprefix(below).partition("/")[0] for key in KEYS if key.startswith(below)}
            assert sorted(await collected(store.list_dir(directory))) == sorted(names), directory
        assert not await store.is_empty("a")
        await store.delete_dir("a")
        assert await collected(store.list()) == ["a", "a!/b", "a0", "b/c/d/e", "zarr.json"]
        assert await store.is_empty("a")
        await store.clear()
        assert await collected(store.list_dir("")) == []

    asyncio.run(use())


def test_one_that_is_read_only_sees_what_others_of_the_process_write(store: OxidbmStore) -> None:
    store.set_sync("a", buffer(b"1"))
    reader = store.with_read_only(True)
    assert (store.read_only, reader.read_only, reader == store) == (False, True, False)
    store.set_sync("a", buffer(b"2"))
    assert content(reader.get_sync("a")) == b"2"
    for write in (lambda: reader.set_sync("a", buffer(b"3")), lambda: reader.delete_sync("a")):
        with pytest.raises(ValueError, match="read-only"):
            write()
    again = reader.with_read_only(False)
    assert again == store
    assert hash(again) == hash(store)
    assert not again._is_open
    again.set_sync("a", buffer(b"3"))
    assert again._is_open
    assert content(store.get_sync("a")) == b"3"


def test_a_pickled_one_is_of_the_same_store(store: OxidbmStore) -> None:
    store.set_sync("a", buffer(b"1"))
    other = pickle.loads(pickle.dumps(store))
    assert other == store
    assert other.store is store.store
    assert str(other) == f"oxidbm://{store.path}"
    assert repr(other) == f"OxidbmStore({store.path!r}, read_only=False)"


def test_one_that_follows_sees_what_another_process_commits(tmp_path: Path) -> None:
    with oxidbm.Store(tmp_path / "data", key=str, memory="4MiB") as writer:  # as of another process: not shared
        writer["a"] = b"1"
        writer.sync()
        reader = OxidbmStore(tmp_path / "data", read_only=True, memory="4MiB", follow=0.01)
        assert content(reader.get_sync("a")) == b"1"
        writer["a"] = b"2"
        writer.sync()
        deadline = time.monotonic() + 60
        while content(reader.get_sync("a")) != b"2":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        reader.close()


def test_two_with_different_options_do_not_share(store: OxidbmStore) -> None:
    store.set_sync("a", buffer(b"1"))
    with pytest.raises(ValueError, match="other options"):
        OxidbmStore(store.path, memory="8MiB").get_sync("a")
