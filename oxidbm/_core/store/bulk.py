"""Many keys in one call: the same operations as one by one, in loops of compiled code.

They are not atomic as a whole (a batch is): other threads may come in between keys. Each key counts on its own, so what
was written before an error stays written.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, cast, final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._buffers import is_one_key
from oxidbm._core.arguments import check_iterable, shown
from oxidbm._core.coder import PLAIN
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.life import OPEN, WRITABLE
from oxidbm._core.log.record import KEY_LENGTH_MAX
from oxidbm._core.store.arguments import expiry_at, tell_key, to_key, to_value
from oxidbm._core.store.handle import Handle
from oxidbm._core.store.tags import digest_of
from oxidbm._core.table import operations
from oxidbm._core.table.advice import AHEAD, Ahead, has_cold, tell_of_keys
from oxidbm._core.table.retry import make_room, put, put_tagged, remove
from oxidbm._core.table.together import GROUP, Together, is_worth_it

SLICE: Final = 1024  # keys between two breaths
PAIRS: Final = "a mapping or an iterable of pairs of key and value"


def check_keys(keys: object) -> None:
    """Raise TypeError for one key in the place of many, which would be taken letter by letter, and for no iterable."""
    if isinstance(keys, (list, tuple, set)):
        return
    check_iterable("keys", "an iterable of keys", keys)
    if is_one_key(keys):
        raise TypeError(f"keys is an iterable of keys, not one {type(keys).__name__}; put it into a list")


def check_pairs(pairs: object) -> None:
    """Raise TypeError for a single key or value in the place of pairs, and for no iterable."""
    if isinstance(pairs, (list, tuple, dict)):
        return
    if not hasattr(pairs, "keys"):
        check_iterable("pairs", PAIRS, pairs)
    if is_one_key(pairs):
        raise TypeError(f"pairs is {PAIRS}, not one {type(pairs).__name__}")


def get_many(handle: Handle, keys: object, default: object) -> list[object]:
    """Return the values of many keys, in their order; `default` for each that has none."""
    check_keys(keys)
    table = handle.table
    found: list[object] = []
    if has_cold(table.log) or table.reads is not None:
        reader = Reader(handle, default, found, Ahead(table))
        for group in grouped(handle, keys):
            reader.read(cast(list[object], group))
            _breath.breathe()
        return found
    if isinstance(keys, (list, tuple)) and is_worth_it(table, len(keys)):
        read_list(handle, list(keys), default, found)
        return found
    coders = handle.coders
    left: i64 = SLICE
    for key in cast(Iterable[object], keys):
        if handle.life.state != OPEN:
            handle.life.blocked_read()
        k = key if isinstance(key, bytes) and not coders.typed else one_of_many(handle, key)
        value = operations.read(table, k)
        if value is None:
            found.append(default)
        else:
            found.append(coders.value_of(k, value))
        left -= 1
        if left == 0:
            left = SLICE
            _breath.breathe()
    return found


def read_list(handle: Handle, keys: list[object], default: object, found: list[object]) -> None:
    """As `get_many`, of a list of keys in a table that the processor's caches do not hold; the values are appended."""
    reader = Reader(handle, default, found, None)
    plain: bool = not handle.coders.typed
    place: i64 = 0
    while place < i64(len(keys)):
        group: list[object] = keys[place : place + SLICE]
        if not plain:
            group = [one_of_many(handle, key) for key in group]
        reader.read(group)
        _breath.breathe()
        place += SLICE


def one_of_many(handle: Handle, key: object) -> bytes:
    """Return a key as bytes, as `to_key` does; what is none is refused with the key, since the call has many."""
    try:
        return to_key(handle, key)
    except (TypeError, ValueError, OverflowError) as failure:
        tell_key(failure, key)
        raise


