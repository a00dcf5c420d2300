"""Each kind of key and value that the documentation names, and what users have to be able to name themselves."""

import datetime as dt
import enum
from collections.abc import AsyncIterator, ItemsView, Iterator, KeysView
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, NewType, TypedDict, assert_type
from uuid import UUID

import msgspec

import oxidbm
from oxidbm import codecs

User = NewType("User", str)


@dataclass
class Reading:
    """What a sensor measured."""

    celsius: float
    note: str = ""


class Place(msgspec.Struct):
    """A struct of msgspec's."""

    name: str


class Movie(TypedDict):
    """A dict with certain keys."""

    title: str


class Level(enum.IntEnum):
    """An enum."""

    NOTE = 10


class Version:
    """A codec of one's own."""

    name = "version"

    def encode(self, value: str, /) -> bytes:
        """Return the bytes."""
        return value.encode()

    def decode(self, data: bytes, /) -> str:
        """Return the text."""
        return data.decode()


def types(path: str) -> None:
    """Types stand for codecs."""
    assert_type(oxidbm.Store(path, key=int, value=Reading), oxidbm.Store[int, Reading])
    assert_type(oxidbm.Store(path, key=Level, value=Place), oxidbm.Store[Level, Place])
    assert_type(oxidbm.Store(path, key=bool, value=float), oxidbm.Store[bool, float])
    assert_type(oxidbm.Store(path, key=dt.datetime, value=Decimal), oxidbm.Store[dt.datetime, Decimal])
    assert_type(oxidbm.Store(path, key=dt.date, value=dt.timedelta), oxidbm.Store[dt.date, dt.timedelta])
    assert_type(oxidbm.Store(path, key=UUID, value=dt.time), oxidbm.Store[UUID, dt.time])
    assert_type(oxidbm.Store(path, key=bytes, value=bytes), oxidbm.Store[bytes, bytes])
    assert_type(oxidbm.Store(path, key=Reading), oxidbm.Store[Reading, bytes])
    movies = oxidbm.Store(path, key=str, value=Movie)
    assert_type(movies, oxidbm.Store[str, Movie])
    movies["a"] = {"title": "a"}
    movies["a"] = {"title": 1}  # type: ignore[typeddict-item]
    users = oxidbm.Store(path, key=tuple[User, int])
    assert_type(users, oxidbm.Store[tuple[User, int], bytes])
    users[User("ann"), 1] = b""
    users["ann", 1] = b""  # type: ignore[index]


def tuples(path: str) -> None:
    """So do types of tuples, as keys and values, and codecs of them."""
    with oxidbm.Store(path, key=tuple[str, int], value=str, ordered=True) as visits:
        assert_type(visits, oxidbm.Store[tuple[str, int], str])
        visits["ann", 2024] = "Rome"
        assert_type(visits.first_key(), tuple[str, int] | None)
        for key, place in visits.prefix(("ann",)):
            assert_type(key, tuple[str, int])
            assert_type(place, str)
        visits["ann", "2024"] = "Rome"  # type: ignore[index]
        visits["ann"] = "Rome"  # type: ignore[index]
    several = oxidbm.Store(path, key=tuple[str, dt.datetime, UUID, Level, Decimal, bool], value=tuple[int, str])
    assert_type(several, oxidbm.Store[tuple[str, dt.datetime, UUID, Level, Decimal, bool], tuple[int, str]])
    pairs = codecs.Tuple(str, codecs.NAIVE_DATETIME)
    assert_type(pairs, codecs.Tuple[tuple[str, dt.datetime]])
    assert_type(oxidbm.Store(path, key=pairs), oxidbm.Store[tuple[str, dt.datetime], bytes])
    assert_type(oxidbm.Store(path, key=codecs.Tuple(Level, Version())), oxidbm.Store[tuple[Level, str], bytes])


def names(path: str) -> None:
    """Names of codecs, of which no type is known: what is taken and given is Any, or what the annotation says."""
    objects = oxidbm.Store(path, key=str, value="objects")
    assert_type(objects, oxidbm.Store[str, Any])
    objects["a"] = {"b": [1, None]}
    assert_type(objects["a"], Any)
    assert_type(objects.get("a"), Any | None)
    assert_type(oxidbm.Store(path, value="json"), oxidbm.Store[bytes, Any])
    assert_type(oxidbm.Store(path, key="objects", value="pickle"), oxidbm.Store[Any, Any])
    assert_type(oxidbm.Store(path, key="int", value="datetime"), oxidbm.Store[Any, Any])
    counts: oxidbm.Store[str, dict[str, int]] = oxidbm.Store(path, key=str, value="msgpack")
    assert_type(counts["a"], dict[str, int])
    oxidbm.Store(path, value="jsno")  # type: ignore[call-overload]
    oxidbm.Store(path, key="marshal", value="json")  # type: ignore[call-overload]
    oxidbm.Log(path, codec="marshal")  # type: ignore[call-overload]
    oxidbm.Queue(path, codec="marshal")  # type: ignore[call-overload]


