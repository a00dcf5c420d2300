"""Clocks that are set anywhere: what a checkpoint is goes by its commit, and by no time."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from tests.unit.helpers import Clock, disk_store

LATEST = 4.6e9  # in the year 2115, what stands for all that is later
SET = {
    "back": ([2e9, 1e9, 1.5e9], [2e9, 1e9, 1.5e9]),
    "before 1970": ([1e9, -1e9, -0.5], [1e9, 0.0, 0.0]),
    "where numbers of nanoseconds end": ([4.7e9, 9.3e9, 1e300], [LATEST, LATEST, LATEST]),
    "to what is no time": ([float("nan"), float("inf"), float("-inf")], [0.0, LATEST, 0.0]),
}


@pytest.mark.parametrize("kind", ["fold-over", "snapshot", "incremental", "log"])
@pytest.mark.parametrize("how", SET)
def test_a_clock_that_is_set(tmp_path: Path, how: str, kind: Any) -> None:
    path, crashed = tmp_path / "store", tmp_path / "crashed"
    clock = Clock()
    times, said = SET[how]
    with disk_store(path, clock=clock) as store:
        made = []
        for number, time in enumerate(times):
            clock.now = time
            store[b"key"] = b"%d" % number
            with store.session("session") as session:
                session.upsert(b"other", b"%d" % number)
            made.append(store.checkpoint(kind))
        shutil.copytree(path, crashed)
    clock.now = 1e9  # an opening refuses a clock that tells no time
    with disk_store(crashed, clock=clock) as store:
        assert store.recovery.faults == []
        assert dict(store) == {b"key": b"2", b"other": b"2"}
        known = [one for one in store.checkpoints() if not one.automatic]
        assert [one.token for one in known] == [one.token for one in made]
        assert [one.time for one in known] == said
        assert store.sessions()[0].last_used == said[-1]
        assert store.check() == []
    oxidbm.recover(crashed, made[1].token)
    with disk_store(crashed, clock=clock) as store:
        assert store[b"key"] == b"1"
        assert store.purge(keep=1) == [made[0].token]
