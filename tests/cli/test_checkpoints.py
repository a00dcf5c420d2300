"""The commands for checkpoints, looking at one with the commands that read, and the bar of a recovery."""

import base64
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from tests.cli.helpers import contents, invoke

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """A store with a checkpoint of what was before."""
    path = tmp_path / "prices"
    with Store(path, durability="manual") as store:
        store["tea"] = "10"
        with store.session("importer") as session:
            session.upsert("coffee", "20")
        store.checkpoint(name="before\nthe sale")
        store["tea"] = "8"
        store["cake"] = "30"
        store.checkpoint("log")
    return path


def listed(path: Path) -> list[dict[str, Any]]:
    """Return what the command lists."""
    return [json.loads(line) for line in invoke("checkpoints", path, "--json").stdout.splitlines()]


def test_listing(prices: Path) -> None:
    first, second = listed(prices)
    assert (first["kind"], first["name"], first["automatic"]) == ("fold-over", "before\nthe sale", False)
    assert (second["kind"], second["name"], second["bytes"]) == ("log", None, 0)
    title, *lines = invoke("checkpoints", prices).stdout.splitlines()
    assert title.split() == ["token", "kind", "time", "size", "commit", "name"]
    assert [line.split()[0] for line in lines] == [first["token"], second["token"]]
    assert lines[0].endswith("      1  before\\nthe sale")
    assert lines[1] == lines[1].rstrip()
    with Store(prices, read_only=True) as store:
        assert [known.token for known in store.checkpoints()] == [first["token"], second["token"]]
    name = prices / "checkpoints" / f"{first['token']}.json"
    name.write_text("{}")
    result = invoke("checkpoints", prices, "--json")
    assert len(result.stdout.splitlines()) == 1
    assert str(name) in result.stderr
    result = invoke("get", prices, "tea")
    assert (result.exit_code, result.stdout) == (0, "8\n")
    assert result.stderr.startswith("oxidbm: passed over a checkpoint: ")
    assert len(result.stderr.splitlines()) == 1
    result = invoke("check", prices)
    assert (result.exit_code, result.stderr) == (5, "")
    assert first["token"] in result.stdout
    assert invoke("purge", prices, first["token"]).stdout == f"{first['token']}\n"
    assert invoke("check", prices).exit_code == 0


def test_making_and_purging(prices: Path) -> None:
    made = json.loads(invoke("checkpoint", prices, "--kind", "log", "--name", "a name", "--json").stdout)
    assert (made["kind"], made["name"]) == ("log", "a name")
    text = invoke("checkpoint", prices).stdout
    assert text.startswith(f"{prices}: fold-over checkpoint {made['token'].partition('-')[0]}-")
    tokens = [known["token"] for known in listed(prices)]
    assert len(tokens) == 4
    result = invoke("checkpoint", prices, "--kind", "paper")
    assert (result.exit_code, "not 'paper'" in result.stderr) == (2, True)
    for arguments in ([], [made["token"], "--keep", 1]):
        assert invoke("purge", prices, *arguments).exit_code == 2
    assert invoke("purge", prices, "none").exit_code == 3
    assert invoke("purge", prices, made["token"]).stdout == f"{made['token']}\n"
    tokens.remove(made["token"])
    assert invoke("purge", prices, "--keep", 1).stdout.split() == tokens[:2]
    assert invoke("purge", prices, "--keep", 0).stdout.split() == tokens[2:]
    result = invoke("checkpoints", prices)
    assert (result.stdout, result.stderr) == ("", f"{prices} has no checkpoints\n")
    with Store(prices):
        for command in (("checkpoint",), ("purge", "--keep", 1)):
            assert invoke(command[0], prices, *command[1:]).exit_code == 4


