"""Checkpoints that say what would take for ever to look for, or gigabytes to read."""

import os
import tracemalloc
from pathlib import Path

import pytest

import oxidbm
from tests.format.test_hostile_checkpoints import check_refused, make


def test_a_state_that_ends_behind_the_log(tmp_path: Path) -> None:
    """It is refused at once, and not looked for up to where it says that it ends."""
    _, checkpoint = make(tmp_path / "store")
    token = checkpoint.said["token"]
    for end in (checkpoint.said["end"] + (1 << 20), 1 << 48, (1 << 62) - 1):
        for kind in ("fold-over", "log"):
            checkpoint.changed = {"end": end, "kind": kind}
            checkpoint.write(tmp_path / "store")
            with pytest.raises(oxidbm.CorruptionError, match=f"{token} ends at address {end}, the log at"):
                oxidbm.Store(tmp_path / "store", read_only=True, checkpoint=token)
            with pytest.raises(oxidbm.CorruptionError, match=f"{token} ends at address {end}, the log at"):
                oxidbm.recover(tmp_path / "store", token)


def test_a_gigabyte_of_zeros(tmp_path: Path) -> None:
    """It is not read."""
    items, checkpoint = make(tmp_path / "store")
    file = tmp_path / "store" / "checkpoints" / f"{checkpoint.said['token']}.json"
    file.write_bytes(b"")
    os.truncate(file, 1 << 30)
    tracemalloc.start()
    try:
        check_refused(tmp_path / "store", items)
        assert tracemalloc.get_traced_memory()[1] < 1 << 28
    finally:
        tracemalloc.stop()
