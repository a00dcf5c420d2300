"""oxidbm: a store on disk, a store in memory, typed and ordered stores, and the dbm face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from bench.engines.base import MEMORY_BEYOND_RECORD, MEMORY_TIMES, MINIMUM_MEMORY, Engine, optional_module, spelled
from bench.loops import Key, Value

INT_BYTES = 7

ASCII = bytes(byte & 127 for byte in range(256))


class OxidbmEngine(Engine):
    """`oxidbm.Store(path, durability="manual")`: durable when it is closed, as the peers are run, with sync off."""

    name = "oxidbm"
    module = "oxidbm"
    distribution = "oxidbm"
    rmw = "s.rmw(k, f)"
    get_many: str | None = "m.get_many(keys)"
    set_many: str | None = "m.set_many(pairs)"
    set_many_ordered: str | None = "m.set_many(pairs)"
    effect = (
        f"not synced before it is closed; M is {MINIMUM_MEMORY >> 20} MiB, or {MEMORY_TIMES} times the records at "
        f"{MEMORY_BEYOND_RECORD} bytes beyond key and value where that is more, unless the figure says otherwise"
    )
    options: ClassVar[dict[str, Any]] = {"durability": "manual"}

    @classmethod
    def available(cls) -> bool:
        """Whether oxidbm is installed and has its Store."""
        return hasattr(optional_module(cls.module), "Store")

    @classmethod
    def call(cls) -> str:
        """Made of the arguments that `open` gives."""
        arguments = ["path"] * cls.persistent + ["memory=M"] + [spelled(cls.options)] * bool(cls.options)
        return f"Store({', '.join(arguments)})"

    def path(self) -> str | None:
        """Where the store lives."""
        return str(self.directory / "store")

    def open(self) -> None:
        """Open with the budget the case asks for."""
        oxidbm = optional_module(self.module)
        assert oxidbm is not None
        self.m = oxidbm.Store(self.path(), memory=self.memory, **self.options)

    def begin_session(self) -> None:
        """Enter a session: rmw is an operation of sessions."""
        self.s = self.m.session()
        self.s.__enter__()

    def end_session(self) -> None:
        """Leave the session, which commits it."""
        if self.s is not None:
            self.s.__exit__(None, None, None)
        self.s = None

    def close(self) -> None:
        """Leave the session if there is one, then close."""
        self.end_session()
        super().close()


class OxidbmIntervalEngine(OxidbmEngine):
    """`oxidbm.Store(path)`: the default, a commit and a sync each second, which no peer does here."""

    name = "oxidbm-interval"
    effect = "as it is by default, with a commit and a sync each second, which no peer makes unless its line says so"
    options: ClassVar[dict[str, Any]] = {}


class OxidbmMemoryEngine(OxidbmEngine):
    """`oxidbm.Store()`: no files."""

    name = "oxidbm-memory"
    effect = "no files"
    persistent = False

    def path(self) -> str | None:
        """None: the store lives in memory."""
        return None


class OxidbmTypedEngine(OxidbmEngine):
    """`Store(key=str, value=str)`: the same characters as the bytes of the other engines."""

    name = "oxidbm-typed"
    effect = "keys and values are str, with as many characters as the others have bytes"
    text_keys = True
    options: ClassVar[dict[str, Any]] = {**OxidbmEngine.options, "key": str, "value": str}

    def values(self, values: list[bytes]) -> Sequence[Value]:
        """ASCII, so that a character is a byte."""
        return [value.translate(ASCII).decode("ascii") for value in values]


def increase(value: int) -> int:
    """The rmw function of numbers."""
    return value + 1


class OxidbmIntEngine(OxidbmEngine):
    """`Store(key=int, value=int)`: numbers of up to seven bytes, whatever the size of the value."""

    name = "oxidbm-int"
    effect = f"keys and values are int, of up to {INT_BYTES} bytes"
    options: ClassVar[dict[str, Any]] = {**OxidbmEngine.options, "key": int, "value": int}
    change: ClassVar[Callable[..., Value]] = staticmethod(increase)

    def keys(self, keys: list[bytes]) -> Sequence[Key]:
        """The key's number without its top byte: still another one for each key."""
        return [int(key, 16) & ((1 << 8 * INT_BYTES) - 1) for key in keys]

    def values(self, values: list[bytes]) -> Sequence[Value]:
        """The value's first bytes."""
        return [int.from_bytes(value[:INT_BYTES], "big") for value in values]


class OxidbmOrderedEngine(OxidbmEngine):
    """`Store(ordered=True)`: the hash index, and the keys in order beside it."""

    name = "oxidbm-ordered"
    effect = "the keys in order beside the hash index"
    range = "for p in islice(m.range(k), 100): pass"
    options: ClassVar[dict[str, Any]] = {**OxidbmEngine.options, "ordered": True}


class OxidbmDbmEngine(Engine):
    """`oxidbm.open(file, "cf")`: the dbm protocol."""

    name = "oxidbm.open"
    module = "oxidbm"
    distribution = "oxidbm"
    opened_by = 'oxidbm.open(path, "cf")'
    effect = "the dbm protocol; not synced before it is closed"
    scan = "for k in m.keys(): m[k]"

    @classmethod
    def available(cls) -> bool:
        """Whether oxidbm has its dbm face."""
        return hasattr(optional_module(cls.module), "open")

    def open(self) -> None:
        """Open as the dbm modules open."""
        oxidbm = optional_module(self.module)
        assert oxidbm is not None
        self.m = oxidbm.open(str(self.directory / "store"), "cf")
