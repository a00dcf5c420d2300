"""What is in a `states` file of make_stores.py: stores with checkpoints that are states, backups, a log, a queue.

`kinds` was closed, `killed` was killed behind its last commit, `typed` has codecs, and each has a backup beside it that
is older than its last commit, and goes on from an image of the index. `log` has several commits, with cookies, entries
larger than a page, a begin that has moved, and a named reader; `queue` was killed, and has items that were put back or
acknowledged in another order than they were put in.
"""

import shutil
from pathlib import Path
from typing import Any, Literal

import oxidbm
from oxidbm import codecs
from tests.inside import abandon, abandon_queue, handle_of_log, log_of
from tests.support import Quiet

SMALL: Quiet = {"memory": "1MiB", "page_size": 4096, "durability": "manual", "compaction": False}
FOR_YEARS = 10**10  # seconds
Kind = Literal["fold-over", "log", "index"]

KINDS: tuple[Kind, ...] = ("fold-over", "log", "index", "fold-over", "log")
ITEMS = codecs.Tuple(str, int)


def content_of(store: oxidbm.Store) -> dict[str, Any]:
    """Return what a store holds."""
    return {
        "items": {key.hex(): value.hex() for key, value in store.items()},
        "sessions": {known.name: known.serial for known in store.sessions() if known.serial},
    }


def roll(store: oxidbm.Store[Any, Any]) -> None:
    """Let the log go on in a new segment."""
    store.sync()
    log_of(store).close_tail_page()
    log_of(store).device.roll()


def change(store: oxidbm.Store, turn: int) -> None:
    """Do something of everything: keys that stay, change and go, runs of pages, sessions, expiries."""
    store.update((b"of turn %d, %d" % (turn, number), b"%d" % number * 9) for number in range(60))
    for number in range(turn, 60, 4):
        store.pop(b"of turn 0, %d" % number, None)
    with store.batch() as batch:
        batch[b"run %d" % (turn % 2)] = b"%d" % turn * 9000
        batch[b"last"] = b"%d" % turn
    store.set(b"with an expiry", b"%d" % turn, expire=FOR_YEARS + turn)
    store.set(b"gone", b"at once", expire=0.001)
    with store.session(f"session {turn % 2}") as session:
        session.upsert(b"by session", b"%d" % turn)


def make_kinds(path: Path, killed: bool) -> dict[str, Any]:
    """Make a store with checkpoints; return what it holds, what at each, and what its backup does."""
    store = oxidbm.Store(path, checkpoints=False, **SMALL)
    states: list[dict[str, Any]] = []
    for turn, kind in enumerate(KINDS):
        change(store, turn)
        store.delete_many([b"gone"])
        name, cookie = (f"turn {turn}", b"\0cookie %d" % turn) if turn < 4 else (None, None)
        made = store.checkpoint(kind, name=name, cookie=cookie)
        said = {"token": made.token, "kind": kind, "name": name, "cookie": None if cookie is None else cookie.hex()}
        states.append({**content_of(store), **said, "commit": made.commit})
        if turn % 2:
            roll(store)
    report = store.backup(path.with_name(f"{path.name} backup"))
    backup = {**content_of(store), "commit": report.commit_sequence, "checkpoint": report.checkpoint}
    store[b"last"] = b"behind the backup"
    store.sync()
    newest = content_of(store)
    if killed:
        store[b"last"] = b"lost"
        abandon(store)
    else:
        store.close()
    return {**newest, "states": states, "backup": backup}


def make_typed(path: Path) -> dict[str, float]:
    """Make a store whose keys are tuples and whose values are floats, with a checkpoint; return what it holds."""
    with oxidbm.Store(path, key=ITEMS, value=float, **SMALL) as store:
        store.update({(f"key {number % 5}", number - 20): number / 8 for number in range(40)})
        store.checkpoint(name="typed")
        store.backup(path.with_name(f"{path.name} backup"))
        return {f"{text},{number}": value for (text, number), value in store.items()}


def make_log(path: Path) -> dict[str, Any]:
    """Make a log; return what it holds, what its backup does, and what it did at an earlier commit."""
    with oxidbm.Log(path, codec=str, memory="1MiB", page_size=4096) as log:
        log.append_many(f"entry {number} " * (1 + number % 50) for number in range(60))
        log.append("larger than a page " * 500)
        earlier = {"number": log.commit(b"first"), "entries": list(log)}
        handle_of_log(log).log.device.roll()
        log.append_many(f"later {number} " * 400 for number in range(6))
        log.commit(b"\0second")
        with log.reader("steady") as reader:
            reader.done(next(address for address, entry in log if entry.startswith("entry 9 ")))
        log.truncate(log.tail)
        log.backup(path.with_name(f"{path.name} backup"))
        backup = list(log)
        log.append("behind the backup")
        log.commit()
        return {"entries": list(log), "backup": backup, "earlier": earlier, "cookie": log.cookie.hex()}


def make_queue(path: Path) -> list[tuple[str, int]]:
    """Make a queue that was killed; return the items that are to come, in their order, and how often each was out."""
    queue = oxidbm.Queue(path, codec=str, memory="1MiB", page_size=4096, durability="manual")
    queue.put_many(f"item {number} " * (1 + number * 40 % 300) for number in range(30))
    taken = [queue.take() for _ in range(12)]
    for number in (3, 0, 1, 7, 11):
        taken[number].ack()
    for number in (5, 8):
        taken[number].nack()
    queue.commit()
    abandon_queue(queue)
    copy = path.with_name("opened")
    shutil.copytree(path, copy)
    with oxidbm.Queue(copy, codec=str, memory="1MiB") as opened:
        left = [(message.item, message.attempts) for message in opened.messages(timeout=0) if message.ack()]
    shutil.rmtree(copy)
    return left


def make_states(directory: Path) -> dict[str, Any]:
    """Make all of it; return what is in it."""
    return {
        "kinds": make_kinds(directory / "kinds", killed=False),
        "killed": make_kinds(directory / "killed", killed=True),
        "typed": make_typed(directory / "typed"),
        "log": make_log(directory / "log"),
        "queue": make_queue(directory / "queue"),
    }
