"""What an opening of a log syncs after a crash: what was not known durable, and not each file that the log has."""

import os
import shutil
from pathlib import Path

import pytest

import oxidbm

pytestmark = [
    pytest.mark.compiled_only("several files take more bytes than an interpreted core seals in a test's time"),
    pytest.mark.skipif(not hasattr(os, "fdatasync"), reason="the system has no fdatasync to be counted"),
]

FILES = 4


def test_an_opening_after_a_crash_syncs_the_files_behind_the_last_durable_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, crashed = tmp_path / "log", tmp_path / "crashed"
    with oxidbm.Log(path, memory="8MiB", page_size=4096) as log:
        log.append(b"first")
        log.commit()
        while len(os.listdir(path / "log")) < FILES:
            log.append(bytes(1 << 20))
            log.commit()
        last = log.append(b"last")
        log.commit()
        shutil.copytree(path, crashed)
    synced: list[int] = []
    real = os.fdatasync

    def counted(descriptor: int) -> None:
        synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)
    with oxidbm.Log(crashed) as log:
        opened = len(set(synced))
        assert log.read(last) == b"last"
        log.append(b"more")
        log.commit()
        assert len(set(synced)) >= FILES  # the rest, with the first commit: somebody may have copied the files
    assert 1 <= opened < FILES
