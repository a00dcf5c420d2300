"""Dump files: a store's items, with expiry, tags and codecs, as JSON lines or in a binary form that notices damage.

    from oxidbm.dump import dump, load
    with open("fruit.dump", "wb") as file: dump(store, file)
    with open("fruit.dump", "rb") as file: load(file, "copy")

Keys and values are what the store's codecs wrote, and checked to be that, both when they are written and when they are
read, as far as a codec is known by its name (oxidbm/_plain.py). Serial numbers of sessions are not in a dump: they
count what was written to one store. The forms are those of oxidbm/_dump_forms.py; a file that says no codecs is one
of bytes.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, Literal, NamedTuple, TypeAlias

from oxidbm import CodecError, Store, codecs
from oxidbm._core.device.directory import STORE
from oxidbm._core.store.raw import entries, now_ms, place, put_entry
from oxidbm._dump_forms import BadInput, Codecs, Dump, Item, read_dump, write_binary, write_json_lines
from oxidbm._plain import Plain

__all__ = [
    "BadInput", "Codecs", "Dump", "Form", "Item", "Loaded", "OnError",
    "dump", "load", "read_dump", "write_binary", "write_json_lines",
]  # fmt: skip

STEP: Final = 1000

Form: TypeAlias = Literal["json", "binary"]
OnError: TypeAlias = Literal["raise", "skip", "bytes"]
Progress: TypeAlias = Callable[[int], None]
CodecOrName: TypeAlias = str | type[Any] | codecs.Codec[Any]


class Loaded(NamedTuple):
    """What became of a dump's items: stored, left out since they have expired, left out by on_error="skip"."""

    stored: int
    expired: int
    skipped: int


def codecs_of(store: Store[Any, Any]) -> Codecs:
    """Return the names of a store's codecs."""
    return Codecs(store.key_codec, store.value_codec)


def checked_items(
    store: Store[Any, Any], on_error: OnError = "raise", skipped: list[bytes] | None = None
) -> Iterator[Item]:
    """Yield a store's items as bytes, of which the codecs that are known here have been asked whether they wrote them.

    on_error: what to do with an item that they did not write: "raise" DecodeError with its key and place, "skip" it, or
        yield its "bytes" all the same.
    skipped: takes the keys that were skipped.
    """
    key_codec, value_codec = map(Plain, codecs_of(store))
    for key, value, expiry, tag, address in entries(store):
        if on_error != "bytes":
            what = "the key"
            try:
                key_codec.check(key)
                what = "the value of the key"
                value_codec.check(value)
            except ValueError as failure:
                if on_error == "raise":
                    raise damaged(what, shown(key_codec, key), place(store, address), failure) from None
                if skipped is not None:
                    skipped.append(key)
                continue
        yield Item(key, value, expiry, tag)


def damaged(what: str, name: str, where: str, failure: ValueError) -> codecs.DecodeError:
    """Return the error for a key, or its value, that its codec did not write."""
    return codecs.DecodeError(f"{what} {name} ({where}) cannot be decoded: {failure}")


def shown(codec: Plain, key: bytes) -> str:
    """Return a key as errors name it: decoded where that can be done."""
    try:
        return repr(codec.to_text(key).decode())[:100]
    except ValueError:
        return repr(key)[:100]


def dump(
    store: Store[Any, Any],
    file: BinaryIO,
    *,
    form: Form = "binary",
    on_error: OnError = "raise",
    progress: Progress | None = None,
) -> int:
    """Write every item of a store to a file that is open for writing bytes; return their number.

    form: "binary", which notices every damage, or "json", for people and other programs.
    on_error: what to do where the store's codec did not write a key or a value: "raise" codecs.DecodeError, "skip" the
        item, or write the "bytes" as they are.
    progress: called now and then with the number of items so far.

    Raises ValueError for another form; what the store and the file raise. Takes O(n); others may write meanwhile, and
    what they write may be there or not.
    """
    if form not in ("json", "binary"):
        raise ValueError(f'the form of a dump is "json" or "binary", not {form!r}')
    counter = Counter(checked_items(store, on_error), progress)
    (write_json_lines if form == "json" else write_binary)(counter, file, codecs_of(store))
    return counter.count


class Counter:
    """Items on their way, counted, with each thousandth reported."""

    def __init__(self, items: Iterable[Item], progress: Progress | None) -> None:
        self.items = items
        self.progress = progress
        self.count = 0

    def __iter__(self) -> Iterator[Item]:
        for item in self.items:
            yield item
            self.count += 1
            if self.progress is not None and self.count % STEP == 0:
                self.progress(self.count)


def name_of(codec: CodecOrName | None) -> str | None:
    """Return the name that a store keeps of a codec, which is given by it or as Store takes one."""
    return codec if codec is None or isinstance(codec, str) else codecs.resolve(codec).name


def named(name: str) -> Any:
    """Return what makes or opens a store whose codec has a name, for one that is given bytes only."""
    return codecs.BYTES if name == codecs.BYTES.name else Kept(name)


def named_codecs(
    path: str | os.PathLike[str], key: str | None, value: str | None, usual: tuple[str, str] = ("bytes", "bytes")
) -> dict[str, Any]:
    """Return the codecs with which the store at a path is opened, or made, for one that is given bytes only.

    What has no name is what the store has, or what is usual where there is none yet.
    """
    is_there = os.path.exists(os.path.join(path, STORE))
    codecs_named: dict[str, Any] = {}
    for what, name, other in (("key", key, usual[0]), ("value", value, usual[1])):
        codecs_named[what] = codecs.RAW if is_there and name is None else named(name or other)
    return codecs_named