def test_cookies_and_levels(prices: Path) -> None:
    assert [known["cookie"] for known in listed(prices)] == [None, None]
    assert invoke("checkpoints", prices).stdout.splitlines()[0].endswith("  name")
    made = json.loads(invoke("checkpoint", prices, "--cookie", "line 7", "--level", 19, "--json").stdout)
    assert made["cookie"] == "line 7"
    raw = os.fsdecode(b"\xff\n" + b"x" * 40)
    assert invoke("checkpoint", prices, "--name", "a b", "--cookie", raw, "--level", -100).exit_code == 0
    cookies = [known["cookie"] for known in listed(prices)]
    assert cookies == [None, None, "line 7", {"base64": base64.b64encode(os.fsencode(raw)).decode()}]
    title, first, _, third, fourth = invoke("checkpoints", prices).stdout.splitlines()
    assert title.split()[-2:] == ["name", "cookie"]
    assert first.endswith("before\\nthe sale")
    assert third.endswith("  line 7")
    assert fourth.endswith("a b               \\xff\\n" + "x" * 30 + "...")
    for wrong in (("--level", 20), ("--level", "fast"), ("--cookie", "x" * 65537)):
        result = invoke("checkpoint", prices, *wrong)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.strip()
    assert len(listed(prices)) == 4


def test_snapshots(prices: Path) -> None:
    made = json.loads(invoke("checkpoint", prices, "--kind", "snapshot", "--json").stdout)
    assert (made["kind"], made["base"]) == ("snapshot", None)
    assert "builds on" not in invoke("checkpoints", prices).stdout
    alone = json.loads(invoke("checkpoint", prices, "--kind", "incremental", "--json").stdout)
    assert (alone["kind"], alone["base"]) == ("snapshot", None)  # a process of its own has none to build on
    said = invoke("checkpoint", prices, "--kind", "incremental")
    assert said.stdout.startswith(f"{prices}: snapshot checkpoint ")
    assert said.stderr.startswith("oxidbm: snapshot and not incremental: ")
    assert invoke("purge", prices, said.stdout.split()[3]).exit_code == 0
    with Store(prices, durability="manual") as store:
        store["tea"] = "7"
        whole = store.checkpoint("snapshot", name="a name")
        store["tea"] = "6"
        part = store.checkpoint("incremental", cookie="line 9")
    first, second = listed(prices)[-2:]
    assert (first["token"], first["base"], second["base"]) == (whole.token, None, whole.token)
    lines = invoke("checkpoints", prices).stdout.splitlines()
    at = lines[0].index("builds on")
    assert lines[0][at:].split() == ["builds", "on", "cookie"]
    assert lines[-2][at:] == ""
    assert lines[-1][at:].split() == [whole.token, "line", "9"]
    result = invoke("purge", prices, whole.token)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"builds on {whole.token}: purge it first" in result.stderr
    removed = invoke("purge", prices, "--keep", 1).stdout.split()
    assert {known["token"] for known in listed(prices)} == {whole.token, part.token}
    assert {made["token"], alone["token"]} < set(removed)
    assert invoke("get", prices, "tea", "--checkpoint", part.token).stdout == "6\n"
    assert invoke("get", prices, "tea", "--checkpoint", whole.token).stdout == "7\n"
    assert invoke("recover", prices, whole.token, "--yes").exit_code == 0
    assert [known["token"] for known in listed(prices)] == [whole.token]
    assert invoke("get", prices, "tea").stdout == "7\n"
    assert invoke("purge", prices, whole.token).stdout == f"{whole.token}\n"
    assert invoke("check", prices).exit_code == 0


def test_looking_back(prices: Path) -> None:
    token = listed(prices)[0]["token"]

    def seen(*arguments: str) -> str:
        with_one = invoke(*arguments, "--checkpoint", token)
        assert (with_one.exit_code, with_one.stderr) == (0, "")
        assert with_one.stdout != invoke(*arguments).stdout
        return str(with_one.stdout)

    with Store(prices) as store:  # also beside a writer
        store["tea"] = "5"
        with store.session("importer") as session:
            session.upsert("coffee", "25")
        assert seen("get", str(prices), "tea") == "10\n"
        assert seen("keys", str(prices)).split() == ["tea", "coffee"]
        assert [line.split()[1:] for line in seen("scan", str(prices)).splitlines()] == [
            ["tea", "10"],
            ["coffee", "20"],
        ]
        assert len(seen("history", str(prices), "tea").splitlines()) == 1
        assert json.loads(seen("dump", str(prices)).splitlines()[0]) == {"key": "tea", "value": "10"}
        store.sync()
        assert json.loads(seen("sessions", str(prices), "--json"))["serial"] == 1
        assert json.loads(seen("stat", str(prices), "--json"))["keys"] == 2
    result = invoke("get", prices, "tea", "--checkpoint", "none")
    assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1)