def objects(path: str, maybe: codecs.Codec[int | None]) -> None:
    """Codecs that were made, also of one's own."""
    reading = codecs.Msgpack(Reading, name="reading", validate=True)
    assert_type(oxidbm.Store(path, key=str, value=reading), oxidbm.Store[str, Reading])
    assert_type(oxidbm.Store(path, key=codecs.INT, value=codecs.Json(list[int])), oxidbm.Store[int, list[int]])
    assert_type(oxidbm.Store(path, key=Version(), value=str), oxidbm.Store[str, str])
    assert_type(oxidbm.Store(path, key=codecs.NAIVE_DATETIME, value=codecs.OBJECTS), oxidbm.Store[dt.datetime, Any])
    assert_type(oxidbm.Store(path, key=codecs.Enum(Level, name="level")), oxidbm.Store[Level, bytes])
    assert_type(oxidbm.Store(path, key=codecs.RAW, value=codecs.RAW), oxidbm.Store[bytes, bytes])
    assert_type(oxidbm.Store(path, value=maybe), oxidbm.Store[bytes, int | None])
    objects(path, codecs.Msgpack(int | None))
    codecs.Msgpack(Reading, validate="yes")  # type: ignore[call-overload]
    codecs.Enum(Reading)  # type: ignore[type-var]
    oxidbm.Store(path, key=1)  # type: ignore[call-overload]
    oxidbm.Store(path, value=[int])  # type: ignore[call-overload]


def values(path: str) -> None:
    """What is of another type is an error where it is written."""
    with oxidbm.Store(path, key=int, value=Reading) as store:
        store[1] = Reading(1.5)
        store[1] = 1.5  # type: ignore[assignment]
        store["1"] = Reading(1.5)  # type: ignore[index]
        store.set(1, "a")  # type: ignore[arg-type]
        store.update({1: Reading(1.5)})
        store.update({1: 1.5})  # type: ignore[dict-item]
        assert_type(store.get(1, None), Reading | None)
        assert_type(store.pop(1, 0), Reading | int)
        assert_type(store.setdefault(1, Reading(0)), Reading)
        assert_type(store.popitem(), tuple[int, Reading])
        store.get("1")  # type: ignore[call-overload]
        store.memory  # type: ignore[attr-defined]
        store.delete_many(1)  # type: ignore[arg-type]


def cached(store: oxidbm.Store) -> None:
    """A decorated function keeps its parameters and what it returns, and so does a coroutine function."""

    @store.memoize(expire=60)
    def area(country: str, unit: int = 1) -> int:
        return len(country) * unit

    @store.memoize()
    async def fetch(page: str) -> str:
        return page

    known: oxidbm.Memoized[[str, int], int] = area
    assert_type(area("nl"), int)
    assert_type(area.forget("nl", 2), bool)
    assert_type(known("nl", 1), int)
    area(1)  # type: ignore[arg-type]
    area.forget()  # type: ignore[call-arg]

    async def use() -> None:
        assert_type(await fetch("a"), str)

    print(use)


class Kept(NamedTuple):
    """Names for what methods return, as annotations that are looked at when the program runs."""

    session: oxidbm.Session[str, Reading]
    batch: oxidbm.Batch[str, Reading]
    history: oxidbm.KeyHistory[Reading]
    version: oxidbm.KeyVersion[Reading]
    scan: oxidbm.LogScan
    record: oxidbm.LogRecord
    checkpoint: oxidbm.Checkpoint
    recovery: oxidbm.Recovery
    report: oxidbm.BackupReport
    keys: KeysView[str]
    items: ItemsView[str, Reading]
    ordered: Iterator[tuple[str, Reading]]
    durable: Future[int]
    follower: oxidbm.LogFollower[Reading]
    entries: oxidbm.AsyncEntries[Reading]
    reader: oxidbm.LogReader[Reading]
    log_batch: oxidbm.LogBatch[Reading]
    known: list[oxidbm.ReaderInfo]
    message: oxidbm.queue.Message[Reading]
    messages: AsyncIterator[oxidbm.queue.Message[Reading]]
    peeked: Iterator[oxidbm.queue.Peeked[Reading]]


def keep(path: str, durability: oxidbm.Durability, on_error: oxidbm.OnError, kind: oxidbm.CheckpointKind) -> Kept:
    """Return one of each."""
    store = oxidbm.Store(path, key=str, value=Reading, ordered=True, durability=durability)
    log = oxidbm.Log(path, codec=Reading)
    queue = oxidbm.Queue(path, codec=Reading)
    return Kept(
        session=store.session(),
        batch=store.batch(),
        history=store.history("a"),
        version=next(store.history("a")),
        scan=store.scan(),
        record=next(store.scan()),
        checkpoint=store.checkpoint(kind),
        recovery=store.recovery,
        report=store.backup("to"),
        keys=store.keys(on_error=on_error),
        items=store.items(on_error=on_error),
        ordered=store.range("a"),
        durable=store.session().when_durable(),
        follower=log.follow(),
        entries=log.aiter(),
        reader=log.reader("a"),
        log_batch=log.batch(),
        known=log.readers(),
        message=queue.take(),
        messages=queue.amessages(),
        peeked=queue.peek(),
    )