class Kept:
    """A codec that a store is to keep by name, while only bytes that it has written are stored."""

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, value: bytes, /) -> bytes:
        """Return the bytes."""
        return value

    def decode(self, data: bytes, /) -> bytes:
        """Return the bytes."""
        return data


def load(
    file: BinaryIO,
    target: str | os.PathLike[str] | Store[Any, Any],
    *,
    memory: int | str = "256MiB",
    keys: CodecOrName | None = None,
    values: CodecOrName | None = None,
    on_error: OnError = "raise",
    progress: Progress | None = None,
) -> Loaded:
    """Store what a dump of either form holds, with codecs, expiry and tags; durable when it returns.

    target: a path, where a store with the dump's codecs is made if there is none, or an open store. What else it holds
        stays as it is.
    memory: of the store at the path.
    keys, values: the codecs, as Store takes them, or their names, for a file that does not say them; default: "bytes".
    on_error: what to do with an item that its codec did not write: "raise" BadInput, "skip" it, store its "bytes".
    progress: called now and then with the number of items so far.

    A store that this call made is removed again where it fails before anything was stored.

    Raises CodecError, before anything is stored, where the target has other codecs than the dump; BadInput, which says
    how many items were stored before it; ValueError for keys= or values= that contradict the file; what Store raises.
    """
    found = read_dump(file)
    names = found.codecs or Codecs()
    key_name, value_name = name_of(keys), name_of(values)
    for what, given, said in (("keys", key_name, names.keys), ("values", value_name, names.values)):
        if given is not None and found.codecs is not None and given != said:
            raise ValueError(f"the dump says that its {what} are of the codec {said!r}, not {given!r}")
    names = Codecs(key_name or names.keys, value_name or names.values)
    if isinstance(target, Store):
        check_codecs(target, names)
        return store_items(found.items, target, names, on_error, progress)
    unmade = Unmade(target)
    try:
        opened: Any = Store(target, memory=memory, key=named(names.keys), value=named(names.values))
    except CodecError:
        with Store(target, read_only=True, key=codecs.RAW, value=codecs.RAW) as store:
            check_codecs(store, names)
        raise
    with opened as store, unmade.unless_filled(store):
        return store_items(found.items, store, names, on_error, progress)


class Unmade:
    """What was at a path before a store was made there: another store, an empty directory, or nothing."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.realpath(os.fsdecode(path))
        self.had_directory = os.path.lexists(self.path)
        self.had_store = self.had_directory and (not os.path.isdir(self.path) or bool(os.listdir(self.path)))

    @contextmanager
    def unless_filled(self, store: Any) -> Iterator[None]:
        """Remove a store that was made since, and is open, where the block fails before anything is stored."""
        try:
            yield
        except BaseException as failure:
            if not self.had_store and len(store) == 0:
                self.restore(store, failure)
            raise

    def restore(self, store: Any, failure: BaseException) -> None:
        """Remove a store that was made since, and is open; where that cannot be done, the failure says so.

        It is moved aside while it is locked, so that what another process makes at the path then is not touched.
        """
        aside = f"{self.path}.{secrets.token_hex(8)}.failed"
        try:
            os.rename(self.path, aside)
            store.handle.abandon()
            for name in os.listdir(aside):
                inner = os.path.join(aside, name)
                (shutil.rmtree if os.path.isdir(inner) else os.unlink)(inner)
            if self.had_directory:
                os.rename(aside, self.path)
            else:
                os.rmdir(aside)
        except OSError as second:
            failure.add_note(f"{self.path} was made for it, is empty, and could not be removed: {second}")


def check_codecs(store: Store[Any, Any], names: Codecs) -> None:
    """Raise CodecError where a store has other codecs than a dump."""
    held = codecs_of(store)
    if held != names:
        raise CodecError(
            f"{store.path or 'the store'} keeps keys of the codec {held.keys!r} and values of {held.values!r}, the "
            f"dump has keys of {names.keys!r} and values of {names.values!r}; load it into a new store, or into one "
            "that has its codecs"
        )


def store_items(
    items: Iterator[Item], store: Store[Any, Any], names: Codecs, on_error: OnError, progress: Progress | None
) -> Loaded:
    """Store a dump's items and make them durable; BadInput says where a fault is and how many came before it."""
    stored = expired = skipped = 0
    key_codec, value_codec = map(Plain, names)
    now = now_ms(store)
    try:
        for item in items:
            number = stored + expired + skipped + 1
            try:
                if on_error != "bytes":
                    key_codec.check(item.key)
                    value_codec.check(item.value)
            except ValueError as failure:
                if on_error == "raise":
                    raise BadInput(f"item {number}, key {shown(key_codec, item.key)}: {failure}") from None
                skipped += 1
                continue
            if 0 < item.expiry <= now:
                expired += 1
                continue
            try:
                put_entry(store, *item)
            except ValueError as failure:
                raise BadInput(f"item {number} does not fit: {failure}") from None
            stored += 1
            if progress is not None and number % STEP == 0:
                progress(number)
    except BadInput as failure:
        raise BadInput(f"{failure}; loaded before it: {stored:,} item{'' if stored == 1 else 's'}") from None
    store.sync()
    return Loaded(stored, expired, skipped)
