"""`oxidbm set`: values from arguments, files and stdin, with codecs and expiry; and keys that are pasted back."""

import json
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Store, codecs
from tests.cli.helpers import ODD_ITEMS, contents, invoke, make

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")

EVERY_BYTE = bytes(range(256)) + b"\r\n"


def test_values_from_stdin_and_files_are_stored_as_they_are(tmp_path: Path) -> None:
    path, file = tmp_path / "s", tmp_path / "file"
    file.write_bytes(EVERY_BYTE)
    assert invoke("set", path, "a", stdin=EVERY_BYTE).exit_code == 0
    assert invoke("set", path, "b", "-", stdin=EVERY_BYTE).exit_code == 0
    assert invoke("set", path, "c", "-i", file).exit_code == 0
    assert invoke("set", path, "d", "--input", "-", stdin=b"").exit_code == 0
    assert contents(path) == {b"a": EVERY_BYTE, b"b": EVERY_BYTE, b"c": EVERY_BYTE, b"d": b""}
    for key in "abc":
        assert invoke("get", path, key, "--raw").stdout_bytes == EVERY_BYTE
    result = invoke("set", path, "e", "1", "-i", file)
    assert (result.exit_code, result.stderr) == (2, "oxidbm: give a value, or a file with --input, not both\n")
    assert invoke("set", path, "e", "-i", tmp_path / "none").exit_code == 3


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("15m", 900), ("2h", 7200), ("3d", 259_200)])
def test_a_key_for_as_long_as_people_say(text: str, seconds: int, tmp_path: Path) -> None:
    assert invoke("set", tmp_path / "s", "a", "1", "--expire", text).exit_code == 0
    with Store(tmp_path / "s", read_only=True) as store:
        left = store.ttl(b"a")
    assert left is not None
    assert seconds - 60 < left <= seconds


def test_a_tag_by_which_keys_are_evicted(tmp_path: Path) -> None:
    for key in "ab":
        assert invoke("set", tmp_path / "s", key, "1", "--tag", "7").exit_code == 0
    assert invoke("set", tmp_path / "s", "c", "1").exit_code == 0
    with Store(tmp_path / "s") as store:
        store.set("d", "1", tag=7)
    result = invoke("evict", tmp_path / "s", "7")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 's'}: 2 items deleted\n")
    assert sorted(contents(tmp_path / "s")) == [b"c", b"d"]
    assert invoke("evict", tmp_path / "none", "7").exit_code == 3


def test_what_is_no_duration_is_refused_before_a_store_is_made(tmp_path: Path) -> None:
    for text in ("soon", "1h30", "0"):
        result = invoke("set", tmp_path / "s", "a", "1", "--expire", text)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "--expire is" in result.stderr


@pytest.mark.parametrize(
    ("key", "value", "key_text", "value_text", "as_json"),
    [
        ("int", "float", "-7", "1.5", 1.5),
        ("str", "str", "\u00e9", "x\\", "x\\"),
        ("tuple(str, int)", "objects", '["a", 1]', '{"$tuple": [1, "\u2028"]}', {"$tuple": [1, "\u2028"]}),
        ("bytes", "bytes", "k", "v", "v"),
        ("float", "int", "0.5", "12", 12),
    ],
)
def test_a_store_that_is_made_with_codecs(
    key: str, value: str, key_text: str, value_text: str, as_json: Any, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    made = invoke("set", path, "--key", key, "--value", value, "--", key_text, value_text)
    assert (made.exit_code, made.stderr) == (0, "")
    with Store(path, key=codecs.RAW, value=codecs.RAW) as store:
        assert (store.key_codec, store.value_codec) == (key.replace(" ", ""), value)
        before = dict(store)
    printed = json.loads(invoke("get", path, "--json", "--", key_text).stdout)
    assert printed["value"] == as_json
    again = invoke("set", path, "--json", "--value", value, "--", key_text, json.dumps(printed["value"]))
    assert (again.exit_code, again.stderr) == (0, "")
    assert invoke("set", path, "--json", "--", key_text, "{").exit_code == 2
    with Store(path, key=codecs.RAW, value=codecs.RAW) as store:
        assert dict(store) == before
    for shown in invoke("keys", path).stdout.splitlines():
        assert invoke("get", path, "-e", "--", shown).exit_code == 0
    other = invoke("set", path, "--value", "msgpack", "--", key_text, "1")
    assert (other.exit_code, "it has its own" in other.stderr) == (6, True)


def test_a_codec_that_no_command_writes_makes_no_store(tmp_path: Path) -> None:
    for name in ("pickle", "json:app.Point", "text", "tuple(json)", ""):
        result = invoke("set", tmp_path / "s", "a", "1", "--value", name)
        assert (result.exit_code, "is none that a command can write" in result.stderr) == (2, True)
    assert not (tmp_path / "s").exists()


def test_json_of_bytes(tmp_path: Path) -> None:
    assert invoke("set", tmp_path / "s", "a", '{"base64": "/wA="}', "--json").exit_code == 0
    assert invoke("set", tmp_path / "s", "b", "-", "--json", stdin=b'"text"\n').exit_code == 0
    assert contents(tmp_path / "s") == {b"a": b"\xff\x00", b"b": b"text"}
    assert invoke("set", tmp_path / "s", "b", "5", "--json").exit_code == 2
    assert invoke("set", tmp_path / "s", "b", "5", "--json", "--base64").exit_code == 2


def test_each_key_that_is_printed_can_be_given_back(tmp_path: Path) -> None:
    items = {key: value for key, value in ODD_ITEMS.items() if len(key) < 1000} | {b"C:\\new": b"back"}
    path = make(tmp_path / "s", items)
    shown = invoke("keys", path).stdout.split("\n")[:-1]
    assert len(shown) == len(items)
    for key in shown:
        assert invoke("get", path, "-e", "--", key).exit_code == 0
    lines = invoke("scan", path).stdout.split("\n")[:-1]
    for line in lines:
        key, _, value = line[14:].partition("  ")
        assert invoke("set", tmp_path / "copy", "--escaped", "--", key, value).exit_code == 0
    assert contents(tmp_path / "copy") == items
    assert invoke("del", path, "-e", "--", *shown).exit_code == 0
    assert contents(path) == {}
    gone = invoke("del", path, "a\\nb")
    assert gone.stderr.endswith("; --escaped takes it as keys and scan print it\n")
