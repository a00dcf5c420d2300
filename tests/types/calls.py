"""Calls of stores, sessions, queues, devices and the test kit, and what they return."""

import array
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Any, assert_type

import oxidbm
from oxidbm.testing import CrashDevice, FaultyDevice, check_crashes, check_device, crash_states


def double(old: bytes) -> bytes:
    return old + old


def shout(old: str) -> str:
    return old + "!"


def use(store: oxidbm.Store, name: str) -> None:
    mapping: MutableMapping[bytes, bytes] = store
    assert_type(store["a"], bytes)
    assert_type(store[bytearray(b"a")], bytes)
    store["a"] = "b"
    store[b"a"] = memoryview(b"b")
    assert_type(store.get("a"), bytes | None)
    assert_type(store.get("a", b""), bytes)
    assert_type(store.get("a", 1), bytes | int)
    assert_type(store.pop("a"), bytes)
    assert_type(store.pop("a", None), bytes | None)
    assert_type(dict(store), dict[bytes, bytes])
    assert_type(list(store), list[bytes])
    store.update({"a": b"b"})
    store.update({b"a": "b"}, c="d")
    store.update([("a", "b")])
    store.update(mapping)
    store |= {"a": "b"}
    store["a"] = array.array("B", b"b")
    store[memoryview(b"a")] = array.array("i", [1])
    store[1] = "a"  # type: ignore[call-overload]
    with store.session(name) as session:
        assert_type(session, oxidbm.Session)
        assert_type(session.read("a"), bytes | None)
        assert_type(session.rmw("a", double), bytes | None)
        assert_type(session.rmw("a", double, b"x"), bytes)
        session.rmw("a", lambda old: old or None, b"x")
    for known in store.sessions():
        assert_type(known, oxidbm.SessionInfo)
        assert_type(known.last_used, float)
    assert_type(store.forget_session(name), bool)
    assert_type(store.forget_sessions(unused_for=1), list[str])
    with oxidbm.Queue(name, codec=int) as numbers:
        assert_type(numbers, oxidbm.Queue[int])
        assert_type(numbers.get(), int)
        numbers.put("a")  # type: ignore[arg-type]
        with numbers.take() as number:
            assert_type(number, int)
    plain = oxidbm.Queue()
    plain.put("a")
    plain.put_many([b"a", bytearray(b"b")])
    for message in plain.messages():
        assert_type(message, oxidbm.queue.Message[bytes])
        assert_type(message.ack(), bool)
    assert_type(oxidbm.Queue(codec="json").get(), Any)
    for record in store.scan(live=False):
        assert_type(record, oxidbm.LogRecord)
        assert_type(record.value, bytes)
    for version in store.history("a", scan=True):
        assert_type(version, oxidbm.KeyVersion[bytes])
        assert_type(version.time, float | None)
        assert_type(version.value, bytes | None)


def use_types(path: str) -> None:
    with oxidbm.Store(path, key=int, value=str, ordered=True) as store:
        assert_type(store, oxidbm.Store[int, str])
        assert_type(store[1], str)
        store[1] = "one"
        store["1"] = "one"  # type: ignore[index]
        store[1] = b"one"  # type: ignore[assignment]
        assert_type(store.get(1), str | None)
        assert_type(store.get_many([1, 2]), list[str | None])
        assert_type(store.first_key(), int | None)
        assert_type([version.value for version in store.history(1)], list[str | None])
        for key, value in store.range(1, 2):
            assert_type(key, int)
            assert_type(value, str)
        with store.session() as session:
            assert_type(session.rmw(1, shout, "new"), str)
        with store.batch() as batch:
            batch[1] = "one"
            batch[1] = 1  # type: ignore[assignment]
        mapping: MutableMapping[int, str] = store
        print(mapping)
    keyed = oxidbm.Store(path, key=str)
    assert_type(keyed, oxidbm.Store[str, bytes])
    keyed["a"] = "b"
    keyed.set_many({"a": "b"})
    keyed.update([("a", bytearray(b"b"))], c="d")
    keyed.update({1: "b"})  # type: ignore[dict-item]
    counts = oxidbm.Store(path, value=int)
    assert_type(counts, oxidbm.Store[bytes, int])
    text_counts = {"a": 1}
    counts.update(text_counts)
    counts.update({b"a": 1}, b=2)
    counts.update([("a", 1)])
    counts.set_many(text_counts, expire=1)
    counts.set_many([("a", 1), (b"b", 2)])
    counts |= text_counts
    assert_type(counts, oxidbm.Store[bytes, int])
    with counts.batch() as counted:
        counted.update(text_counts)
    counts.update({"a": "1"})  # type: ignore[dict-item]
    counts.set_many([("a", None)])  # type: ignore[list-item]
    objects = oxidbm.Store(path, value="objects")
    assert_type(objects, oxidbm.Store[bytes, Any])
    assert_type(objects["a"], Any)
    named: oxidbm.Store[str, dict[str, int]] = oxidbm.Store(path, key=str, value="json")
    assert_type(named["a"], dict[str, int])


