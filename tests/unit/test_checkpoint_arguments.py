"""What a checkpoint is asked for with: a cookie that it keeps, and the level that its files are compressed with."""

import array
import json
import sys
import zlib
from pathlib import Path
from typing import Any, Literal

import pytest

import oxidbm
from oxidbm._recover import checkpoints_at
from tests.inside import log_of
from tests.support import scaled, started
from tests.unit.helpers import begun, disk_store, opened_at

COOKIE_MAX = 65536
KINDS: tuple[Literal["fold-over", "index", "log"], ...] = ("fold-over", "index", "log")
COOKIES: dict[str, tuple[Any, bytes | None]] = {
    "nothing": (None, None),
    "no bytes": (b"", b""),
    "bytes": (b"\0\xff\n", b"\0\xff\n"),
    "text": ("offset 7, \u00fc", "offset 7, \u00fc".encode()),
    "a bytearray": (bytearray(b"abc"), b"abc"),
    "a buffer": (array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
    "as long as it may be": (b"\x80" * COOKIE_MAX, b"\x80" * COOKIE_MAX),
}


@pytest.mark.parametrize("what", COOKIES)
def test_a_cookie_comes_back(tmp_path: Path, what: str) -> None:
    path = tmp_path / "store"
    given, kept = COOKIES[what]
    with disk_store(path) as store:
        store[b"a"] = b"value"
        for kind in KINDS:
            made = store.checkpoint(kind, cookie=given)
            assert made.cookie == kept
            assert type(made.cookie) is type(kept)
        assert [known.cookie for known in store.checkpoints()] == [kept] * 3
        with disk_store(path, read_only=True) as reader:
            assert [known.cookie for known in reader.checkpoints()] == [kept] * 3
    with disk_store(path) as store:
        assert [known.cookie for known in store.checkpoints()] == [kept] * 3
        assert store.check() == []
    assert [known.cookie for known in checkpoints_at(str(path))[0]] == [kept] * 3


def test_a_checkpoint_is_shown_with_its_cookie(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        assert "cookie" not in repr(store.checkpoint("log"))
        assert "name=None, cookie=b'', automatic=" in repr(store.checkpoint("log", cookie=b""))
        assert f", cookie={b'x' * 32!r}, automatic=" in repr(store.checkpoint("log", cookie=b"x" * 32))
        made = store.checkpoint("log", cookie=b"\xff" + b"x" * 32)
        shown = b"\xff" + b"x" * 31
        assert f", cookie={shown!r}..., automatic=" in repr(made)


def test_a_name_is_short_enough_to_be_shown(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        longest = "\U0001f600" * 1024
        assert store.checkpoint("log", longest).name == longest
        with pytest.raises(ValueError, match=r"^a checkpoint's name of 1025 characters is too long, 1024 are the most"):
            store.checkpoint("log", longest + "x")
        assert [made.name for made in store.checkpoints()] == [longest]


def test_a_checkpoint_stands_for_its_token(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"a"] = b"1"
        first = store.checkpoint("log")
        store[b"a"] = b"2"
        store.checkpoint("log")
        (known, second) = store.checkpoints()
        with disk_store(path, read_only=True, checkpoint=first) as then:
            assert then[b"a"] == b"1"
        assert oxidbm.recover(path, first, tmp_path / "copy").commit == first.commit
        assert store.purge(token=second) == [second.token]
        with pytest.raises(oxidbm.MissingError, match=second.token):
            store.purge(token=second)
    assert oxidbm.recover(path, known).commit == first.commit


@pytest.mark.parametrize("wrong", [7, b"000000000001-00000000", ["a"]], ids=["int", "bytes", "list"])
def test_what_is_no_checkpoint_and_no_token(tmp_path: Path, wrong: Any) -> None:
    path = tmp_path / "store"
    said = f"is a Checkpoint or its token, a str, not {type(wrong).__name__}$"
    with disk_store(path) as store:
        with pytest.raises(TypeError, match=f"^token {said}"):
            store.purge(token=wrong)
        store.checkpoint("log")
    with pytest.raises(TypeError, match=f"^token {said}"):
        oxidbm.recover(path, wrong)
    with pytest.raises(TypeError, match=f"^token {said}"):
        oxidbm.recover(path, wrong, tmp_path / "copy")
    with pytest.raises(TypeError, match=f"^checkpoint {said}"):
        disk_store(path, read_only=True, checkpoint=wrong)


def test_one_that_is_being_made_is_none_yet(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"a"] = b"1"
        made = begun(store)
        with pytest.raises(
            ValueError, match=r"^token is a checkpoint that is still being made; wait for its result\(\)$"
        ):
            store.purge(token=made)
        with pytest.raises(ValueError, match=r"^checkpoint is a checkpoint that is still being made; "):
            disk_store(path, read_only=True, checkpoint=made)


def test_it_is_the_checkpoints_own(tmp_path: Path) -> None:
    """Each has its own, an automatic one has none, and going back brings the one that was there."""
    path = tmp_path / "store"
    with oxidbm.Store(path, durability="manual") as store:
        store[b"a"] = b"1"
        first = store.checkpoint(cookie="first")
        store[b"a"] = b"2"
        given = bytearray(b"second")
        second = store.checkpoint("log", cookie=given, wait=False)
        given[:] = b"others"
        assert second.cookie == b"second"
        second.result(60)
        store.update((b"%d" % number, b"value") for number in range(3000))
    with oxidbm.Store(path, durability="manual") as store:
        found = [(known.automatic, known.cookie) for known in store.checkpoints()]
        assert found == [(False, b"first"), (False, b"second"), (True, None)]
    oxidbm.recover(path, first.token)
    with oxidbm.Store(path) as store:
        assert dict(store.items()) == {b"a": b"1"}
        assert [known.cookie for known in store.checkpoints()] == [b"first"]


WRITE = """
import os, sys, oxidbm
store = oxidbm.Store(sys.argv[1])
store["a"] = "value"
print(store.checkpoint(cookie=b"line 1000\\0").token, flush=True)
os._exit(0)
"""


def test_the_cookie_of_a_process_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with started([sys.executable, "-c", WRITE, str(path)], stdout=-1) as process:
        assert process.stdout is not None
        token = process.stdout.read().decode().strip()
    with oxidbm.Store(path) as store:
        assert [(known.token, known.cookie) for known in store.checkpoints()] == [(token, b"line 1000\0")]


@pytest.mark.parametrize("clean", [True, False])
def test_a_checkpoint_of_before_there_were_cookies(tmp_path: Path, clean: bool) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"a"] = b"value"
        made = store.checkpoint(cookie=None if clean else "it")
    file = path / "checkpoints" / f"{made.token}.json"
    said = json.loads(file.read_text())
    del said["checksum"], said["cookie"]
    line = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    file.write_text(json.dumps({**said, "checksum": f"{zlib.crc32(line):08x}"}))
    with disk_store(path) as store:
        assert store.recovery.checkpoint == made.token
        assert [known.cookie for known in store.checkpoints()] == [None]


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "a cookie that is too long": ({"cookie": bytes(COOKIE_MAX + 1)}, ValueError, "65537 bytes is too long"),
    "a text that is too long": ({"cookie": "\u00fc" * COOKIE_MAX}, ValueError, "131072 bytes is too long"),
    "a number": ({"cookie": 5}, TypeError, "bytes or str, not int"),
    "a list": ({"cookie": [b"a"]}, TypeError, "bytes or str, not list"),
    "half a character": ({"cookie": "\ud800"}, ValueError, "surrogates"),
    "a level that is too low": ({"level": -101}, ValueError, "from -100 .* to 19 .*, not -101"),
    "a level that is too high": ({"level": 20}, ValueError, "from -100 .* to 19 .*, not 20"),
    "a level that no word holds": ({"level": 1 << 100}, ValueError, "from -100"),
    "a fraction": ({"level": 1.5}, TypeError, "a whole number or None, not float"),
    "a truth": ({"level": True}, TypeError, "a whole number or None, not bool"),
    "a word": ({"level": "fast"}, TypeError, "a whole number or None, not str"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_changes_nothing(tmp_path: Path, what: str) -> None:
    arguments, error, words = REFUSED[what]
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"a"] = b"value"
        tail = log_of(store).tail
        with pytest.raises(error, match=words):
            store.checkpoint(**arguments)
        assert log_of(store).tail == tail
        assert not (path / "checkpoints").exists()
        assert opened_at(path, store.checkpoint()) == {b"a": b"value"}


def test_a_level_makes_the_image_smaller(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        items = {b"%d" % number: b"value" for number in range(scaled(20_000, 2000))}
        store.update(items)
        sizes = []
        for level in (-100, None, 1, 19):
            made = store.checkpoint(level=level)
            assert opened_at(path, made) == items
            sizes.append(made.bytes)
        assert sizes[0] > sizes[1] > sizes[2] >= sizes[3]
        assert store.checkpoint(level=-5).bytes == sizes[1]
        store.checkpoint("log", level=19)
        assert store.check() == []
