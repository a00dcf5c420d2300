"""Whole stores as a release left them, with checkpoints, sessions and an expiry: they open for ever.

`version-2.zip` holds them, one closed, one whose process was killed behind its last commit, one with codecs, and in
`expected.json` what is in each. It is never made anew: what does not open here is what does not open on people's disks.
So is `snapshots-1.zip`, by make_snapshot_stores.py, of stores whose newest state is a snapshot's.
"""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from tests.support import Quiet

FIXTURE = Path(__file__).with_name("version-2.zip")
SNAPSHOTS = Path(__file__).with_name("snapshots-1.zip")
SMALL: Quiet = {"memory": "1MiB", "page_size": 4096, "durability": "manual", "compaction": False}


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Any]:
    """Return where the stores are, and what is in them."""
    with zipfile.ZipFile(FIXTURE) as file:
        file.extractall(tmp_path)
    return tmp_path, json.loads((tmp_path / "expected.json").read_text())


def check_content(store: oxidbm.Store, expected: Any) -> None:
    """See that a store holds what it held."""
    assert {key.hex(): value.hex() for key, value in store.items()} == expected["items"]
    assert len(store) == len(expected["items"])
    assert {known.name: known.serial for known in store.sessions()} == expected["sessions"]
    assert store.check() == []
    ttl = store.ttl(b"with an expiry")
    assert ttl is not None
    assert ttl > 0


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("images", [True, False])
@pytest.mark.parametrize("name", ["closed", "killed"])
def test_it_opens(stores: tuple[Path, Any], name: str, images: bool, read_only: bool) -> None:
    path, expected = stores
    if not images:
        shutil.rmtree(path / name / "checkpoints")
    with oxidbm.Store(path / name, read_only=read_only, **SMALL) as store:
        assert (store.recovery.checkpoint is not None) == images
        assert (store.recovery.bytes_cut > 0) == (name == "killed")
        check_content(store, expected[name])
        if not read_only:
            store[b"more"] = b"value"
    with oxidbm.Store(path / name, read_only=True, **SMALL) as store:
        assert (b"more" in store) == (not read_only)


def test_its_checkpoints_open_and_can_be_gone_back_to(stores: tuple[Path, Any]) -> None:
    path, expected = stores
    token = expected["then"]["token"]
    with oxidbm.Store(path / "closed", read_only=True, checkpoint=token, **SMALL) as store:
        check_content(store, expected["then"])
        assert [(made.name, made.cookie) for made in store.checkpoints()] == [("then", None), ("log alone", None)]
    oxidbm.recover(path / "closed", token)
    with oxidbm.Store(path / "closed", **SMALL) as store:
        check_content(store, expected["then"])


def test_its_codecs_are_those_that_it_says(stores: tuple[Path, Any]) -> None:
    path, expected = stores
    with oxidbm.Store(path / "typed", key=str, value=int, **SMALL) as store:
        assert dict(store.items()) == expected["typed"]
        assert store.check() == []
    with pytest.raises(oxidbm.CodecError):
        oxidbm.Store(path / "typed", **SMALL)


@pytest.fixture
def snapshots(tmp_path: Path) -> tuple[Path, Any]:
    """Return where the stores with snapshots are, and what is in them at each."""
    with zipfile.ZipFile(SNAPSHOTS) as file:
        file.extractall(tmp_path)
    return tmp_path, json.loads((tmp_path / "expected.json").read_text())


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("name", ["chain", "first"])
def test_a_snapshot_is_the_newest_state(snapshots: tuple[Path, Any], name: str, read_only: bool) -> None:
    path, expected = snapshots
    newest = expected[name][-1]
    with oxidbm.Store(path / name, read_only=read_only, **SMALL) as store:
        assert store.recovery.checkpoint == newest["token"]
        assert store.recovery.commit == newest["commit"]
        assert store.recovery.faults == []
        assert [(made.token, made.kind) for made in store.checkpoints()] == [
            (state["token"], state["kind"]) for state in expected[name]
        ]
        check_content(store, newest)
        if not read_only:
            store[b"more"] = b"value"
    with oxidbm.Store(path / name, read_only=True, **SMALL) as store:
        assert (b"more" in store) == (not read_only)
        assert len(store) == len(newest["items"]) + (not read_only)


@pytest.mark.parametrize("name", ["chain", "first"])
def test_its_snapshots_open_and_can_be_gone_back_to(snapshots: tuple[Path, Any], name: str) -> None:
    path, expected = snapshots
    for state in expected[name]:
        with oxidbm.Store(path / name, read_only=True, checkpoint=state["token"], **SMALL) as store:
            check_content(store, state)
    for state in reversed(expected[name]):
        assert oxidbm.recover(path / name, state["token"]).commit == state["commit"]
        with oxidbm.Store(path / name, **SMALL) as store:
            check_content(store, state)


def test_without_its_images_a_snapshot_is_replayed(snapshots: tuple[Path, Any]) -> None:
    path, expected = snapshots
    for file in (path / "chain" / "checkpoints").glob("*.index.zst"):
        file.unlink()
    with pytest.warns(oxidbm.RecoveryWarning, match="is missing"):
        store = oxidbm.Store(path / "chain", **SMALL)
    with store:
        assert store.recovery.checkpoint is None
        assert {key.hex(): value.hex() for key, value in store.items()} == expected["chain"][-1]["items"]
