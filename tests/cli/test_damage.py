"""check and salvage of stores that do not open: exit codes, what is printed, and what stays as it was."""

import json
from pathlib import Path

import pytest

from tests.cli.helpers import ODD_ITEMS, contents, files, invoke, make

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


def test_salvage_refuses_with_a_sentence(damaged: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    done = invoke("salvage", damaged, tmp_path / "full")
    assert (done.exit_code, done.stderr.startswith(f"oxidbm: {tmp_path / 'full'} is there already")) == (6, True)
    done = invoke("salvage", tmp_path / "nowhere", tmp_path / "saved")
    assert done.exit_code == 3
