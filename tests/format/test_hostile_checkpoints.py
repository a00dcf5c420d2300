"""Checkpoints that no oxidbm writes, with checksums that are right: never a wrong value, a crash, or gigabytes.

Each is made of one that was written, with a part of it set to what cannot be. Opening passes it over with a
RecoveryWarning, or says what is wrong with it.
"""

import json
import os
import shutil
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

import oxidbm
from tests.format.checkpoint_codec import Checkpoint, read_checkpoint, sum_of
from tests.format.stores import Items, make_directory, open_store
from tests.support import scaled, started

KEYS = 200
HUGE: tuple[Any, ...] = (1 << 62, 1 << 63, -1, 1 << 200, True, 1.5, "1", None, [], {})
MEMORY_MAX = 1 << 29
Change = Callable[[Checkpoint], None]


def make(path: Path, kind: Any = "fold-over") -> tuple[Items, Checkpoint]:
    """Make a store with a checkpoint, and one commit behind it; return what it holds and the checkpoint."""
    make_directory(path)
    with open_store(path) as store:
        items = {b"key %d" % number: b"%d" % number for number in range(KEYS)}
        store.update(items)
        with store.session("a session") as session:
            session.upsert("in a session", "1")
        items[b"in a session"] = b"1"
        token = store.checkpoint(kind, "name").token
        store[b"behind"] = items[b"behind"] = b"it"
    return items, read_checkpoint(path, token) if kind != "log" else Checkpoint({}, None)  # type: ignore[arg-type]


def opened(path: Path, items: Items) -> list[str]:
    """Open a store, see that each value is right or refused with a sentence, and return what was said.

    An image that leads elsewhere than it should is believed where its checksums hold; then reading tells, or check().
    """
    said: list[str] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            store = open_store(path, read_only=True)
        except oxidbm.error as failure:
            return [str(failure)]
    said += [str(warning.message) for warning in warned]
    with store:
        for key, value in items.items():
            try:
                found = store.get(key)
            except oxidbm.CorruptionError as failure:
                said.append(str(failure))
                continue
            if found is None:
                faults = store.check()
                assert faults, f"{key!r} is gone without a word"
                said += faults
            else:
                assert found == value
    return said


def check_refused(path: Path, items: Items) -> None:
    """See that opening passes over what was written, and says so."""
    with pytest.warns(oxidbm.RecoveryWarning) as warned:
        store = open_store(path, read_only=True)
    assert all(str(warning.message).strip() for warning in warned)
    with store:
        assert store.recovery.checkpoint is None
        assert dict(store.items()) == items
        assert [known.serial for known in store.sessions()] == [1]


NO_WORDS: tuple[Any, ...] = (None, 5, [], {}, "", "../../../etc/passwd", "a/b", ".", "\0", "fold-over ")
NO_SWITCHES: tuple[Any, ...] = (7, [], {}, 1.5)
NO_SEGMENTS: tuple[Any, ...] = ([], [5], [0, 0], None, 7, "0", [None], [[]], [-1], [1 << 70], {"0": 0})
NO_SESSIONS: tuple[Any, ...] = ([], None, 5, [5], [None], [{}], {"a": 1}, "sessions")
NO_COOKIES: tuple[Any, ...] = (
    5, True, 1.5, [], {}, "%", "AAA", "AB==", "AAAA\n", "AA==AA==", " ", "\u00e9", "\ud800", "A" * 87_384,
)  # fmt: skip
METADATA: dict[str, Any] = {
    **{
        f"{name} {number!r}": {name: number}
        for name in (
            "sequence",
            "commit",
            "begin",
            "end",
            "time_ns",
            "image_bytes",
            "raw_bytes",
            "entries",
            "page_size",
        )
        for number in HUGE
    },
    **{f"{name} {wrong!r}": {name: wrong} for name in ("name", "automatic", "expiring") for wrong in NO_SWITCHES},
    **{
        f"{name} {wrong!r}": {name: wrong}
        for name in ("token", "kind", "store_id", "image_sum", "commit_sum")
        for wrong in NO_WORDS
    },
    **{f"segments {number}": {"segments": wrong} for number, wrong in enumerate(NO_SEGMENTS)},
    **{f"sessions {number}": {"sessions": wrong} for number, wrong in enumerate(NO_SESSIONS)},
    **{f"cookie {number}": {"cookie": wrong} for number, wrong in enumerate(NO_COOKIES)},
    "pages of no bytes": {"page_size": 0},
    "a million segments": {"segments": list(range(10**6))},
    **{f"version {wrong!r}": {"format_version": wrong} for wrong in (0, "1", "2", 1.0, 1.5, True, None, [1])},
    "version -1": {"format_version": -1, "kind": "later"},
    "entries and one more": {"entries": KEYS + 2},
    "one byte fewer": {"raw_bytes": 1},
    "version 2": {"format_version": 2},
    "version 1 << 5000": {"format_version": 1 << 5000},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Items, Checkpoint]:
    """A store with a checkpoint, which the tests copy."""
    path = tmp_path_factory.mktemp("hostile") / "store"
    items, checkpoint = make(path)
    return path, items, checkpoint