def compare(path: str, store: oxidbm.Store) -> None:
    assert_type(store.compare_and_set("a", "old", bytearray(b"new")), bool)
    assert_type(store.get_or_set("a", lambda: "new"), bytes)
    assert_type(store.get_or_set(b"a", "new"), bytes)
    store.compare_and_set(1, "old", "new")  # type: ignore[call-overload]
    store.compare_and_set("a", 1, 2)  # type: ignore[call-overload]
    keyed = oxidbm.Store(path, key=str)
    keyed.compare_and_set("a", "old", b"new")
    assert_type(keyed.get_or_set("a", "new"), bytes)
    keyed.compare_and_set(b"a", "old", "new")  # type: ignore[call-overload]
    counts = oxidbm.Store(path, value=int)
    counts.compare_and_set("a", 1, 2)
    assert_type(counts.get_or_set("a", lambda: 1), int)
    counts.compare_and_set("a", "1", "2")  # type: ignore[call-overload]
    counts.get_or_set("a", "1")  # type: ignore[call-overload]
    named = oxidbm.Store(path, key=str, value=int)
    named.compare_and_set("a", 1, 2)
    named.compare_and_set("a", "1", "2")  # type: ignore[arg-type]
    named.get_or_set(b"a", 1)  # type: ignore[arg-type]
    numbered = oxidbm.Store(path, key=int, value=int)
    numbered.compare_and_set(1, 1, 2)
    numbered.compare_and_set("x", 1, 2)  # type: ignore[arg-type]
    numbered.get_or_set("x", 1)  # type: ignore[arg-type]
    numbered.memoize(codec="jsno")  # type: ignore[arg-type]


def wait(path: str, store: oxidbm.Store, soon: timedelta) -> None:
    oxidbm.Store(path, read_only=True, follow=soon, interval=soon)
    oxidbm.Store(path, key=int, value=str, read_only=True, follow=soon)
    assert_type(store.checkpoint(wait=False).result(soon), oxidbm.Checkpoint)
    assert_type(store.session().wait_durable(timeout=soon), bool)
    log = oxidbm.Log(path, keep_seconds=soon, interval=soon)
    assert_type(log.wait(timeout=soon), bool)
    log.follow(timeout=soon)
    log.aiter(timeout=soon)
    log.reader("a", timeout=soon)
    queue = oxidbm.Queue(path, redeliver_after=soon, interval=soon)
    queue.put("a", timeout=soon, delay=soon)
    queue.take(timeout=soon).extend(soon)
    queue.nack(soon)
    oxidbm.Store(path, follow="soon")  # type: ignore[call-overload]


def item_key(shop: "Shop", item: int) -> str:
    return f"{shop.name} {item}"


cache = oxidbm.Store(value=int)


class Shop:
    name = "corner"

    @cache.memoize(key=item_key)
    def price(self, item: int) -> int:
        return item


assert_type(Shop().price(1), int)


def begin(path: str, store: oxidbm.Store) -> None:
    store.prefix("a")
    store.prefix(3)  # type: ignore[call-overload]
    named = oxidbm.Store(path, key=str, ordered=True)
    named.prefix("a")
    named.prefix(3)  # type: ignore[arg-type]
    visits = oxidbm.Store(path, key=tuple[str, int], ordered=True)
    visits.prefix(("ann",))
    visits.prefix("ann")  # type: ignore[call-overload]
    visits.range(("ann",), ("bob", 3))
    visits.range("ann")  # type: ignore[call-overload]


def use_checkpoints(path: str, store: oxidbm.Store) -> None:
    made = store.checkpoint("log")
    again = store.checkpoint(made.kind)
    store.checkpoint("paper")  # type: ignore[arg-type]
    found: oxidbm.Recovery = oxidbm.recover(path, again)
    print(found)
    assert_type(oxidbm.recover(path, made.token, to="other"), oxidbm.Recovery)
    assert_type(store.recovery, oxidbm.Recovery)
    assert_type(oxidbm.Store(path, read_only=True, checkpoint=made), oxidbm.Store)
    assert_type(store.purge(token=made), list[str])


def use_dbm(name: str) -> None:
    assert_type(oxidbm.dbm.open(name, "c"), oxidbm.Database)
    with oxidbm.open(name, "c") as db:
        assert_type(db, oxidbm.Database)
        assert_type(db.keys(), list[bytes])
        assert_type(db.nextkey("a"), bytes | None)
        mapping: MutableMapping[bytes, bytes] = db
        print(mapping)
    assert_type(oxidbm.whichdb(name), str | None)


class Own(oxidbm.device.Device):
    def begin(self) -> int:
        return 0

    def read(self, address: int, size: int) -> bytes:
        return b""

    def write(self, address: int, data: memoryview) -> None:
        pass


def use_device(path: str) -> None:
    with oxidbm.Store(path, device=Own()) as store:
        assert_type(store, oxidbm.Store)
    files = oxidbm.device.FileDevice(oxidbm.device.Directory(path), 12)
    assert_type(files.read_many([(64, 8)]), list[bytes])
    check_device(Own, page_bytes=4096)
    oxidbm.Store(path, device=path)  # type: ignore[call-overload]


def pay(path: str, crashing: CrashDevice) -> None:
    faulty = FaultyDevice(crashing)
    faulty.fail("write", 28, after=100)
    with oxidbm.Store(path, device=faulty) as store:
        store["paid"] = "1"
    crashing.note(1)
    assert_type(faulty.calls["write"], int)
    assert_type([state.restore("left") for state in crash_states(crashing)], list[CrashDevice])


def paid(path: str, crashing: CrashDevice, notes: list[int]) -> None:
    with oxidbm.Store(path, device=crashing) as store:
        assert len(store) >= max(notes, default=0)


assert_type(check_crashes(pay, paid, limit=20), int)


def misuse(store: oxidbm.Store) -> None:
    store[1]  # type: ignore[call-overload]
    store["a"] = 1  # type: ignore[call-overload]
    oxidbm.Store("a", durability="sometimes")  # type: ignore[call-overload]
    for key in store:
        key.encode()  # type: ignore[attr-defined]