@final
class Reader:
    """Reads of many keys, some at a time: those that are in memory together, the others one by one."""

    def __init__(self, handle: Handle, default: object, found: list[object], ahead: Ahead | None) -> None:
        self.handle = handle
        self.default = default
        self.found = found
        self.ahead = ahead
        self.together = Together(handle.table)

    def read(self, keys: list[object]) -> None:
        """Append the values of some keys, encoded already where codecs are not those of bytes, or lookups are noted."""
        reads = self.handle.table.reads
        if not self.handle.coders.typed and reads is None:
            self.read_all(keys, self.default, self.found)
            return
        values: list[object] = []
        self.read_all(keys, None, values)
        coders = self.handle.coders
        for place, value in enumerate(values):
            key = cast(bytes, keys[place])
            if reads is not None:
                reads.note(key, value is not None)
            given = self.default if value is None else coders.value_of(key, cast(bytes, value))
            self.found.append(given)

    def read_all(self, keys: list[object], default: object, found: list[object]) -> None:
        """Append what some keys have, as bytes, or the default."""
        life = self.handle.life
        table = self.handle.table
        together = self.together
        ahead = self.ahead
        if ahead is not None:
            ahead.begin(cast(list[bytes], keys))
        place: i64 = 0
        while place < i64(len(keys)):
            if life.state != OPEN:
                life.blocked_read()
            stop = together.find(keys, place)
            while life.state == OPEN and not together.moved():
                place = together.read(keys, place, stop, default, found)
                if place == stop:
                    break
                key = keys[place]
                value = operations.read(table, key if isinstance(key, bytes) else to_key(self.handle, key))
                found.append(default if value is None else value)
                if ahead is not None:
                    ahead.after(place)
                place += 1
                if place == stop:
                    break


def grouped(handle: Handle, keys: object) -> Iterator[list[bytes]]:
    """Yield the keys in their order, some at a time, those that come before one that cannot be one too."""
    group: list[bytes] = []
    failure: Exception | None = None
    try:
        for key in cast(Iterable[object], keys):
            group.append(one_of_many(handle, key))
            if len(group) == AHEAD:
                yield group
                group = []
    except Exception as stop:  # those before it come first
        failure = stop
    yield group
    if failure is not None:
        raise failure


def delete_group(handle: Handle, ahead: Ahead, together: Together, keys: list[bytes]) -> int:
    """As `delete_many`, of some keys."""
    table = handle.table
    ahead.begin(keys)
    worth: bool = is_worth_it(table, len(keys))
    count = 0
    for place, key in enumerate(keys):
        if worth and place % GROUP == 0:
            together.find(
                cast(list[object], keys), place
            )  # deleting finds its way by itself, through what has been brought by this
        handle.life.check_writable()
        count += 1 if remove(table, key) else 0
        ahead.after(place)
        if table.log.due:
            table.maintainer.step()
    return count


def prefetch(handle: Handle, keys: object) -> None:
    """Tell the device that many keys will be read."""
    check_keys(keys)
    handle.life.check_open()
    if has_cold(handle.table.log):
        for group in grouped(handle, keys):
            tell_of_keys(handle.table, group)
            _breath.breathe()


def set_one(handle: Handle, key: object, value: object, expiry: i64, tag: i64) -> None:
    """Store one pair of many."""
    table = handle.table
    handle.life.check_writable()
    coders = handle.coders
    try:
        name = (
            key if isinstance(key, bytes) and len(key) <= KEY_LENGTH_MAX and not coders.typed else to_key(handle, key)
        )
        if isinstance(value, bytes) and coders.value.kind == PLAIN and i64(len(value)) <= table.value_limit:
            data = value
        else:
            data = to_value(handle, name, value)
    except (TypeError, ValueError, OverflowError) as failure:
        tell_key(failure, key)
        raise
    if tag != 0:
        put_tagged(table, name, data, operations.ALWAYS, b"", expiry, tag)
        status: i64 = operations.DONE
    else:
        status = operations.upsert(table, name, data, operations.ALWAYS, b"", expiry)
    if status < 0:
        make_room(table, status)
        put(table, name, data, operations.ALWAYS, b"", expiry)
    if table.log.due:
        table.maintainer.step()


def of_pair(pair: object) -> tuple[object, object]:
    """Return the key and the value of one pair of many, which is any iterable of two; TypeError, ValueError."""
    try:
        key, value = cast(Any, pair)
    except (TypeError, ValueError) as failure:
        raise type(failure)(f"pairs holds {shown(pair)} where a pair of key and value belongs") from failure
    return key, value


def set_pair(handle: Handle, pair: object, expiry: i64, tag: i64) -> None:
    """Store one pair of many, which is any iterable of two."""
    if isinstance(pair, tuple) and len(pair) == 2:
        set_one(handle, pair[0], pair[1], expiry, tag)
    else:
        key, value = of_pair(pair)
        set_one(handle, key, value, expiry, tag)


def tell_of_pairs(handle: Handle, pairs: list[object]) -> None:
    """Tell the device what writing these pairs will ask for; of those before one that is none."""
    keys: list[bytes] = []
    try:
        for pair in pairs:
            if isinstance(pair, tuple) and len(pair) == 2:  # any other iterable may be one that gives its items once
                keys.append(to_key(handle, pair[0]))  # noqa: PERF401 - those before a failure count
    except Exception as failure:  # it is raised where that pair is reached
        if came_from_handler(failure):
            raise
    tell_of_keys(handle.table, keys)


