"""oxidbm.dbm.install: the stdlib's dbm.open and dbm.whichdb know stores, until the last installation has gone."""

import dbm
import dbm.dumb
import itertools
import shelve
from pathlib import Path
from typing import Any

import pytest

import oxidbm


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store")


def test_install_lets_the_stdlib_make_recognise_and_reopen_stores(path: str, tmp_path: Path) -> None:
    other = str(tmp_path / "dumb")
    with dbm.dumb.open(other, "c") as dumb:
        dumb["old"] = "still read"
    before = dbm.open, dbm.whichdb
    with oxidbm.dbm.install():
        with dbm.open(path, "c") as db:
            kind: Any = type(db)
            assert kind is oxidbm.Database
            db["a"] = "b"
        assert dbm.whichdb(path) == "oxidbm"
        with dbm.open(path) as db:
            assert db["a"] == b"b"
        with dbm.open(other) as db:
            assert db["old"] == b"still read"
        with pytest.raises(dbm.error):
            dbm.open(str(tmp_path / "missing"))  # noqa: SIM115
        with shelve.open(str(tmp_path / "shelf")) as shelf:
            shelf["x"] = [1, 2]
        assert dbm.whichdb(str(tmp_path / "shelf")) == "oxidbm"
        with shelve.open(str(tmp_path / "shelf"), "r") as shelf:
            assert shelf["x"] == [1, 2]
    assert before == (dbm.open, dbm.whichdb)
    assert dbm.whichdb(path) is None


def test_installations_nest_and_end_once() -> None:
    before = dbm.open, dbm.whichdb
    outer = oxidbm.dbm.install()
    with oxidbm.dbm.install():
        pass
    assert dbm.open == outer.open
    outer.uninstall()
    outer.uninstall()
    assert before == (dbm.open, dbm.whichdb)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_installations_end_in_any_order(order: tuple[int, ...], path: str) -> None:
    before = dbm.open, dbm.whichdb
    with oxidbm.open(path, "c"):
        pass
    installations = [oxidbm.dbm.install() for _ in range(3)]
    held = [(each.open, each.whichdb) for each in installations]
    for left, number in enumerate(order, 1):
        assert dbm.whichdb(path) == "oxidbm"
        installations[number].uninstall()
        installations[number].uninstall()
        assert (before == (dbm.open, dbm.whichdb)) == (left == 3)
    assert dbm.whichdb(path) is None
    for opened, which in held:  # whoever took them with `from dbm import open` has the stdlib's now
        assert which(path) is None
        with pytest.raises(dbm.error):
            opened(path)


def test_an_installation_below_somebody_elses_function_passes_on(path: str) -> None:
    before = dbm.open, dbm.whichdb
    first, second = oxidbm.dbm.install(), oxidbm.dbm.install()
    ours = dbm.whichdb
    vars(dbm)["whichdb"] = lambda name: ours(name)  # noqa: PLW0108 - another's, which cannot be taken away
    try:
        with oxidbm.open(path, "c"):
            pass
        first.uninstall()
        assert dbm.whichdb(path) == "oxidbm"
        second.uninstall()
        assert dbm.whichdb(path) is None
        assert dbm.open == before[0]
    finally:
        vars(dbm)["whichdb"] = before[1]
