"""Every engine the benchmarks know, oxidbm first."""

from __future__ import annotations

from bench.engines.base import Engine
from bench.engines.mappings import (
    DbmDumbEngine,
    DbmGnuEngine,
    DbmSqliteEngine,
    DictEngine,
    DiskcacheEngine,
    SemidbmEngine,
    ShelveEngine,
    SqlitedictEngine,
)
from bench.engines.ordered_stores import LmdbEngine, PlyvelEngine, RocksdictEngine
from bench.engines.oxidbm_store import (
    OxidbmDbmEngine,
    OxidbmEngine,
    OxidbmIntEngine,
    OxidbmIntervalEngine,
    OxidbmMemoryEngine,
    OxidbmOrderedEngine,
    OxidbmTypedEngine,
)

ENGINES: dict[str, type[Engine]] = {
    engine.name: engine
    for engine in (
        OxidbmEngine,
        OxidbmIntervalEngine,
        OxidbmMemoryEngine,
        OxidbmDbmEngine,
        OxidbmTypedEngine,
        OxidbmIntEngine,
        OxidbmOrderedEngine,
        DictEngine,
        LmdbEngine,
        RocksdictEngine,
        PlyvelEngine,
        DbmGnuEngine,
        DbmSqliteEngine,
        DbmDumbEngine,
        SemidbmEngine,
        ShelveEngine,
        DiskcacheEngine,
        SqlitedictEngine,
    )
}
DEFAULT_ENGINES = ("oxidbm", "oxidbm-interval", "oxidbm-memory", "dict", "lmdb", "rocksdict")


def select_engines(names: str) -> list[type[Engine]]:
    """The engines of a comma-separated list, installed or not; `default` and `all` stand for lists of their own."""
    chosen: dict[str, type[Engine]] = {}
    for name in names.split(","):
        group = DEFAULT_ENGINES if name == "default" else tuple(ENGINES) if name == "all" else (name,)
        for one in group:
            if one not in ENGINES:
                raise ValueError(f"no engine is called {one!r}: the engines are {', '.join(ENGINES)}")
            chosen[one] = ENGINES[one]
    return list(chosen.values())


__all__ = ["DEFAULT_ENGINES", "ENGINES", "Engine", "select_engines"]