def copied(base: tuple[Path, Items, Checkpoint], path: Path) -> tuple[Items, Checkpoint]:
    """Copy the store, and return what it holds and its checkpoint, anew."""
    shutil.copytree(base[0], path)
    return base[1], read_checkpoint(path, base[2].said["token"])


@pytest.mark.parametrize("what", METADATA)
def test_what_a_checkpoint_says(base: tuple[Path, Items, Checkpoint], tmp_path: Path, what: str) -> None:
    items, checkpoint = copied(base, tmp_path / "store")
    checkpoint.changed = METADATA[what]
    if what == "version 1 << 5000":
        file = tmp_path / "store" / "checkpoints" / f"{checkpoint.said['token']}.json"
        file.write_text(file.read_text().replace('"format_version": 1', '"format_version": ' + "9" * 5000))
    else:
        checkpoint.write(tmp_path / "store")
    check_refused(tmp_path / "store", items)


@pytest.mark.parametrize("session", [
    {"serial": -1}, {"serial": 1 << 62}, {"address": -8}, {"address": 0}, {"address": 1 << 61}, {"used_ns": -1},
    {"used_ns": 1 << 80}, {"name": 5}, {"name": None}, {"serial": "1"}, {"address": 1.5}, {"name": "\ud800"},
    {"name": "x" * 65_536},
])  # fmt: skip
def test_what_it_says_of_a_session(
    base: tuple[Path, Items, Checkpoint], tmp_path: Path, session: dict[str, Any]
) -> None:
    items, checkpoint = copied(base, tmp_path / "store")
    (known,) = checkpoint.said["sessions"]
    checkpoint.changed = {"sessions": [{**known, **session}]}
    checkpoint.write(tmp_path / "store")
    check_refused(tmp_path / "store", items)
    for more in ([known, known], [known, {**known, "name": "other"}]):
        checkpoint.changed = {"sessions": more}
        checkpoint.write(tmp_path / "store")
        check_refused(tmp_path / "store", items)


@pytest.mark.parametrize("text", [
    "", "[]", "null", "5", '"text"', "{", "[" * 100_000, '{"a":' * 100_000, "{}", '{"checksum": "00000000"}',
    '{"format_version": Infinity}', '{"format_version": NaN}', "\ufeff{}", '{"\ud800": 1}',
])  # fmt: skip
def test_what_is_no_checkpoint(base: tuple[Path, Items, Checkpoint], tmp_path: Path, text: str) -> None:
    items, checkpoint = copied(base, tmp_path / "store")
    file = tmp_path / "store" / "checkpoints" / f"{checkpoint.said['token']}.json"
    file.write_bytes(text.encode(errors="surrogatepass"))
    check_refused(tmp_path / "store", items)


