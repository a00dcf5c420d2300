"""Makes the stores that tests/format/test_stores_on_disk.py opens for ever; each file is made once, and never again.

    python -m tests.format.make_stores snapshots-2.zip

What is in it goes by the beginning of its name; what is made of a `states` file stands in make_states.py. The stores of
`snapshots` were killed when a snapshot was their newest state: `chain` behind incremental ones, over pages that are in
the log, records that changed and were deleted where they stood, blind writes, runs of pages and sessions; `first`
before anything of its log was written. `expected.json` says what each holds, and what at each checkpoint.
"""

import json
import re
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import oxidbm
from tests.format.make_states import FOR_YEARS, SMALL, content_of, make_states
from tests.inside import abandon
from tests.unit.helpers import push_to_disk

NOTE = re.compile(rb'"pid": \d+, "host": "[^"]*"')  # in LOCK, beside what a backup says there


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


def make_snapshots(directory: Path) -> dict[str, Any]:
    """Make the stores of `snapshots`; return what is in them."""
    return {"chain": make_chain(directory / "chain"), "first": make_first(directory / "first")}


def main(target: str) -> None:
    """Make the file, which must not be there yet."""
    made = Path(target).name
    make = make_states if made.startswith("states") else make_snapshots
    with (
        tempfile.TemporaryDirectory() as name,
        zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED, compresslevel=9) as file,
    ):
        directory = Path(name)
        (directory / "expected.json").write_text(json.dumps(make(directory)))
        for path in sorted(directory.rglob("*")):
            if path.is_dir():
                file.write(path, path.relative_to(directory))
                continue
            data = path.read_bytes()
            if path.name == "LOCK":
                data = NOTE.sub(b'"pid": 1, "host": "host"', data)
            file.writestr(path.relative_to(directory).as_posix(), data)


if __name__ == "__main__":
    main(sys.argv[1])
