"""Each command's result, in text and JSON, its exit code, and every error as one sentence."""

import base64
import json
import sys
from pathlib import Path

import pytest

from oxidbm import Store, codecs, dump
from tests.cli.helpers import ODD_ITEMS, contents, files, invoke, json_line, make
from tests.inside import abandon
from tests.support import ROOT, MoreOptions
from tests.unit.helpers import push_to_disk

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")

FRUIT = {b"apple": b"red", b"banana": b"yellow", b"cherry": b"dark\nred", b"\xff": b"\x1b[31m"}


@pytest.fixture
def fruit(tmp_path: Path) -> Path:
    return make(tmp_path / "fruit", FRUIT)


def test_help_has_every_command_and_exit_code() -> None:
    from oxidbm.cli.app import COMMANDS, EXIT_CODES

    text = " ".join(invoke("--help").stdout.split())
    document = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f" {name} " in text
        assert f"\n## {name}\n" in document
        assert invoke(name, "-h").stdout == invoke(name, "--help").stdout
    for code, meaning in EXIT_CODES.items():
        assert f" {code} {meaning} " in text
        assert f"| {code} | {meaning} |" in document


def test_version() -> None:
    assert invoke("--version").stdout.startswith("oxidbm 0.")


def test_history(tmp_path: Path) -> None:
    path = tmp_path / "s"
    for value in (b"1", b"", b"\xff"):
        make(path, {b"key": value})
    lines = invoke("history", path, "key").stdout.splitlines()
    assert [line[12:16] + line[37:] for line in lines] == ["  20  \\xff", "  20  ", "  20  1"]
    found = [json.loads(line) for line in invoke("history", path, "key", "--json").stdout.splitlines()]
    assert [version["value"] for version in found] == [{"base64": "/w=="}, "", "1"]
    assert [version["time"] for version in found] == sorted((version["time"] for version in found), reverse=True)
    assert len(invoke("history", path, "a2V5", "--base64", "--limit", 2).stdout.splitlines()) == 2
    assert invoke("del", path, "key").exit_code == 0
    gone = invoke("history", path, "key")
    assert (gone.exit_code, gone.stdout) == (1, "")
    assert gone.stderr == "oxidbm: the key key has no value; --scan looks for versions from before it was deleted\n"
    lines = invoke("history", path, "key", "--scan").stdout.splitlines()
    assert [line[37:] for line in lines] == ["  (deleted)", "  \\xff", "  ", "  1"]
    gone = invoke("history", path, "other", "--scan")
    assert (gone.exit_code, gone.stderr) == (1, "oxidbm: the key other has no value\n")


def test_history_of_types(tmp_path: Path) -> None:
    for value in (1, 2**70):
        with Store(tmp_path / "s", key=str, value=int) as store:
            store["a"] = value
    lines = invoke("history", tmp_path / "s", "a").stdout.splitlines()
    assert [line[39:] for line in lines] == [str(2**70), "1"]
    with Store(tmp_path / "s", key=codecs.RAW, value=codecs.RAW) as raw:
        raw["a"] = b"no int"
    failed = invoke("history", tmp_path / "s", "a")
    assert failed.exit_code == 6
    assert "the value of the key a" in failed.stderr
    assert len(invoke("history", tmp_path / "s", "a", "--on-error", "skip").stdout.splitlines()) == 2
    assert invoke("history", tmp_path / "s", "a", "--on-error", "bytes").stdout.splitlines()[0].endswith("no int")


