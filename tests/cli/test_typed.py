"""Typed stores on the command line and in dumps: what their codecs write, refuse, and did not write."""

import io
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from oxidbm import CodecError, Store, codecs, dump
from oxidbm._plain import Plain, Refused
from tests.cli.helpers import invoke

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")

KINDS: list[tuple[Any, Any, dict[Any, Any]]] = [
    (str, int, {"a": 5, "\u00e9\n": -7, "": 10**80}),
    (int, float, {1: 1.5, -(2**70): float("inf"), 0: -0.0}),
    (float, str, {1.5: "x", float("inf"): "\u2028"}),
    (bytes, "objects", {b"\xff": (1, {2}), b"k": {"$a": b"\x00"}}),
    (codecs.Tuple(str, int, codecs.Tuple(bytes)), bytes, {("a\x00", 1, (b"\xff",)): b"v", ("", -1, (b"",)): b"\xfe"}),
]


def needs_msgspec(kind: object) -> None:
    if kind in ("json", "msgpack"):
        pytest.importorskip("msgspec", reason="msgspec is not installed: pip install oxidbm[codecs]")


def dumped(store: Any, form: Any, on_error: Any = "raise") -> bytes:
    file = io.BytesIO()
    dump.dump(store, file, form=form, on_error=on_error)
    return file.getvalue()


def damaged_store(path: Path) -> Path:
    """Make a store of str and int in which a value and a key are none."""
    with Store(path, key=str, value=int) as store:
        store["a"] = 1
    with Store(path, key=codecs.RAW, value=codecs.RAW) as raw:
        raw[b"bad"] = b"zz"
        raw[b"\xff"] = codecs.INT.encode(5)
    with Store(path, key=str, value=int) as store:
        store["z"] = 2
    return path


@pytest.mark.parametrize("form", ["json", "binary"])
@pytest.mark.parametrize(
    ("key", "value", "items"), [*KINDS, (str, "json", {"a": {"b": [1, None]}}), (int, "msgpack", {1: {2: b"x"}})]
)
def test_a_dump_keeps_codecs_and_expiry(key: Any, value: Any, items: dict[Any, Any], form: Any, tmp_path: Path) -> None:
    needs_msgspec(value)
    clock = [1000.0]
    with Store(tmp_path / "first", key=key, value=value, clock=lambda: clock[0]) as store:
        store.update(items)
        first = next(iter(items))
        store.set(first, items[first], expire=60)
        data = dumped(store, form)
        assert dump.load(io.BytesIO(data), store) == (len(items), 0, 0)  # over itself
    dump.load(io.BytesIO(data), tmp_path / "expired")
    with Store(tmp_path / "expired", key=key, value=value) as store:  # by this machine's clock
        assert dict(store) == {name: item for name, item in items.items() if name != first}
    with Store(tmp_path / "second", key=key, value=value, clock=lambda: clock[0]) as store:
        assert dump.load(io.BytesIO(data), store) == (len(items), 0, 0)
        assert dict(store) == items
        assert store.ttl(first) == 60.0
        assert [store.ttl(name) for name in items if name != first] == [None] * (len(items) - 1)
        again = dumped(store, form)
        assert len(again) == len(data)
        if form == "json":
            assert sorted(again.splitlines()) == sorted(data.splitlines())
        clock[0] += 61
        assert dump.load(io.BytesIO(data), store) == (len(items) - 1, 1, 0)


def test_text_without_its_quotes_is_told_so(tmp_path: Path) -> None:
    Store(tmp_path / "store", key="objects", value=int).close()
    result = invoke("set", tmp_path / "store", "po a", "1")
    assert result.exit_code == 2
    assert result.stderr.endswith("""; text needs its quotes, as in '"a"'\n""")
    assert "quotes" not in invoke("set", tmp_path / "store", "[po", "1").stderr
    assert invoke("set", tmp_path / "store", '"po a"', "1").exit_code == 0