def test_stat_says_what_opening_did(prices: Path) -> None:
    token = listed(prices)[0]["token"]
    found = json.loads(invoke("stat", prices, "--json").stdout)
    assert found["recovery"]["checkpoint"] == token
    assert found["recovery"]["faults"] == []
    assert (found["checkpoints"], found["recovery"]["records"] > 0) == (2, True)
    lines = [line.split() for line in invoke("stat", prices, "--all").stdout.splitlines()]
    assert ["recovered", "from", token] in lines
    assert ["replayed", "records", str(found["recovery"]["records"])] in lines


def test_going_back(prices: Path, tmp_path: Path) -> None:
    first, second = listed(prices)
    now = contents(prices)
    result = invoke("recover", prices, first["token"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "This deletes what was written since, " in result.stderr
    assert f"{prices} goes back to the checkpoint {first['token']}" in result.stderr
    assert "and 1 newer checkpoint. Say --yes" in result.stderr
    assert contents(prices) == now
    result = invoke("recover", prices, first["token"], "--to", tmp_path / "copy")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{tmp_path / 'copy'}: commit {first['commit']}, ")
    assert contents(tmp_path / "copy") == {b"tea": b"10", b"coffee": b"20"}
    result = invoke("recover", prices, "--to", tmp_path / "newest", "--json")
    assert json.loads(result.stdout)["commit_sequence"] == second["commit"]
    with Store(prices):
        assert invoke("recover", prices, first["token"], "--yes").exit_code == 4
        assert invoke("recover", prices, first["token"], "--to", tmp_path / "beside").exit_code == 0
    result = invoke("recover", prices, first["token"], "--yes", "--json")
    assert json.loads(result.stdout)["commit"] == first["commit"]
    assert contents(prices) == {b"tea": b"10", b"coffee": b"20"}
    assert [known["token"] for known in listed(prices)] == [first["token"]]
    assert invoke("recover", prices, "--yes").stdout.startswith(f"{prices}: commit {first['commit']}; 0 B of the log")
    assert invoke("recover", prices, "none", "--yes").exit_code == 3
    assert invoke("recover", tmp_path / "nowhere", "--yes").exit_code == 3
    assert invoke("checkpoints", tmp_path / "nowhere").exit_code == 3


def test_a_name_is_no_token(prices: Path, tmp_path: Path) -> None:
    first, second = listed(prices)
    now = contents(prices)
    only = f"'before\\nthe sale' is the name of a checkpoint and not its token, which is {first['token']}\n"
    for arguments in (
        ("recover", prices, first["name"], "--yes"),
        ("recover", prices, first["name"], "--to", tmp_path / "copy"),
        ("get", prices, "tea", "--checkpoint", first["name"]),
    ):
        result = invoke(*arguments)
        assert (result.exit_code, result.stdout) == (3, "")
        assert result.stderr.endswith(only)
    result = invoke("recover", prices, "auto 3", "--yes")
    there = f"there are: {first['token']} with the name 'before\\nthe sale', {second['token']}\n"
    assert result.stderr.endswith(f"no checkpoint of the token 'auto 3'; {there}")
    third = json.loads(invoke("checkpoint", prices, "--name", first["name"], "--json").stdout)
    result = invoke("recover", prices, first["name"], "--yes")
    assert f"is the name of 2 checkpoints and no token; theirs are {first['token']}, {third['token']}" in result.stderr
    assert contents(prices) == now
    assert not (tmp_path / "copy").exists()


class Terminal:
    """A stdin at which somebody sits."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        """Return whether somebody sits there."""
        return True

    def readline(self) -> str:
        """Return what was typed."""
        return self.answer


@pytest.mark.parametrize(
    ("answer", "yes"), [("y\n", True), ("YES\n", True), ("\n", False), ("no\n", False), ("", False)]
)
def test_asking_before_anything_is_deleted(
    prices: Path, answer: str, yes: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from oxidbm.cli import checkpoints, failures

    token = listed(prices)[0]["token"]
    now = contents(prices)
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    if yes:
        checkpoints.recover(prices, token)
        assert contents(prices) != now
    else:
        with pytest.raises(failures.Declined, match="nothing was changed"):
            checkpoints.recover(prices, token)
        assert contents(prices) == now
    assert capsys.readouterr().err.endswith("Go on? [y/N] ")


def test_going_back_to_an_automatic_one_says_so(tmp_path: Path) -> None:
    """Without a token the newest state counts, which after a close is as a rule the end itself."""
    path = tmp_path / "store"
    with Store(path, durability="manual") as store:
        store.update((f"{number}", "old") for number in range(5000))
        named = store.checkpoint(name="before")
        store.update((f"{number}", "new") for number in range(5000))
    automatic = listed(path)[-1]
    assert automatic["automatic"]
    result = invoke("recover", path)
    assert f"goes back to the automatic checkpoint {automatic['token']}" in result.stderr
    assert invoke("recover", path, "--yes").exit_code == 0
    assert contents(path)[b"7"] == b"new"
    assert oxidbm.recover(path, named.token).checkpoint == named.token
    assert contents(path)[b"7"] == b"old"


def test_a_store_that_does_not_open_is_listed_and_goes_back(prices: Path) -> None:
    first = listed(prices)[0]
    (segment,) = (prices / "log").iterdir()
    data = bytearray(segment.read_bytes())
    data[first["end"] + 40] ^= 1
    segment.write_bytes(data)
    assert invoke("get", prices, "tea").exit_code == 5
    assert next(known["token"] for known in listed(prices)) == first["token"]
    assert invoke("recover", prices, first["token"], "--yes").exit_code == 0
    assert invoke("get", prices, "tea").stdout == "10\n"


def test_the_bar_shows_what_its_source_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from oxidbm.cli import bar

    monkeypatch.setattr(bar, "DELAY_SECONDS", 0.0)
    monkeypatch.setattr(bar, "REDRAW_SECONDS", 0.001)
    asked = threading.Semaphore(0)

    def half() -> tuple[int, int]:
        asked.release()
        return 2, 4

    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere, force_terminal=True, record=True, width=80)
        shown = bar.Bar(console, "recovering", None, half)
        shown.start()
        for _ in range(3):
            assert asked.acquire(timeout=300)
        shown.end()
    text = console.export_text()
    assert "recovering" in text
    assert "50%" in text


def test_what_is_over_soon_shows_no_bar() -> None:
    from rich.console import Console

    from oxidbm.cli import bar

    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere, force_terminal=True, record=True, width=80)
        shown = bar.Bar(console, "recovering", None, None)
        shown.start()
        shown.end()
    assert console.export_text() == ""


TOKENS = {
    "empty": "",
    "a path upwards": "../../prices",
    "a file": "checkpoints/000000000001-00000000.json",
    "another one's": "000000000001-00000000",
    "long": "9" * 100_000,
    "digits of another script": "\uff10" * 12 + "-00000000",
    "lines and escapes": "a\nb\x1b[31mred",
    "no text": "\udcff",
}


@pytest.mark.parametrize("what", TOKENS)
def test_a_token_that_is_none(prices: Path, what: str) -> None:
    before = contents_of_files(prices)
    token = TOKENS[what]
    commands: list[list[object]] = [
        ["recover", prices, "--yes", "--", token],
        ["recover", prices, "--to", prices.with_name("new"), "--", token],
        ["get", prices, "tea", f"--checkpoint={token}"],
        ["purge", prices, "--", token],
    ]
    for arguments in commands:
        result = invoke(*arguments)
        assert result.exit_code == 3
        assert result.stdout == ""
        assert result.stderr.startswith("oxidbm: ")
        assert result.stderr.removesuffix("\n").isprintable()  # and so it is one line
        assert len(result.stderr) < 500
        assert contents_of_files(prices) == before
        assert not prices.with_name("new").exists()


def contents_of_files(path: Path) -> dict[str, bytes]:
    """Return what a store's files hold, but for who had it open last, and whether it was closed."""
    files = (file for file in path.rglob("*") if file.is_file() and file.name != "LOCK")
    return {str(file): file.read_bytes() for file in files}


@pytest.mark.parametrize("name", ["lines\nand\rmore", "\x1b[31mred", "\u202egnp"])
def test_a_path_that_would_steer_the_terminal(tmp_path: Path, name: str) -> None:
    for command in ("stat", "checkpoints", "checkpoint", "recover", "purge"):
        result = invoke(command, tmp_path / name, *(["--keep", "1"] if command == "purge" else []))
        assert result.exit_code == 3
        assert result.stderr.removesuffix("\n").isprintable()
