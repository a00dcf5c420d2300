"""Makes snapshots-1.zip, the stores that tests/format/test_stores_on_disk.py opens for ever; it is run once a format.

    python -m tests.format.make_snapshot_stores snapshots-2.zip

Each of its stores was killed when a snapshot was its newest state: `chain` behind incremental ones, over pages that are
in the log, records that changed and were deleted where they stood, blind writes, runs of pages and sessions; `first`
before anything of its log was written. `expected.json` says what each holds, and what at each checkpoint.
"""

import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import oxidbm
from tests.inside import abandon
from tests.support import Quiet
from tests.unit.helpers import push_to_disk

SMALL: Quiet = {"memory": "1MiB", "page_size": 4096, "durability": "manual", "compaction": False}
FOR_YEARS = 10**10  # seconds


def content_of(store: oxidbm.Store) -> dict[str, Any]:
    """Return what a store holds."""
    return {
        "items": {key.hex(): value.hex() for key, value in store.items()},
        "sessions": {known.name: known.serial for known in store.sessions() if known.serial},
    }


def make_chain(path: Path) -> list[dict[str, Any]]:
    """Make the store with a chain; return what it holds at each checkpoint."""
    store = oxidbm.Store(path, checkpoints=False, **SMALL)
    store.set(b"with an expiry", b"value", expire=FOR_YEARS)
    store.update((b"old %d" % number, b"%d" % number * 8) for number in range(300))
    push_to_disk(store)
    sessions = [store.session(f"session {number}") for number in range(2)]  # to close one is to commit
    states = []
    for turn in range(4):
        if turn == 2:
            store.sync()
        for number in range(turn, 300, 7):
            store[b"old %d" % number] = b"turn %d" % turn  # blind at first, in place later
        for number in range(turn, 60, 5):
            store.pop(b"new %d" % number, None)
        store.update(
            (b"new %d" % number, b"%d of turn %d" % (number, turn)) for number in range(20 * turn, 20 * turn + 40)
        )
        store[b"run %d" % (turn % 2)] = b"%d" % turn * 9000
        sessions[turn % 2].upsert(b"by session", b"%d" % turn)
        store[b"last"] = b"%d" % turn
        made = store.checkpoint("incremental", name=f"turn {turn}")
        states.append({**content_of(store), "token": made.token, "kind": made.kind, "commit": made.commit})
    store[b"last"] = b"lost"
    abandon(store)
    return states


def make_first(path: Path) -> list[dict[str, Any]]:
    """Make the store whose log is empty; return what it holds at each checkpoint."""
    store = oxidbm.Store(path, checkpoints=False, **SMALL)
    store.set(b"with an expiry", b"value", expire=FOR_YEARS)
    store[b"a"] = b"1"
    made = store.checkpoint("snapshot")
    states = [{**content_of(store), "token": made.token, "kind": made.kind, "commit": made.commit}]
    store[b"a"] = b"2"
    abandon(store)
    return states


def main(target: str) -> None:
    """Make the file, which must not be there yet."""
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED) as file:
        directory = Path(name)
        expected = {"chain": make_chain(directory / "chain"), "first": make_first(directory / "first")}
        (directory / "expected.json").write_text(json.dumps(expected))
        for path in sorted(directory.rglob("*")):
            if path.name != "LOCK":
                file.write(path, path.relative_to(directory))


if __name__ == "__main__":
    main(sys.argv[1])