def test_a_dump_has_json_of_a_type_as_the_bytes_that_were_written(tmp_path: Path) -> None:
    class Kept:
        name = "json:app.Point"

        def encode(self, value: bytes, /) -> bytes:
            return value

        def decode(self, data: bytes, /) -> bytes:
            return data

    with Store(tmp_path / "store", value=Kept()) as store:
        store["a"] = b'{"x": 1}'
    assert json.loads(invoke("get", tmp_path / "store", "a", "--json").stdout)["value"] == {"x": 1}
    lines = [json.loads(line) for line in invoke("dump", tmp_path / "store").stdout.splitlines()]
    assert lines[1] == {"key": "a", "value_base64": "eyJ4IjogMX0="}


def test_a_store_with_other_codecs_is_not_loaded_into(tmp_path: Path) -> None:
    with Store(tmp_path / "first", key=str, value=int) as store:
        store["a"] = 1
    assert invoke("dump", tmp_path / "first", "-o", tmp_path / "file", "--format", "binary").exit_code == 0
    with Store(tmp_path / "other", key=str, value=float) as other:
        other["a"] = 0.5
        with pytest.raises(CodecError, match="values of 'float', the dump has keys of 'str' and values of 'int'"):
            dump.load(io.BytesIO((tmp_path / "file").read_bytes()), other)
    result = invoke("load", tmp_path / "other", tmp_path / "file")
    assert result.exit_code == 6
    assert "the dump has keys of 'str' and values of 'int'; load it into a new store" in result.stderr
    with Store(tmp_path / "other", key=str, value=float) as other:
        assert dict(other) == {"a": 0.5}
    untyped = invoke("load", tmp_path / "other", stdin=b'{"key": "a", "value": "1"}\n')
    assert (untyped.exit_code, "'bytes'" in untyped.stderr) == (6, True)


def test_a_codec_that_only_its_program_knows_comes_back(tmp_path: Path) -> None:
    with Store(tmp_path / "first", key=str, value="pickle") as store:
        store["a"] = {1, 2}
    for form in ("json", "binary"):
        assert invoke("dump", tmp_path / "first", "-o", tmp_path / "file", "--format", form).exit_code == 0
        assert invoke("load", tmp_path / form, tmp_path / "file").exit_code == 0
        with Store(tmp_path / form, key=str, value="pickle") as store:
            assert dict(store) == {"a": {1, 2}}
    for arguments in (("b", "1"), ("Yg==", "MQ==", "--base64")):
        result = invoke("set", tmp_path / "first", *arguments)
        assert (result.exit_code, "only its program can write them" in result.stderr) == (2, True)


def test_dumps_of_the_first_version_still_load(tmp_path: Path) -> None:
    data = bytes.fromhex("8f6f786964756d7001")
    for key, value in ((b"a", b"1"), (None, (1).to_bytes(8, "little"))):
        lengths = (0xFFFFFFFF if key is None else len(key)).to_bytes(4, "little") + len(value).to_bytes(4, "little")
        checksum = zlib.crc32(value, zlib.crc32(key or b"", zlib.crc32(lengths)))
        data += lengths + checksum.to_bytes(4, "little") + (key or b"") + value
    assert invoke("load", tmp_path / "binary", stdin=data).exit_code == 0
    assert invoke("load", tmp_path / "json", stdin=b'{"key": "a", "value": "1"}\n').exit_code == 0
    for name in ("binary", "json"):
        with Store(tmp_path / name) as store:
            assert dict(store) == {b"a": b"1"}


