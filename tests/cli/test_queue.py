"""`oxidbm queue`: what it shows, also beside the process that has the queue open, and what it ends with."""

import json
from pathlib import Path

import pytest

import oxidbm
from tests.cli.helpers import invoke
from tests.facade.queues import flip

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")


def test_beside_the_process_that_has_it(tmp_path: Path) -> None:
    path = tmp_path / "q"
    with oxidbm.Queue(path, codec="json", durability="manual") as queue:
        queue.put_many([{"n": number} for number in range(5)])
        held = queue.take()
        queue.take().ack()
        queue.take().nack(delay=3600)
        queue.commit()
        queue.put({"n": "not committed"})
        shown = invoke("queue", "peek", path).stdout.splitlines()
        assert [line.split("\t")[1:] for line in shown] == [
            ["held", "1", '{"n": 0}'],
            ["delayed", "1", '{"n": 2}'],
            ["waiting", "0", '{"n": 3}'],
            ["waiting", "0", '{"n": 4}'],
        ]
        lines = invoke("queue", "peek", path, "-n", "1", "--json").stdout.splitlines()
        assert [json.loads(line) for line in lines] == [
            {"id": held.id, "state": "held", "attempts": 1, "item": {"n": 0}}
        ]
        stat = json.loads(invoke("queue", "stat", path, "--json").stdout)
        assert (stat["waiting"], stat["in_flight"], stat["delayed"], stat["skipped"]) == (3, 1, 1, 0)
        assert 0 <= stat["oldest_seconds"] < 3600
        assert "maxsize" not in stat
        text = invoke("queue", "stat", path).stdout.splitlines()
        assert [line.split() for line in text[:3]] == [["waiting", "3"], ["in", "flight", "1"], ["delayed", "1"]]
        done = invoke("queue", "check", path)
        assert (done.exit_code, done.stdout) == (0, f"{path}: 4 items, no faults\n")


def test_damage(tmp_path: Path) -> None:
    path = tmp_path / "q"
    with oxidbm.Queue(path, codec=str) as queue:
        queue.put_many(["item a", "item b", "item c"])
    flip(path, b"item b")
    for command in ("stat", "peek"):
        done = invoke("queue", command, path)
        assert done.exit_code == 5
        assert f"`oxidbm queue check {path}` lists all faults" in done.stderr
    assert [line.split("\t")[3] for line in invoke("queue", "peek", "--skip", path).stdout.splitlines()] == [
        "item a",
        "item c",
    ]
    assert json.loads(invoke("queue", "stat", "--skip", path, "--json").stdout)["skipped"] == 1
    done = invoke("queue", "check", path)
    assert done.exit_code == 5
    assert "checksum" in done.stdout
    assert json.loads(invoke("queue", "check", path, "--json").stdout)["items"] == 2


def test_a_queue_that_does_not_open_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "q"
    with oxidbm.Queue(path, codec=str) as queue:
        queue.put_many(["item a", "item b"])
    with open(path / "CLEAN", "r+b") as file:
        file.write(b"?")
    done = invoke("queue", "peek", path)
    assert done.exit_code == 5
    assert f"`oxidbm queue salvage {path} NEW` saves it" in done.stderr
    assert invoke("queue", "peek", "--skip", path).stdout.count("item") == 2
    assert invoke("queue", "stat", "--skip", path).exit_code == 0
    for command in ("queue", "log"):
        done = invoke(command, "salvage", path, tmp_path / command)
        assert done.exit_code == 0
        assert f"{tmp_path / command}: 2 entries" in done.stdout
        assert json.loads(invoke("queue", "check", tmp_path / command, "--json").stdout) == {"items": 2, "faults": []}
    done = invoke("queue", "backup", tmp_path / "queue", tmp_path / "copy", "--json")
    assert json.loads(done.stdout)["path"] == str(tmp_path / "copy")
    assert str(tmp_path / "copy") in invoke("queue", "backup", tmp_path / "queue", tmp_path / "copy").stdout
    with oxidbm.Queue(tmp_path / "copy", codec=str) as queue:
        assert queue.get() == "item a"


def test_an_item_that_the_codec_did_not_write(tmp_path: Path) -> None:
    path = tmp_path / "q"
    with oxidbm.Queue(path, codec="json") as queue:
        queue.log.append(b"\0{")
    assert invoke("queue", "peek", path).stdout.split("\t")[3] == "{\n"
    assert json.loads(invoke("queue", "peek", "--json", path).stdout)["item"] == {"base64": "ew=="}


def test_other_things_at_the_path(tmp_path: Path) -> None:
    oxidbm.Queue(tmp_path / "queue").close()
    oxidbm.Log(tmp_path / "log").close()
    for kind, arguments in (("queue", ["check"]), ("queue", ["log", "stat"]), ("log", ["queue", "stat"])):
        done = invoke(*arguments, tmp_path / kind)
        assert done.exit_code == 6
        assert f"`oxidbm {kind} --help`" in done.stderr
    assert invoke("queue", "stat", tmp_path / "none").exit_code == 3
