"""oxidbm: a store on disk, a store in memory, and the dbm face."""

from __future__ import annotations

from typing import Any, ClassVar

from bench.engines.base import Engine, optional_module


class OxidbmEngine(Engine):
    """`oxidbm.Store(path, durability="manual")`: durable when it is closed, as the peers are run, with sync off."""

    name = "oxidbm"
    module = "oxidbm"
    distribution = "oxidbm"
    rmw = "s.rmw(k, f)"
    options: ClassVar[dict[str, Any]] = {"durability": "manual"}

    @classmethod
    def available(cls) -> bool:
        """Whether oxidbm is installed and has its Store."""
        return hasattr(optional_module(cls.module), "Store")

    def path(self) -> str | None:
        """Where the store lives."""
        return str(self.directory / "store")

    def open(self) -> None:
        """Open with the budget the case asks for; use the batch calls where the store has them."""
        oxidbm = optional_module(self.module)
        assert oxidbm is not None
        self.m = oxidbm.Store(self.path(), memory=self.memory, **self.options)
        if hasattr(self.m, "get_many"):
            self.get_many = "m.get_many(keys)"
        if hasattr(self.m, "set_many"):
            self.set_many = "m.set_many(pairs)"

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
    options: ClassVar[dict[str, Any]] = {}


class OxidbmMemoryEngine(OxidbmEngine):
    """`oxidbm.Store()`: no files."""

    name = "oxidbm-memory"
    persistent = False

    def path(self) -> str | None:
        """None: the store lives in memory."""
        return None


class OxidbmDbmEngine(Engine):
    """`oxidbm.open(file, "c")`: the dbm protocol."""

    name = "oxidbm.open"
    module = "oxidbm"
    distribution = "oxidbm"
    scan = "for k in m.keys(): m[k]"

    @classmethod
    def available(cls) -> bool:
        """Whether oxidbm has its dbm face."""
        return hasattr(optional_module(cls.module), "open")

    def open(self) -> None:
        """Open as the dbm modules open."""
        oxidbm = optional_module(self.module)
        assert oxidbm is not None
        self.m = oxidbm.open(str(self.directory / "store"), "c")