def keys_of(pairs: list[object], place: i64) -> list[object]:
    """Return the keys of the next GROUP pairs; of what is no tuple of two, something that is no key."""
    return [pair[0] if isinstance(pair, tuple) and len(pair) == 2 else None for pair in pairs[place : place + GROUP]]


def set_list(handle: Handle, pairs: list[object], expiry: i64, tag: i64, cold_reads: i64) -> i64:
    """As `set_many`, of a list: tuples of bytes, the common case, cost two calls less where there is no tag.

    A write need not read, but where too many are pending it does. Once one has needed the device, which is seen by
    `cold_reads`, it is told of what the next ones will ask for. Returns that number, for a list that follows.
    """
    table = handle.table
    log = table.log
    life = handle.life
    plain: bool = not handle.coders.typed and tag == 0
    limit: i64 = table.value_limit
    left: i64 = SLICE
    together = Together(table) if plain and is_worth_it(table, len(pairs)) else None
    for place, pair in enumerate(pairs):
        if together is not None and place % GROUP == 0:
            together.find(keys_of(pairs, place), 0)
        if log.cold_reads != cold_reads and place % AHEAD == 0:
            cold_reads = log.cold_reads
            tell_of_pairs(handle, pairs[place : place + AHEAD])
        done = False
        if plain and isinstance(pair, tuple) and len(pair) == 2:
            key = pair[0]
            value = pair[1]
            if isinstance(key, bytes) and isinstance(value, bytes) and life.state == OPEN and life.writable == WRITABLE:
                if together is not None and expiry == 0 and together.overwrite(place % GROUP, key, value):
                    done = True
                elif len(key) <= KEY_LENGTH_MAX and i64(len(value)) <= limit:
                    done = operations.upsert(table, key, value, operations.ALWAYS, b"", expiry) == operations.DONE
        if not done:
            set_pair(handle, pair, expiry, tag)
        elif table.log.due:
            table.maintainer.step()
        left -= 1
        if left == 0:
            left = SLICE
            _breath.breathe()
    return cold_reads


def set_many(handle: Handle, pairs: object, expire: object, tag: object) -> None:
    """Store the pairs of a mapping, of what has keys(), or of an iterable of pairs.

    Of a list or a dict, which nobody writes meanwhile, the device is told what is to come; the pairs of a generator may
    depend on those before them.
    """
    check_pairs(pairs)
    expiry = expiry_at(handle, expire)
    digest = digest_of(tag)
    cold_reads: i64 = handle.table.log.cold_reads
    left: i64 = SLICE
    if isinstance(pairs, dict):
        if has_cold(handle.table.log) or is_worth_it(handle.table, len(pairs)):
            items = iter(pairs.items())
            while True:
                group: list[object] = list(islice(items, SLICE))
                if not group:
                    return
                cold_reads = set_list(handle, group, expiry, digest, cold_reads)
        for key, value in pairs.items():
            set_one(handle, key, value, expiry, digest)
            left -= 1
            if left == 0:
                left = SLICE
                _breath.breathe()
        return
    if isinstance(pairs, list):
        set_list(handle, pairs, expiry, digest, cold_reads)
        return
    if isinstance(pairs, Mapping):
        pairs = pairs.items()
    elif hasattr(pairs, "keys"):
        for key in cast(Any, pairs).keys():  # noqa: SIM118 - a mapping need only have keys()
            set_one(handle, key, cast(Any, pairs)[key], expiry, digest)
        return
    for pair in cast(Iterable[object], pairs):
        set_pair(handle, pair, expiry, digest)
        left -= 1
        if left == 0:
            left = SLICE
            _breath.breathe()


def delete_many(handle: Handle, keys: object) -> int:
    """Delete many keys, and return how many of them had a value."""
    check_keys(keys)
    table = handle.table
    count = 0
    if has_cold(table.log) or (isinstance(keys, list) and is_worth_it(table, len(keys))):
        ahead = Ahead(table)
        together = Together(table)
        for group in grouped(handle, keys):
            count += delete_group(handle, ahead, together, group)
            _breath.breathe()
        return count
    left: i64 = SLICE
    for key in cast(Iterable[object], keys):
        handle.life.check_writable()
        if remove(table, one_of_many(handle, key)):
            count += 1
        if table.log.due:
            table.maintainer.step()
        left -= 1
        if left == 0:
            left = SLICE
            _breath.breathe()
    return count
