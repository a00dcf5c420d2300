"""No memory for the library that compresses: nothing is taken for damaged, and all is well when there is some again."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import zstandard

import oxidbm
from tests.unit.helpers import disk_store


class Short:
    """A compressor and decompressor that find no memory when they are used."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def chunker(self, **options: Any) -> "Short":
        return self

    def stream_reader(self, file: Any) -> "Short":
        return self

    def compress(self, data: bytes) -> Any:
        raise zstandard.ZstdError("zstd compress error: Allocation error : not enough memory")
        yield b""

    def finish(self) -> Any:
        return self.compress(b"")

    def read(self, size: int) -> bytes:
        raise zstandard.ZstdError("zstd decompress error: Allocation error : not enough memory")

    def readinto(self, data: memoryview) -> int:
        return len(self.read(len(data)))


@pytest.mark.parametrize("kind", ["fold-over", "snapshot", "incremental", "index"])
def test_making_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    with disk_store(tmp_path / "store") as store:
        store[b"key"] = b"1"
        store.checkpoint("snapshot")
        store[b"key"] = b"2"
        with monkeypatch.context() as patch:
            patch.setattr(zstandard, "ZstdCompressor", Short)
            with pytest.raises(MemoryError):
                store.checkpoint(kind)
            store.sync()
        assert len(store.checkpoints()) == 1
        store.checkpoint(kind)
        assert store.check() == []


def test_closing_with_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with disk_store(tmp_path / "store", checkpoints=True, memory="8MiB") as store:
        store.set_many((b"%d" % number, b"") for number in range(3000))
        monkeypatch.setattr(zstandard, "ZstdCompressor", Short)
    with disk_store(tmp_path / "store", memory="8MiB") as store:
        assert len(store) == 3000
        assert store.checkpoints() == []


def test_opening_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "crashed"
    with disk_store(tmp_path / "store") as store:
        store[b"key"] = b"1"
        store.sync()
        store[b"key"] = b"2"
        made = store.checkpoint("snapshot")
        shutil.copytree(tmp_path / "store", path)
    with monkeypatch.context() as patch:
        patch.setattr(zstandard, "ZstdDecompressor", Short)
        for read_only in (True, False):
            with pytest.raises(MemoryError):
                oxidbm.Store(path, read_only=read_only)
        with pytest.raises(MemoryError):
            oxidbm.recover(path, made.token)
    with oxidbm.Store(path) as store:  # and not the commit before it
        assert dict(store) == {b"key": b"2"}
