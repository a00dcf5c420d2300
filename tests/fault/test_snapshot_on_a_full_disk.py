"""A store whose newest state is a snapshot is read on a disk that is full: when one wants to save what is there."""

import os
from pathlib import Path

import pytest

from oxidbm import Store
from tests.fault.test_closing_without_a_mark import fill
from tests.inside import abandon


def test_it_is_put_together_elsewhere(small_disk: Path) -> None:
    path = small_disk / "store"
    store = Store(path, durability="manual", memory="1MiB", page_size=4096)
    store[b"a"] = b"1"
    store.sync()
    store[b"b"] = b"x" * 100_000
    made = store.checkpoint("snapshot")
    abandon(store)
    fill(small_disk / "rest")
    for checkpoint in (None, made.token):
        with Store(path, read_only=True, checkpoint=checkpoint) as reader:
            assert dict(reader) == {b"a": b"1", b"b": b"x" * 100_000}
            assert reader.check() == []
    with pytest.raises(OSError, match="o space"):
        Store(path, durability="manual")
    os.unlink(small_disk / "rest")
    with Store(path, durability="manual") as store:
        assert dict(store) == {b"a": b"1", b"b": b"x" * 100_000}
        assert store.check() == []