def test_what_is_no_file(base: tuple[Path, Items, Checkpoint], tmp_path: Path) -> None:
    """Directories, pipes and links in the place of a checkpoint's files."""
    items, checkpoint = copied(base, tmp_path / "store")
    directory = tmp_path / "store" / "checkpoints"
    for suffix in (".json", ".index.zst"):
        file = directory / (checkpoint.said["token"] + suffix)
        data = file.read_bytes()
        file.unlink()
        file.mkdir()
        check_refused(tmp_path / "store", items)
        file.rmdir()
        file.symlink_to(tmp_path / "nowhere")
        check_refused(tmp_path / "store", items)
        file.unlink()
        file.symlink_to(file)
        check_refused(tmp_path / "store", items)
        file.unlink()
        file.write_bytes(data)
    token = checkpoint.said["token"]
    for name in ("..json", ".json", "x.json", "\n.json", f"{token} .json", "a.json.new", "a.index.zst"):
        (directory / name).write_text("{}")
    for other in ("a\nb", "x" * 250, f"{token}x", f"x{token}"):  # the image of one of these cannot even be asked for
        said = {**checkpoint.said, "token": other}
        (directory / f"{other}.json").write_text(json.dumps({**said, "checksum": sum_of(said)}))
    with warnings.catch_warnings(action="ignore"), open_store(tmp_path / "store") as store:
        assert dict(store.items()) == items
        store[b"more"] = b"value"
        store.checkpoint()
        assert dict(store.items()) == {**items, b"more": b"value"}
    assert not (directory / "a.json.new").exists()


def set_field(name: str, number: int) -> Change:
    """Return a change of a field of the image's header."""

    def change(checkpoint: Checkpoint) -> None:
        checkpoint.image.fields[name] = number

    return change


def set_words(at: int, change: Callable[[int], int]) -> Change:
    """Return a change of the first entry's bucket: of one of its words."""

    def go(checkpoint: Checkpoint) -> None:
        words, pairs = checkpoint.image.slices[0]
        first = next(bucket for bucket in range(0, len(words), 8) if words[bucket])
        words[first + at] = change(words[first])
        checkpoint.image.slices[0] = (words, pairs)

    return go


def set_image(**more: Any) -> Change:
    """Return a change of an attribute of the image."""

    def change(checkpoint: Checkpoint) -> None:
        for name, value in more.items():
            setattr(checkpoint.image, name, value)

    return change


def with_slice(words: list[int], pairs: list[int], count: int = 1) -> Change:
    """Return a change that adds slices."""

    def change(checkpoint: Checkpoint) -> None:
        checkpoint.image.slices += [(words, pairs)] * count

    return change


