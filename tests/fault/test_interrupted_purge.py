"""A purge that an exception breaks into while it deletes a segment: the store goes on, and writes durably."""

import os
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from tests.support import PURE

COUNT = 3000 if not PURE else 1800  # of ten kilobytes: more than a file's 16 MiB


def open_store(path: Path) -> oxidbm.Store:
    return oxidbm.Store(
        path, memory="8MiB", page_size="64KiB", durability="manual", checkpoints=False, compaction=False
    )


def test_a_purge_interrupted_between_closing_and_deleting_a_segment_leaves_a_store_that_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store"
    with open_store(path) as store:
        store.update((f"{number}", "x" * 10_000) for number in range(COUNT))
        made = store.checkpoint("log")
        store.update((f"{number}", "y") for number in range(COUNT))
        store.reorganize()
        held = set(os.listdir(path / "log"))
    unlink = os.unlink

    def interrupted(name: str, *arguments: object, **options: Any) -> None:
        if name.endswith(".seg"):
            raise KeyboardInterrupt
        unlink(name, *arguments, **options)

    with open_store(path) as store:  # what it finds it has not synced yet
        monkeypatch.setattr(os, "unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.purge(token=made.token)
        monkeypatch.undo()
        store["later"] = "1"
        store.sync()
        store["later"] = "2"
        assert len(store) == COUNT + 1
        store.checkpoint("log")
        assert store.purge(keep=0)
        assert not held <= set(os.listdir(path / "log"))  # the next one has deleted it
    with open_store(path) as store:
        assert store["later"] == b"2"
        assert store.check() == []
