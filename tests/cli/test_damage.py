"""check and salvage of stores that do not open: exit codes, what is printed, and what stays as it was."""

import json
from pathlib import Path

import pytest

from oxidbm import Store, salvage
from oxidbm.codecs import RAW
from tests.cli.helpers import ODD_ITEMS, contents, files, invoke, make
from tests.inside import abandon

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A store that has lost a byte of its first record, and its mark of a clean end."""
    path = make(tmp_path / "damaged", {b"first": b"1", **ODD_ITEMS})
    with (path / "log" / "0000000000.seg").open("r+b") as file:
        file.seek(64 + 24)
        file.write(b"\xff")
    (path / "CLEAN").write_bytes(b"")
    return path


def test_check_prints_every_fault(damaged: Path) -> None:
    before = list(files(damaged))
    done = invoke("check", damaged)
    assert done.exit_code == 5
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{damaged / 'CLEAN'} has 0 bytes")
    assert lines[1].startswith(f"{damaged / 'log' / '0000000000.seg'} at offset 64: ")
    assert json.loads(invoke("check", damaged, "--json").stdout) == {"keys": None, "faults": lines}
    assert list(files(damaged)) == before


def test_salvage_writes_what_is_sound_and_prints_what_is_not(damaged: Path, tmp_path: Path) -> None:
    before = list(files(damaged))
    done = invoke("salvage", damaged, tmp_path / "saved")
    assert done.exit_code == 0
    assert list(files(damaged)) == before
    assert contents(tmp_path / "saved") == ODD_ITEMS
    assert f"{tmp_path / 'saved'}: 8 keys of 8 sound records\nlost: 40 B in 1 range\n" in done.stdout
    assert "missing: 1 record that commits have counted\nlast commit that counts: none" in done.stdout


def test_salvage_as_json(damaged: Path, tmp_path: Path) -> None:
    (damaged / "STORE").unlink()
    done = invoke("salvage", damaged, tmp_path / "saved", "--json", "--key-codec", "str", "--value-codec", "my:codec")
    report = json.loads(done.stdout)
    assert report["keys"] == report["copied"] == len(ODD_ITEMS)
    assert (report["key_codec"], report["value_codec"]) == ("str", "my:codec")
    assert [(lost["file"], lost["offset"], lost["size"]) for lost in report["lost"]] == [
        (str(damaged / "log" / "0000000000.seg"), 64, 40)
    ]


def test_salvage_says_that_a_snapshot_has_more(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = Store(path, durability="manual")
    store["a"] = "in the log"
    store.sync()
    store["a"] = "in a snapshot"
    made = store.checkpoint("snapshot")
    abandon(store)
    done = invoke("salvage", path, tmp_path / "saved")
    assert done.exit_code == 0
    first, *_ = done.stdout.splitlines()
    assert first.startswith(f"{path / 'checkpoints'}: the snapshot {made.token} is of commit {made.commit}, ")
    assert f"`oxidbm recover {path} {made.token} --to NEW`" in first
    assert invoke("recover", path, made.token, "--to", tmp_path / "new").exit_code == 0
    assert contents(tmp_path / "new") == {b"a": b"in a snapshot"}
    assert contents(tmp_path / "saved") == {b"a": b"in the log"}
    assert json.loads(invoke("salvage", path, tmp_path / "again", "--json").stdout)["newer_snapshot"] == made.token


def test_salvage_says_that_codecs_were_not_known(tmp_path: Path) -> None:
    with Store(tmp_path / "typed", key=str, value=int) as store:
        store.update({"a": 1, "b": 2})
    whole = invoke("salvage", tmp_path / "typed", tmp_path / "whole")
    assert "as bytes" not in whole.stdout
    (tmp_path / "typed" / "STORE").unlink()
    done = invoke("salvage", tmp_path / "typed", tmp_path / "bytes")
    assert f"{tmp_path / 'bytes'}: keys and values were taken as bytes, since STORE" in done.stdout
    assert f"delete {tmp_path / 'bytes'} and salvage again with its codecs: --key and --value" in done.stdout
    half = salvage(tmp_path / "typed", tmp_path / "half", key=str)
    assert [fault for fault in half.faults if "values were taken as bytes" in fault and "keys and" not in fault]
    known = salvage(tmp_path / "typed", tmp_path / "known", key="str", value="int")
    assert not [fault for fault in known.faults if str(tmp_path / "known") in fault]
    with Store(tmp_path / "known", key=str, value=int) as store:
        assert dict(store) == {"a": 1, "b": 2}


def test_salvage_tells_a_codec_that_is_unknown_here(damaged: Path, tmp_path: Path) -> None:
    (damaged / "STORE").unlink()
    done = invoke("salvage", damaged, tmp_path / "saved", "--key-codec", "Tuple", "--value-codec", "pickle")
    assert done.exit_code == 0
    assert f"{tmp_path / 'saved'}: keys are kept under the codec 'Tuple', which is unknown here; if no" in done.stdout
    assert "'pickle'" not in done.stdout
    with Store(tmp_path / "saved", read_only=True, key=RAW, value=RAW) as store:
        assert (store.key_codec, store.value_codec) == ("Tuple", "pickle")


@pytest.mark.parametrize("command", ["get", "stat", "keys", "scan", "dump", "del"])
def test_an_error_of_damage_says_what_to_do(command: str, damaged: Path) -> None:
    path = damaged.rename(damaged.with_name("a store"))
    done = invoke(command, path, *(["first"] if command in ("get", "del") else []))
    assert done.exit_code == 5
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[1] == f"`oxidbm check '{path}'` lists all faults, `oxidbm salvage '{path}' NEW` saves what is sound"


def test_salvage_refuses_with_a_sentence(damaged: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    done = invoke("salvage", damaged, tmp_path / "full")
    assert (done.exit_code, done.stderr.startswith(f"oxidbm: {tmp_path / 'full'} is there already")) == (6, True)
    done = invoke("salvage", tmp_path / "nowhere", tmp_path / "saved")
    assert done.exit_code == 3
