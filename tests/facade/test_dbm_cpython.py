"""CPython's own tests of the dbm protocol and of shelves, run on oxidbm; skipped where the interpreter has none."""

import dbm
import importlib
import shelve
import types
import unittest
from pathlib import Path
from typing import Any, ClassVar

import pytest

import oxidbm


def interpreters(name: str) -> Any:
    """Return a module of the interpreter's own test package; skip where it was left out."""
    try:
        return importlib.import_module(name)
    except ImportError as failure:
        pytest.skip(f"this interpreter comes without {name} ({failure})")


def run(case: type[unittest.TestCase]) -> None:
    """Run a TestCase, and fail with what failed in it."""
    result = unittest.TestResult()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    assert suite.countTestCases() > 10
    suite.run(result)
    assert [text for _, text in result.errors + result.failures] == []
    assert result.skipped == []


def any_dbm_case(module: Any, face: Any) -> type[unittest.TestCase]:
    """Return CPython's AnyDBMTestCase for `module`, through a face that stands where `import dbm` does."""
    source = interpreters("test.test_dbm")

    class Case(source.AnyDBMTestCase, unittest.TestCase):  # type: ignore[misc,name-defined]
        _dict: ClassVar[dict[str, bytes]] = dict(source.AnyDBMTestCase._dict)

        def setUp(self) -> None:
            self.module = module
            before = source.dbm
            source.dbm = face
            self.addCleanup(setattr, source, "dbm", before)
            super().setUp()

    return Case


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_any_dbm_with_oxidbm_imported_as_dbm() -> None:
    face = types.SimpleNamespace(**{name: getattr(oxidbm, name) for name in oxidbm.__all__}, _defaultmod=oxidbm)
    run(any_dbm_case(oxidbm, face))


def test_any_dbm_through_the_stdlib_with_oxidbm_installed() -> None:
    with oxidbm.dbm.install():
        run(any_dbm_case(oxidbm, dbm))


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("writeback", [False, True])
def test_mapping_protocol_of_a_stdlib_shelf(protocol: int, writeback: bool) -> None:
    source = interpreters("test.mapping_tests")

    class Case(source.BasicTestMappingProtocol):  # type: ignore[misc,name-defined]
        type2test = shelve.Shelf
        number = 0

        def _reference(self) -> dict[str, object]:
            return {"key1": "value1", "key2": 2, "key3": (1, 2, 3)}

        def _empty_mapping(self) -> Any:
            type(self).number += 1
            shelf: shelve.Shelf[Any] = shelve.Shelf(oxidbm.open(f"shelf{self.number}", "n"), protocol, writeback)
            self.addCleanup(shelf.close)
            return shelf

    run(Case)


@pytest.mark.parametrize("serializer", ["json", "pickle"])
@pytest.mark.parametrize("writeback", [False, True])
def test_mapping_protocol_of_our_shelf(serializer: str, writeback: bool) -> None:
    source = interpreters("test.mapping_tests")
    ours = importlib.import_module("oxidbm.shelve")

    class Case(source.BasicTestMappingProtocol):  # type: ignore[misc,name-defined]
        type2test = ours.Shelf
        number = 0

        def _reference(self) -> dict[str, object]:
            return {"key1": "value1", "key2": 2, "key3": (1, 2, 3)}

        def _empty_mapping(self) -> Any:
            type(self).number += 1
            shelf = ours.open(f"shelf{self.number}", "n", writeback=writeback, serializer=serializer)
            self.addCleanup(shelf.close)
            return shelf

    run(Case)