def test_codecs_of_a_dump_that_does_not_say_them(tmp_path: Path) -> None:
    line = b'{"key": "k", "value": {"base64": "gQU="}}\n'
    assert invoke("load", tmp_path / "s", "--keys", "str", "--values", "int", stdin=line).exit_code == 0
    assert invoke("get", tmp_path / "s", "k").stdout == "5\n"
    header = b'{"oxidbm": 2, "keys": "str", "values": "int"}\n'
    assert invoke("load", tmp_path / "s", stdin=header + b'{"key": "l", "value": 6}\n').exit_code == 0
    assert invoke("get", tmp_path / "s", "l").stdout == "6\n"
    result = invoke("load", tmp_path / "s", "--values", "float", stdin=header)
    assert (result.exit_code, "the dump says that its values are of the codec 'int'" in result.stderr) == (2, True)
    result = invoke("load", tmp_path / "s", stdin=header + b'{"key": "m", "value": "6"}\n')
    assert result.exit_code == 6
    assert result.stderr.startswith("oxidbm: line 2: \"value\" is not what the codec 'int' takes: int, not ")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"oxidbm": 3, "keys": "str", "values": "int"}', "of the version 3"),
        (b'{"oxidbm": 2, "keys": "str"}', 'exactly "oxidbm", "keys" and "values"'),
        (b'{"oxidbm": 2, "keys": "str", "values": 5}', 'exactly "oxidbm", "keys" and "values"'),
        (b'{"oxidbm": 2, "keys": "", "values": "int"}', "no name of a codec"),
        (b'{"key": "a", "value": "b", "expiry": true}', '"expiry" is no number'),
        (b'{"key": "a", "value": "b", "expiry": -1}', '"expiry" is no number'),
        (b'{"key": "a", "value": "b", "value_base64": ""}', 'exactly "key" and "value"'),
        (b'{"key": "a", "value_base64": 5}', '"value_base64" is no string'),
    ],
)
def test_a_bad_first_line_is_named(line: bytes, fault: str) -> None:
    with pytest.raises(dump.BadInput, match="line 1: ") as told:
        list(dump.read_dump(io.BytesIO(line)).items)
    assert fault in str(told.value)


def test_an_endless_first_line_is_not_read_to_its_end() -> None:
    with pytest.raises(dump.BadInput, match="line 1: it is not JSON"):
        list(dump.read_dump(io.BytesIO(bytes(1 << 22))).items)