def test_backup(fruit: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    line = invoke("backup", fruit, copy).stdout
    assert line.startswith(f"{copy}: commit 1, ")
    assert line.endswith(" copied\n")
    assert contents(copy) == FRUIT
    make(fruit, {b"date": b"brown"})
    report = json.loads(invoke("backup", fruit, copy, "--link", "--json").stdout)
    assert (report["path"], report["commit_sequence"], report["bytes_linked"]) == (str(copy), 2, 0)
    assert contents(copy) == FRUIT | {b"date": b"brown"}
    with Store(fruit) as store:
        store.update((b"large %d" % number, bytes(1 << 20)) for number in range(20))  # more than one segment
        store[b"elder"] = b"black"
        store.sync()
        assert " linked" in invoke("backup", fruit, copy, "--link").stdout
        assert contents(copy)[b"elder"] == b"black"
        assert " kept" in invoke("backup", fruit, copy).stdout
    before = list(files(copy))
    for to, words in (
        (fruit, "is the store itself"),
        (fruit / "log", "is inside of the store"),
        (tmp_path, "no backup"),
    ):
        failed = invoke("backup", fruit, to)
        assert failed.exit_code == 6
        assert words in failed.stderr
    failed = invoke("backup", tmp_path / "nothing", copy)
    assert (failed.exit_code, list(files(copy))) == (3, before)
    with Store(copy):
        assert invoke("backup", fruit, copy).exit_code == 4


def test_backup_of_a_store_without_a_commit(tmp_path: Path) -> None:
    Store(tmp_path / "s").close()
    assert invoke("backup", tmp_path / "s", tmp_path / "b").stdout == f"{tmp_path / 'b'}: no commit: 0 B copied\n"
    assert contents(tmp_path / "b") == {}


def test_stat(fruit: Path) -> None:
    stats = json.loads(invoke("stat", fruit, "--json").stdout)
    assert (stats["keys"], stats["path"]) == (4, str(fruit))
    text = invoke("stat", fruit).stdout
    assert any(line.split() == ["keys", "4"] for line in text.splitlines())
    assert any(line.split() == ["file", "bytes", f"{stats['file_bytes']:,}", "B"] for line in text.splitlines())
    every = invoke("stat", fruit, "--all").stdout
    assert any(line.split() == ["memory", "budget", "256", "MiB"] for line in every.splitlines())
    assert any(line.split() == ["size", "limit", "none"] for line in text.splitlines())
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_stat_reads_no_more_of_the_disk_than_it_has_to(tmp_path: Path) -> None:
    """Where many blind writes are pending, and the store begins with an image, the number of keys is a range."""
    from oxidbm.cli.reading import SETTLED_MAX

    options: MoreOptions = {"memory": "8MiB", "durability": "manual", "compaction": False, "page_size": 4096}
    with Store(tmp_path / "s", **options) as store:
        for turn in (b"a", b"b"):
            push_to_disk(store)
            store.update((b"%d" % number, turn * 100) for number in range(SETTLED_MAX + 5000))
        store.checkpoint()
        pending = store.stats()["unverified"]
        abandon(store)
    assert pending > SETTLED_MAX
    stats = json.loads(invoke("stat", tmp_path / "s", "--json").stdout)
    assert stats["unverified"] == pending
    assert stats["keys"] <= SETTLED_MAX + 5000 <= stats["keys"] + pending
    (line,) = [line for line in invoke("stat", tmp_path / "s").stdout.splitlines() if line.startswith("keys")]
    assert line.split() == ["keys", f"{stats['keys']:,}", "to", f"{stats['keys'] + pending:,}"]
    (look,) = invoke("watch", tmp_path / "s", "--count", 1, "--json").stdout.splitlines()
    assert json.loads(look)["unverified"] == pending


def test_the_document_has_the_figures_that_stat_prints(fruit: Path) -> None:
    document = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    for more in ((), ("--all",)):
        sample = document.partition(f"$ oxidbm stat fruit{''.join(f' {option}' for option in more)}\n")[2]
        names = [line[:16] for line in sample.partition("```")[0].splitlines()[1:]]
        printed = [line[:16] for line in invoke("stat", fruit, *more).stdout.splitlines()]
        assert printed[printed.index("keys            ") :] == names


def test_sessions(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Store(path) as store:
        for name, count in (("a\nb", 1), ("importer", 2)):
            with store.session(name) as session:
                for number in range(count):
                    session.upsert(b"k", b"%d" % number)
        used = {known.name: known.last_used for known in store.sessions()}
    lines = [json.loads(line) for line in invoke("sessions", path, "--json").stdout.splitlines()]
    assert [(line["name"], line["serial"]) for line in lines] == [("a\nb", 1), ("importer", 2)]
    assert [line["last_used"] for line in lines] == [used["a\nb"], used["importer"]]
    first, second = invoke("sessions", path).stdout.splitlines()
    assert (first.split()[0], first.split("  ")[-1]) == ("1", "a\\nb")
    assert (second.split()[0], second.split("  ")[-1]) == ("2", "importer")
    assert invoke("sessions", path, "--forget", "importer").exit_code == 0
    again = invoke("sessions", path, "--forget", "importer")
    assert (again.exit_code, again.stderr) == (1, "oxidbm: the store has no session of the name importer\n")
    with Store(path, read_only=True) as store:
        assert [known.name for known in store.sessions()] == ["a\nb"]
    for arguments in ([], ["--forget", "a"]):
        assert invoke("sessions", tmp_path / "nowhere", *arguments).exit_code == 3
    assert not (tmp_path / "nowhere").exists()


def test_words_for_newcomers(tmp_path: Path) -> None:
    path = make(tmp_path / "one", {b"a": b"1"})
    assert invoke("check", path).stdout == f"{path}: 1 key, no faults\n"
    assert "VALUE" not in invoke("get", "--help").stdout + invoke("del", "--help").stdout
    assert "KEY and VALUE" in " ".join(invoke("set", "--help").stdout.replace("\u2502", " ").split())
    for arguments in (["set", path, "a", "-5.5"], ["get", path, "-5"]):
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert "stands behind --" in " ".join(result.stderr.replace("\u2502", " ").split())
    assert invoke("set", path, "a", "--", "-5").exit_code == 0
    assert "behind --" not in invoke("get", path, "a", "--nothing").stderr


def test_get(fruit: Path) -> None:
    assert invoke("get", fruit, "cherry").stdout_bytes == b"dark\nred\n"
    assert invoke("get", fruit, "cherry", "--raw").stdout_bytes == b"dark\nred"
    assert json.loads(invoke("get", fruit, "apple", "--json").stdout) == {"key": "apple", "value": "red"}
    odd = invoke("get", fruit, "/w==", "--base64", "--json")
    assert json.loads(odd.stdout) == {"key": {"base64": "/w=="}, "value": "\x1b[31m"}


@pytest.mark.parametrize("arguments", [("get", "melon"), ("del", "melon"), ("del", "apple", "melon")])
def test_a_key_without_a_value(fruit: Path, arguments: tuple[str, ...]) -> None:
    result = invoke(arguments[0], fruit, *arguments[1:])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "melon" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert (b"apple" in contents(fruit)) == ("apple" not in arguments)


def test_set_and_del(tmp_path: Path) -> None:
    path = tmp_path / "new"
    assert invoke("set", path, "a", "\u00e9").exit_code == 0
    assert invoke("set", path, "b", stdin=b"\x00\xff\n").exit_code == 0
    assert invoke("set", path, base64.b64encode(b"\xfe").decode(), "AA==", "--base64").exit_code == 0
    assert contents(path) == {b"a": "\u00e9".encode(), b"b": b"\x00\xff\n", b"\xfe": b"\x00"}
    assert invoke("del", path, "a", "b").exit_code == 0
    assert contents(path) == {b"\xfe": b"\x00"}


def test_arguments_that_are_not_base64(fruit: Path) -> None:
    result = invoke("get", fruit, "?", "--base64")
    assert (result.exit_code, result.stderr) == (2, "oxidbm: '?' is not valid base64\n")


def test_keys(fruit: Path) -> None:
    assert invoke("keys", fruit).stdout.splitlines() == ["apple", "banana", "cherry", "\\xff"]
    assert invoke("keys", fruit, "--prefix", "b").stdout == "banana\n"
    assert invoke("keys", fruit, "--limit", 2).stdout == "apple\nbanana\n"
    lines = invoke("keys", fruit, "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == ["apple", "banana", "cherry", {"base64": "/w=="}]


def test_scan(fruit: Path) -> None:
    with Store(fruit) as store:
        del store["apple"]
    lines = invoke("scan", fruit).stdout.splitlines()
    assert [line.split(None, 1)[1] for line in lines] == ["banana  yellow", "cherry  dark\\nred", "\\xff  \\x1b[31m"]
    records = [json.loads(line) for line in invoke("scan", fruit, "--all", "--json").stdout.splitlines()]
    assert [record["key"] for record in records if record["tombstone"]] == ["apple"]
    assert invoke("scan", fruit, "--all").stdout.splitlines()[-1].endswith("  apple  (deleted)")
    second = records[1]
    assert second["key"] == "banana"
    (only,) = invoke("scan", fruit, "--start", second["address"], "--limit", 1, "--json").stdout.splitlines()
    assert json.loads(only) == second
    assert invoke("scan", fruit, "--stop", second["address"]).stdout == ""


def test_check_and_a_damaged_store(fruit: Path) -> None:
    assert invoke("check", fruit).stdout == f"{fruit}: 4 keys, no faults\n"
    assert json.loads(invoke("check", fruit, "--json").stdout) == {"keys": 4, "faults": []}
    segment = next(path for path in sorted((fruit / "log").iterdir()) if path.stat().st_size)
    data = segment.read_bytes()
    place = data.index(b"yellow")
    segment.write_bytes(data[:place] + b"YELLOW" + data[place + 6 :])
    for command in ("check", "stat", "keys"):
        result = invoke(command, fruit)
        assert result.exit_code == 5
        assert segment.name in result.stderr + result.stdout


@pytest.mark.parametrize("command", ["reorganize", "compact"])
def test_space_is_given_back(tmp_path: Path, command: str) -> None:
    path = tmp_path / "store"
    with Store(path, memory="1MiB", page_size="4KiB", compaction=False) as store:
        for round_number in range(3):
            for number in range(200):
                store[b"%d" % number] = bytes([round_number]) * 3000
            store.sync()
    size = sum(file.stat().st_size for file in (path / "log").iterdir())
    result = invoke(command, path)
    assert result.exit_code == 0
    assert sum(file.stat().st_size for file in (path / "log").iterdir()) < size / 2
    assert " before, " in result.stdout
    assert len(contents(path)) == 200


def test_compact_takes_limits(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Store(path, memory="1MiB", page_size="4KiB", compaction=False) as store:
        for _ in range(3):
            store[b"key"] = bytes(3000)
            store.sync()
    limits = ("--timeout", "60", "--max-bytes", "1GiB", "--rate", "1GiB")
    assert invoke("compact", path, "--dead", "0.95", *limits).exit_code == 0
    assert invoke("compact", path, "--dead", "0", *limits).exit_code == 0
    for wrong in (("--dead", "1"), ("--rate", "fast"), ("--timeout", "-1"), ("--max-bytes", "0")):
        result = invoke("compact", path, *wrong)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize("form", ["json", "binary"])
def test_dump_and_load_come_back_exactly(tmp_path: Path, form: str) -> None:
    store = make(tmp_path / "first", ODD_ITEMS)
    piped = invoke("dump", store, "--format", form)
    result = invoke("dump", store, "--format", form, "-o", tmp_path / "file")
    assert result.stderr == f"8 items written to {tmp_path / 'file'}\n"
    assert (tmp_path / "file").read_bytes() == piped.stdout_bytes
    assert invoke("load", tmp_path / "second", tmp_path / "file").exit_code == 0
    assert invoke("load", tmp_path / "third", stdin=piped.stdout_bytes).stderr.startswith("8 items loaded")
    assert contents(tmp_path / "second") == contents(tmp_path / "third") == ODD_ITEMS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "first", "second", "third"]


def test_a_bad_line_is_named_and_a_mended_file_loads(tmp_path: Path) -> None:
    lines = [json_line(b"%d" % number, b"v") for number in range(5)]
    bad = tmp_path / "bad"
    bad.write_bytes(b"".join([*lines[:3], b"{]\n", *lines[3:]]))
    result = invoke("load", tmp_path / "store", bad)
    assert result.exit_code == 6
    assert result.stderr.startswith("oxidbm: line 4: it is not JSON")
    assert result.stderr.endswith("; loaded before it: 3 items\n")
    assert sorted(contents(tmp_path / "store")) == [b"0", b"1", b"2"]
    bad.write_bytes(b"".join(lines))
    assert invoke("load", tmp_path / "store", bad).exit_code == 0
    assert len(contents(tmp_path / "store")) == 5


@pytest.mark.parametrize("was_there", [False, True])
def test_a_load_that_stored_nothing_takes_back_the_store_it_made(tmp_path: Path, was_there: bool) -> None:
    path = tmp_path / "store"
    if was_there:
        path.mkdir(mode=0o700)
    result = invoke("load", path, stdin=b'{"key": "a", "value": 1}\n')
    assert (result.exit_code, len(result.stderr.splitlines())) == (6, 1)
    assert [found.name for found in tmp_path.rglob("*")] == ["store"] * was_there
    assert not was_there or path.stat().st_mode & 0o777 == 0o700
    typed = b'{"oxidbm": 2, "keys": "str", "values": "int"}\n{"key": "a", "value": 1}\n'
    assert invoke("load", path, stdin=typed).exit_code == 0
    assert invoke("get", path, "a").stdout == "1\n"


def test_a_load_that_failed_leaves_stores_of_before_and_items(tmp_path: Path) -> None:
    empty = make(tmp_path / "empty", {})
    before = [(name, data) for name, data, _ in files(empty) if not name.endswith(("LOCK", "CLEAN"))]
    assert invoke("load", empty, stdin=b"[\n").exit_code == 6
    assert [(name, data) for name, data, _ in files(empty) if not name.endswith(("LOCK", "CLEAN"))] == before
    assert invoke("load", tmp_path / "some", stdin=json_line(b"a", b"1") + b"[\n").exit_code == 6
    assert contents(tmp_path / "some") == {b"a": b"1"}
    file = tmp_path / "file"
    file.write_bytes(b"mine")
    assert invoke("load", file, stdin=b"[\n").exit_code == 6
    assert file.read_bytes() == b"mine"


def test_an_item_too_large_for_the_memory_is_named(tmp_path: Path) -> None:
    data = json_line(b"a", b"1") + json_line(b"b", b"2" * 1_000_000)
    result = invoke("load", tmp_path / "store", "--memory", "1MiB", stdin=data)
    assert result.exit_code == 6
    assert result.stderr.startswith("oxidbm: item 2 does not fit: ")
    assert contents(tmp_path / "store") == {b"a": b"1"}


def test_a_dump_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make(tmp_path / "store", FRUIT)
    (tmp_path / "file").write_bytes(b"old")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device", "file")

    monkeypatch.setattr(dump, "write_json_lines", fail)
    result = invoke("dump", store, "-o", tmp_path / "file")
    assert (result.exit_code, result.stderr) == (7, "oxidbm: file: No space left on device\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "store"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_watch(fruit: Path) -> None:
    result = invoke("watch", fruit, "--count", 3, "--interval", 0.01, "--json")
    looks = [json.loads(line) for line in result.stdout.splitlines()]
    assert [look["keys"] for look in looks] == [4, 4, 4]
    assert looks[0]["time"] < looks[2]["time"]
    text = invoke("watch", fruit, "--count", 2, "--interval", 0.01).stdout  # no terminal: each look as it comes
    assert sum(line.split() == ["keys", "4"] for line in text.splitlines()) == 2
    assert text.endswith("\n")


def test_bench(tmp_path: Path) -> None:
    result = json.loads(invoke("bench", "--items", 50, "--directory", tmp_path, "--json").stdout)
    assert [size["value_bytes"] for size in result["results"]] == [16, 128, 1024]
    assert all(size[name]["get_ns"] > 0 for size in result["results"] for name in ("oxidbm", "dict"))
    assert "oxidbm" in invoke("bench", "--items", 50, "--directory", tmp_path).stdout
    assert list(tmp_path.iterdir()) == []


def test_convert(tmp_path: Path) -> None:
    import dbm.dumb

    with dbm.dumb.open(str(tmp_path / "old"), "n") as database:
        database[b"a"] = b"1"
    result = invoke("convert", tmp_path / "old", tmp_path / "new", "--from", "dumb")
    assert (result.exit_code, result.stderr) == (0, f"1 item of {tmp_path / 'old'} stored in {tmp_path / 'new'}\n")
    assert contents(tmp_path / "new") == {b"a": b"1"}
    junk = invoke("convert", tmp_path / "old.dat", tmp_path / "other", "--from", "sqlite3")
    assert (junk.exit_code, junk.stderr) == (6, f"oxidbm: {tmp_path / 'old.dat'} is no SQLite database\n")
    assert invoke("convert", tmp_path / "none", tmp_path / "other", "--from", "dumb").exit_code == 3
    assert invoke("convert", tmp_path / "old", tmp_path / "other", "--from", "paper").exit_code == 2
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "command", ["stat", "keys", "scan", "check", "dump", "watch", "reorganize", "compact", "get", "del"]
)
def test_where_there_is_no_store(tmp_path: Path, command: str) -> None:
    more = ["a"] if command in ("get", "del") else []
    result = invoke(command, tmp_path / "none", *more)
    assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1)
    (tmp_path / "file").write_bytes(b"")
    result = invoke(command, tmp_path / "file", *more)
    assert (result.exit_code, len(result.stderr.splitlines())) == (6, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_beside_a_writer_reading_works_and_writing_says_who(fruit: Path) -> None:
    with Store(fruit, memory="300MiB"):  # with other options than the command's, which is called in this process
        assert invoke("get", fruit, "apple").stdout == "red\n"
        for arguments in (("set", fruit, "a", "b"), ("del", fruit, "apple"), ("load", fruit), ("reorganize", fruit)):
            result = invoke(*arguments, stdin=b"")
            assert (result.exit_code, result.stdout) == (4, "")
            assert len(result.stderr.splitlines()) == 1


def test_without_the_extra_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from oxidbm.cli import main

    for name in [name for name in sys.modules if name.startswith("oxidbm.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == 'oxidbm: the command line needs typer and rich: pip install "oxidbm[cli]"\n'


def test_readable_text_is_one_line_and_cannot_be_mistaken() -> None:
    from oxidbm.cli.words import readable

    assert readable("\u00e9 \u4e2d".encode()) == "\u00e9 \u4e2d"
    assert readable(b"a\nb\x00\\\xff\x1b") == "a\\nb\\x00\\\\\\xff\\x1b"
    assert readable(b"\\udc80") == "\\\\udc80"
    assert readable("\u202e\u2028".encode()) == "\\u202e\\u2028"