REFUSED: dict[str, Change] = {
    **{
        f"{name} {number}": set_field(name, number)
        for name in ("version", "sequence", "commit", "begin", "end", "count", "low_mask", "split")
        for number in (-1, 1 << 40, (1 << 63) - 1, -(1 << 63))
    },
    "live_bytes": set_field("live_bytes", 1 << 62),
    "low_mask 8191": set_field("low_mask", 8191),
    "low_mask 5": set_field("low_mask", 5),
    "magic": set_image(magic=b"notmagic"),
    "one entry fewer than said": set_image(entries=KEYS + 5),
    "negative entries": set_image(entries=-1),
    "something behind": set_image(behind=b"\0"),
    "pending behind the end": set_image(pending=[1 << 40] * 4),
    "a link": set_words(7, lambda entry: 1),
    "a gap": set_words(2, lambda entry: entry),
    "an entry to nowhere": set_words(0, lambda entry: entry | (1 << 45) - 1),
    "an entry before the log": set_words(0, lambda entry: entry & ~((1 << 45) - 1)),
    "a slice too many": with_slice([0] * 8, []),
    "no whole bucket": with_slice([0] * 7, []),
    "a pair of a negative bucket": with_slice([], [-1, 1 << 45]),
    "a pair behind the table": with_slice([], [1 << 40, 1 << 45]),
    "a pair of 0": with_slice([], [0, 0]),
    "no slices": set_image(slices=[]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_image_that_cannot_be(base: tuple[Path, Items, Checkpoint], tmp_path: Path, what: str) -> None:
    items, checkpoint = copied(base, tmp_path / "store")
    REFUSED[what](checkpoint)
    try:
        checkpoint.write(tmp_path / "store")
    except struct.error:
        pytest.skip("no word holds that number")
    check_refused(tmp_path / "store", items)


BELIEVED: dict[str, Change] = {
    "into the middle of a record": set_words(0, lambda entry: entry + 1),
    "to the next record": set_words(0, lambda entry: entry + 5),
    "to a commit record": set_words(0, lambda entry: entry + 5 * KEYS),
    "an entry of another key": set_words(0, lambda entry: entry ^ ((1 << 62) - (1 << 45))),
    "a mixed one": set_words(0, lambda entry: entry - (1 << 63)),
    "one that is not there": set_words(0, lambda entry: 0),
    "one twice": set_words(1, lambda entry: entry),
    "pending in the middle": set_image(pending=[72]),
    "pending twice": set_image(pending=[64, 64, 64]),
    "an odd pair": with_slice([], [5]),
}


@pytest.mark.parametrize("what", BELIEVED)
def test_an_image_that_leads_elsewhere(base: tuple[Path, Items, Checkpoint], tmp_path: Path, what: str) -> None:
    """Its checksums hold: what it leads to is held against the key, and against the record's own checksum."""
    items, checkpoint = copied(base, tmp_path / "store")
    BELIEVED[what](checkpoint)
    checkpoint.write(tmp_path / "store")
    opened(tmp_path / "store", items)


@pytest.mark.parametrize("clean", [True, False])
def test_an_image_that_what_came_later_does_not_follow(tmp_path: Path, clean: bool) -> None:
    """An entry is not there, and its key was deleted later: recovery begins anew, with the log's first record."""
    path = tmp_path / "store"
    items, checkpoint = make(path)
    with open_store(path) as store:
        for key in [*items][:-1]:
            del store[key], items[key]
    if not clean:
        (path / "CLEAN").unlink()
    set_words(0, lambda entry: 0)(checkpoint)
    checkpoint.write(path)
    check_refused(path, items)
    with pytest.warns(oxidbm.RecoveryWarning, match="begun with the checkpoint"):
        store = open_store(path)
    with store:
        assert dict(store.items()) == items
        assert all("cannot be used" in fault for fault in store.check())


def test_files_swapped_between_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "store"
    make_directory(path)
    tokens = []
    with open_store(path) as store:
        for turn in range(2):
            store.update({b"key %d" % number: b"%d" % turn for number in range(KEYS)})
            tokens.append(store.checkpoint().token)
        items = dict(store.items())
    directory = path / "checkpoints"
    for suffix in (".index.zst", ".json"):
        one, other = (directory / (token + suffix) for token in tokens)
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
        check_swapped(path, items)
        one.write_bytes(first)
        other.write_bytes(second)
    older, newer = (read_checkpoint(path, token) for token in tokens)
    newer.image = older.image
    newer.write(path)
    check_swapped(path, items, tokens[0])


def check_swapped(path: Path, items: Items, used: str | None = None) -> None:
    """See that swapped files are passed over."""
    with pytest.warns(oxidbm.RecoveryWarning):
        store = open_store(path, read_only=True)
    with store:
        assert store.recovery.checkpoint == used
        assert dict(store.items()) == items
        assert all("cannot be used" in fault for fault in store.check())


def test_the_image_of_another_store(tmp_path: Path) -> None:
    """Of the same commit, place and size: the checksum tells."""
    made = []
    for name in (b"one", b"two"):
        path = tmp_path / name.decode()
        made.append(make_like(path, name))
    one, two = made
    shutil.copy(two[1], one[1])
    with pytest.warns(oxidbm.RecoveryWarning):
        store = open_store(tmp_path / "one", read_only=True)
    with store:
        assert store.recovery.checkpoint is None
        assert dict(store.items()) == one[0]


def make_like(path: Path, name: bytes) -> tuple[Items, Path]:
    """Make a store whose records stand where those of another one do."""
    make_directory(path)
    with open_store(path) as store:
        items = {name + b" %03d" % number: name for number in range(KEYS)}
        store.update(items)
        token = store.checkpoint().token
    return items, path / "checkpoints" / f"{token}.index.zst"


def bomb_of_pairs(checkpoint: Checkpoint) -> bytes:
    """Return a file of a pair that is there a hundred million times."""
    content = checkpoint.image.content()
    words, _ = checkpoint.image.slices[0]
    entry = next(word for word in words if word)
    start = content[: len(content) - 8 - 16]
    piece = struct.pack("<2q", 0, 1 << 17) + b"".join(struct.pack("<2q", at & 4095, entry) for at in range(1 << 16))
    packer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    parts = [packer.compress(start), *[packer.compress(piece) for _ in range(1500)], packer.flush()]
    return b"".join(parts)


def bomb_of_buckets(checkpoint: Checkpoint) -> bytes:
    """Return a file of sixteen million empty buckets: a gigabyte."""
    checkpoint.image.fields["low_mask"] = (1 << 24) - 1
    checkpoint.image.slices = []
    content = checkpoint.image.content()
    piece = struct.pack("<2q", 1 << 17, 0) + bytes(1 << 20)
    packer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    parts = [packer.compress(content[: len(content) - 8 - 16]), *[packer.compress(piece) for _ in range(1024)]]
    return b"".join([*parts, packer.flush()])


BOMBS = {"pairs": bomb_of_pairs, "buckets": bomb_of_buckets}
OPEN = """
import json, resource, sys, warnings
from pathlib import Path
from tests.format.stores import open_store
warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
with open_store(Path(sys.argv[1]), read_only=True) as store:
    most = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]  # getrusage says the parent's too
    print(json.dumps([len(store), store.recovery.faults, int(most) * 1024]))
"""


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb(base: tuple[Path, Items, Checkpoint], tmp_path: Path, what: str) -> None:
    if not os.path.exists("/proc/self/status"):
        pytest.skip("this system does not say how much memory a process has taken at most")
    items, checkpoint = copied(base, tmp_path / "store")
    checkpoint.write_data(tmp_path / "store", BOMBS[what](checkpoint))
    with started([sys.executable, "-c", OPEN, str(tmp_path / "store")], stdout=-1) as process:
        assert process.stdout is not None
        count, faults, memory = json.loads(process.stdout.read())
        assert process.wait() == 0
    assert count == len(items)
    assert len(faults) == 1
    assert memory < MEMORY_MAX


def test_a_frame_with_a_window_that_no_level_has(base: tuple[Path, Items, Checkpoint], tmp_path: Path) -> None:
    """A reader has to keep as much as a frame's window; 128 MiB are the library's own limit."""
    items, checkpoint = copied(base, tmp_path / "store")
    for bits in (23, 24, 27):
        given = zstandard.ZstdCompressionParameters.from_level(1, window_log=bits, write_checksum=True)
        packer = zstandard.ZstdCompressor(compression_params=given).compressobj()
        data = packer.compress(checkpoint.image.content()) + packer.flush()
        assert zstandard.get_frame_parameters(data).window_size == 1 << bits
        checkpoint.write_data(tmp_path / "store", data)
        if bits == 23:
            with open_store(tmp_path / "store", read_only=True) as store:
                assert store.recovery.checkpoint == checkpoint.said["token"]
        else:
            check_refused(tmp_path / "store", items)


@pytest.mark.parametrize("suffix", [".json", ".index.zst"])
def test_cut_anywhere_and_zeroed(base: tuple[Path, Items, Checkpoint], tmp_path: Path, suffix: str) -> None:
    """A file that lacks its end, or holds zeros somewhere, as some file systems leave after a crash."""
    items, checkpoint = copied(base, tmp_path / "store")
    file = tmp_path / "store" / "checkpoints" / (checkpoint.said["token"] + suffix)
    data = file.read_bytes()
    for at in range(0, len(data) - 1, max(1, len(data) // scaled(60, 8))):
        file.write_bytes(data[:at])
        check_refused(tmp_path / "store", items)
        file.write_bytes(data[:at] + bytes(len(data) - at))
        check_refused(tmp_path / "store", items)
        if data[at]:
            file.write_bytes(data[:at] + b"\0" + data[at + 1 :])
            check_refused(tmp_path / "store", items)
