"""Whole stores as a release left them, with checkpoints, sessions and an expiry: they open for ever.

`version-2.zip` holds them, one closed, one whose process was killed behind its last commit, one with codecs, and in
`expected.json` what is in each. It is never made anew: what does not open here is what does not open on people's disks.
So is `snapshots-1.zip`, by make_stores.py, of stores whose newest state is a snapshot's, and so is `states-1.zip`, of
checkpoints with names and cookies, backups, a log and a queue; make_states.py says what they are.
"""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import codecs
from tests.facade.queues import drain
from tests.support import Quiet

FIXTURE = Path(__file__).with_name("version-2.zip")
SNAPSHOTS = Path(__file__).with_name("snapshots-1.zip")
STATES = Path(__file__).with_name("states-1.zip")
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


@pytest.fixture
def states(tmp_path: Path) -> tuple[Path, Any]:
    """Return where the stores with checkpoints and backups, the log and the queue are, and what is in them."""
    with zipfile.ZipFile(STATES) as file:
        file.extractall(tmp_path)
    return tmp_path, json.loads((tmp_path / "expected.json").read_text())


def said_of(store: oxidbm.Store) -> list[Any]:
    """Return what a store says of its checkpoints."""
    return [(made.token, made.kind, made.name, made.cookie, made.commit) for made in store.checkpoints()]


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("name", ["kinds", "killed"])
def test_it_says_what_its_checkpoints_are(states: tuple[Path, Any], name: str, read_only: bool) -> None:
    path, expected = states
    with oxidbm.Store(path / name, read_only=read_only, **SMALL) as store:
        check_content(store, expected[name])
        assert store.recovery.faults == []
        assert store.recovery.checkpoint == expected[name]["states"][3]["token"]  # the newest with an image
        assert said_of(store) == [
            (
                state["token"],
                state["kind"],
                state["name"],
                None if state["cookie"] is None else bytes.fromhex(state["cookie"]),
                state["commit"],
            )
            for state in expected[name]["states"]
        ]
    for file in (path / name / "checkpoints").glob("*.json"):
        assert json.loads(file.read_text())["page_size"] == 4096


@pytest.mark.parametrize("name", ["kinds", "killed"])
def test_each_opens_and_can_be_gone_back_to(states: tuple[Path, Any], name: str) -> None:
    path, expected = states
    for state in expected[name]["states"]:
        if state["kind"] == "index":
            with pytest.raises(oxidbm.FormatError, match="index"):
                oxidbm.recover(path / name, state["token"])
            continue
        with oxidbm.Store(path / name, read_only=True, checkpoint=state["token"], **SMALL) as store:
            check_content(store, state)
        oxidbm.recover(path / name, state["token"], to=path / "copy")
        with oxidbm.Store(path / "copy", **SMALL) as store:
            check_content(store, state)
        shutil.rmtree(path / "copy")
    for state in reversed(expected[name]["states"]):
        if state["kind"] != "index":
            assert oxidbm.recover(path / name, state["token"]).commit == state["commit"]
            with oxidbm.Store(path / name, **SMALL) as store:
                check_content(store, state)


@pytest.mark.parametrize("name", ["kinds", "killed"])
def test_an_index_alone_is_what_an_opening_goes_on_from(states: tuple[Path, Any], name: str) -> None:
    path, expected = states
    token = expected[name]["states"][2]["token"]
    with oxidbm.Store(path / name, **SMALL) as store:
        store.purge(token=expected[name]["states"][3]["token"])
    with oxidbm.Store(path / name, **SMALL) as store:
        assert store.recovery.checkpoint == token
        check_content(store, expected[name])


@pytest.mark.parametrize("name", ["kinds", "killed"])
def test_a_backup_of_it_opens_and_is_brought_up_to_date(states: tuple[Path, Any], name: str) -> None:
    path, expected = states
    backup = expected[name]["backup"]
    with oxidbm.Store(path / f"{name} backup", read_only=True, **SMALL) as store:
        assert store.recovery.checkpoint == backup["checkpoint"] == expected[name]["states"][3]["token"]
        assert store.recovery.commit == backup["commit"]
        assert store.recovery.faults == []
        check_content(store, backup)
    with oxidbm.Store(path / name, **SMALL) as store:
        report = store.backup(path / f"{name} backup")
        assert report.bytes_kept > 0
    with oxidbm.Store(path / f"{name} backup", **SMALL) as store:
        assert store.recovery.checkpoint == report.checkpoint == backup["checkpoint"]
        check_content(store, expected[name])


@pytest.mark.parametrize("name", ["typed", "typed backup"])
def test_keys_are_tuples_and_values_floats(states: tuple[Path, Any], name: str) -> None:
    path, expected = states
    with oxidbm.Store(path / name, key=codecs.Tuple(str, int), value=float, ordered=True, **SMALL) as store:
        assert store.recovery.checkpoint is not None
        assert {f"{text},{number}": value for (text, number), value in store.items()} == expected["typed"]
        assert list(store.range()) == sorted(store.items())
        assert store.check() == []


def test_a_log_opens_at_each_commit_and_its_reader_goes_on(states: tuple[Path, Any]) -> None:
    path, expected = states
    said = {name: [tuple(pair) for pair in expected["log"][name]] for name in ("entries", "backup")}
    earlier = expected["log"]["earlier"]
    for name, place in (("entries", "log"), ("backup", "log backup")):
        with oxidbm.Log(path / place, codec=str, memory="1MiB") as log:
            assert list(log) == said[name]
            assert [log.read(address) for address, _ in said[name]] == [entry for _, entry in said[name]]
            assert log.check() == []
            assert log.cookie.hex() == expected["log"]["cookie"]
            with log.reader("steady") as reader:
                assert list(reader) == said[name]
        with oxidbm.Log(path / place, codec=str, read_only=True, commit=earlier["number"]) as log:
            assert list(log) == [tuple(pair) for pair in earlier["entries"] if pair[0] >= log.begin]
            assert log.begin == said[name][0][0]
            assert log.cookie == b"first"


def test_a_backup_of_a_log_is_brought_up_to_date(states: tuple[Path, Any]) -> None:
    path, expected = states
    with oxidbm.Log(path / "log", codec=str, memory="1MiB") as log:
        assert log.backup(path / "log backup").bytes_kept > 0
    with oxidbm.Log(path / "log backup", codec=str, memory="1MiB") as log:
        assert list(log) == [tuple(pair) for pair in expected["log"]["entries"]]


def test_a_queue_hands_out_what_was_not_acknowledged(states: tuple[Path, Any]) -> None:
    path, expected = states
    with oxidbm.Queue(path / "queue", codec=str, memory="1MiB") as queue:
        assert queue.check() == []
        assert len(queue) == len(expected["queue"])
        found = [(message.item, message.attempts) for message in queue.messages(timeout=0) if message.ack()]
        assert found == [tuple(pair) for pair in expected["queue"]]
    with oxidbm.Queue(path / "queue", codec=str, memory="1MiB") as queue:
        assert drain(queue) == []
