"""A handler's exception in the middle of giving a checkpoint up: what is half put away is never made to its end."""

import errno
import os
from pathlib import Path
from typing import Literal

import pytest

from tests.inside import checkpointer_of
from tests.unit.helpers import begun, disk_store, opened_at

Kind = Literal["fold-over", "snapshot", "incremental"]
KINDS: list[Kind] = ["fold-over", "snapshot", "incremental"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.skipif(not hasattr(os, "pwrite"), reason="files are written by another call")
def test_giving_up_is_gone_on_with(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: object, offset: int) -> int:
        raise OSError(errno.ENOSPC, "no space")

    def interrupted(name: str, *, dir_fd: int | None = None) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    with disk_store(tmp_path / "store") as store:
        store.update((b"%d" % number, b"value") for number in range(3000))
        if kind == "incremental":
            store.checkpoint("snapshot")
            store[b"1"] = b"other"
        kept = store.checkpoints()
        made = begun(store, kind)
        checkpoints = checkpointer_of(store)
        monkeypatch.setattr(os, "pwrite", full)
        monkeypatch.setattr(os, "unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.finish()
        while checkpoints.making():
            checkpoints.advance()
        assert made.done()
        with pytest.raises(OSError, match="no space"):
            made.result(0)
        assert [one.token for one in store.checkpoints()] == [one.token for one in kept]
        assert not [name for name in os.listdir(tmp_path / "store" / "checkpoints") if name.startswith(made.token)]
        store[b"2"] = b"another"
        assert opened_at(tmp_path / "store", store.checkpoint(kind)) == dict(store)
        assert store.check() == []