def test_set_get_keys_scan_and_del_speak_the_codecs(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Store(path, key=codecs.Tuple(str, int), value=int) as store:
        store["a", 1] = 5
    assert invoke("set", path, '["b", 2]', "--", "-6").exit_code == 0
    assert invoke("set", path, '["b", 3]', stdin=b"7\n").exit_code == 0
    assert invoke("get", path, '["b", 2]').stdout == "-6\n"
    assert json.loads(invoke("get", path, '["b",2]', "--json").stdout) == {"key": ["b", 2], "value": -6}
    assert invoke("get", path, '["a", 1]', "--raw").stdout_bytes == codecs.INT.encode(5)
    assert invoke("keys", path, "--prefix", '["b"]').stdout == '["b", 2]\n["b", 3]\n'
    assert [line.split(None, 1)[1] for line in invoke("scan", path).stdout.splitlines()] == [
        '["a", 1]  5',
        '["b", 2]  -6',
        '["b", 3]  7',
    ]
    assert invoke("del", path, '["b", 2]', '["b", 3]').exit_code == 0
    with Store(path, key=codecs.Tuple(str, int), value=int) as store:
        assert dict(store) == {("a", 1): 5}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set", "a", "x"), "the value x is not what the codec 'int' takes"),
        (("set", "a", "9" * 400), "too large for the codec 'int'"),
        (("set", "a", "9" * 5000), "the value 999"),
        (("set", "a", "1.5"), "the value 1.5 is not what the codec 'int' takes"),
        (("set", b"\xff".decode("utf-8", "surrogateescape"), "1"), "the key \\xff is not UTF-8"),
        (("set", "YQ==", "enp6", "--base64"), "the value zzz"),
        (("keys", "--prefix", "a"), ""),
    ],
)
def test_what_a_codec_does_not_take_is_refused(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Store(path, key=str, value=int) as store:
        store["b"] = 1
    result = invoke(arguments[0], path, *arguments[1:])
    assert (result.exit_code, said in result.stderr) == (2 if said else 0, True)
    with Store(path, key=str, value=int) as store:
        assert dict(store) == {"b": 1}


def test_set_with_an_expiry(tmp_path: Path) -> None:
    assert invoke("set", tmp_path / "s", "a", "1", "--expire", "1000").exit_code == 0
    with Store(tmp_path / "s") as store:
        left = store.ttl("a")
    assert left is not None
    assert 0 < left <= 1000
    assert invoke("set", tmp_path / "s", "a", "1", "--expire", "-1").exit_code == 2


def test_what_no_codec_wrote_is_named_skipped_or_given_as_bytes(tmp_path: Path) -> None:
    path = damaged_store(tmp_path / "s")
    for name in ("keys", "scan", "dump"):
        result = invoke(name, path)
        assert result.exit_code == 6
        assert "bad" in result.stderr or name == "keys"
        assert ".seg at offset " in result.stderr
        skipped = invoke(name, path, "--on-error", "skip")
        assert skipped.exit_code == 0
        assert "z" in skipped.stdout
        assert "\\xff" not in skipped.stdout
    assert json.loads(invoke("keys", path, "--on-error", "bytes", "--json").stdout.splitlines()[2]) == {
        "base64": "/w=="
    }
    result = invoke("get", path, "bad")
    assert (result.exit_code, "--raw prints its bytes" in result.stderr) == (6, True)
    assert invoke("get", path, "bad", "--raw").stdout == "zz"
    checked = invoke("check", path, "--json")
    assert (checked.exit_code, len(json.loads(checked.stdout)["faults"])) == (5, 2)


@pytest.mark.parametrize("form", ["json", "binary"])
def test_what_no_codec_wrote_is_dumped_and_loaded_where_that_is_asked_for(form: Any, tmp_path: Path) -> None:
    with Store(damaged_store(tmp_path / "s"), key=str, value=int) as store:
        with pytest.raises(codecs.DecodeError, match=r"the value of the key 'bad' \(.*\) cannot be decoded"):
            dumped(store, form)
        sound, whole = dumped(store, form, "skip"), dumped(store, form, "bytes")
        everything = dict(store.items(on_error="bytes"))
    assert dump.load(io.BytesIO(sound), tmp_path / "sound") == (2, 0, 0)
    with pytest.raises(dump.BadInput, match=r"item 2, key 'bad': .*; loaded before it: 1 item$"):
        dump.load(io.BytesIO(whole), tmp_path / "refused")
    assert dump.load(io.BytesIO(whole), tmp_path / "skipped", on_error="skip") == (2, 0, 2)
    assert dump.load(io.BytesIO(whole), tmp_path / "whole", on_error="bytes") == (4, 0, 0)
    with Store(tmp_path / "whole", key=str, value=int) as copy:
        assert dict(copy.items(on_error="bytes")) == everything == {"a": 1, "bad": b"zz", b"\xff": 5, "z": 2}


def test_check_tells_as_json_what_keeps_a_store_from_opening(tmp_path: Path) -> None:
    path = damaged_store(tmp_path / "s")
    (path / "STORE").write_bytes((path / "STORE").read_bytes()[:-1])
    result = invoke("check", path, "--json")
    assert result.exit_code == 5
    told = json.loads(result.stdout)
    assert told["keys"] is None
    assert "STORE has 563 bytes, 564 were expected" in told["faults"][0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("int", b""), ("int", b"1,0"), ("float", b"one"), ("json", b"NaN"), ("objects", b'{"$set": [[]]}'),
        ("objects", b'{"$no": 1}'), ("objects", b"[" * 100_000), ("tuple(str,int)", b"[1, 2]"),
        ("tuple(str,int)", b"{}"),
        ("tuple(str)", b"[]"), ("pickle", b"1"), ("json:app.Point", b"1"), ("tuple(pickle)", b"[1]"), ("no such", b"1"),
    ],
)  # fmt: skip
def test_text_that_is_nothing_to_a_codec(name: str, text: bytes) -> None:
    with pytest.raises(Refused):
        Plain(name).from_text(text)
