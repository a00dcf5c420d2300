"""ResourceWarnings: of what has files and was left to the garbage collector, or to the exit."""

import gc
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from tests.support import ROOT

OPENERS: dict[str, Callable[[Path], Any]] = {
    "store": oxidbm.Store,
    "log": oxidbm.Log,
    "queue": oxidbm.Queue,
}

pytestmark = pytest.mark.filterwarnings("always::ResourceWarning")


def said(opened: Callable[[], Any]) -> list[warnings.WarningMessage]:
    """Return the warnings that are issued when what was opened goes."""
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always", ResourceWarning)
        thing = opened()
        del thing
        gc.collect()
    return [one for one in issued if issubclass(one.category, ResourceWarning)]


@pytest.mark.parametrize("what", OPENERS)
def test_what_was_never_closed_is_said_where_it_goes(what: str, tmp_path: Path) -> None:
    (warning,) = said(lambda: OPENERS[what](tmp_path / "s"))
    assert str(warning.message) == (
        f"the {what} {tmp_path / 's'} was never closed: call close() when you are done, or use it in a with block"
    )
    assert warning.filename == __file__
    with OPENERS[what](tmp_path / "s"):  # it was closed all the same
        pass


def test_a_reader_has_files_too(tmp_path: Path) -> None:
    oxidbm.Store(tmp_path / "s").close()
    assert len(said(lambda: oxidbm.Store(tmp_path / "s", read_only=True))) == 1
    assert len(said(lambda: oxidbm.open(tmp_path / "s", "r"))) == 1


def closed(thing: Any) -> Any:
    """Return something closed."""
    thing.close()
    return thing


@pytest.mark.parametrize("what", OPENERS)
def test_what_was_closed_or_has_no_files_is_not(what: str, tmp_path: Path) -> None:
    assert said(lambda: closed(OPENERS[what](tmp_path / "s"))) == []
    assert said(lambda: OPENERS[what](None)) == []  # type: ignore[arg-type]


def test_an_opening_that_failed_is_nobodys_to_close(tmp_path: Path) -> None:
    oxidbm.Store(tmp_path / "s", key="str").close()

    def refused() -> None:
        with pytest.raises(oxidbm.CodecError):
            oxidbm.Store(tmp_path / "s", key="int")

    assert said(refused) == []


def test_as_an_error_it_ends_no_finalizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: unraisable.append(one.exc_value))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        store = oxidbm.Store(tmp_path / "s")
        store["a"] = b"1"
        del store
        gc.collect()
    assert [type(one) for one in unraisable] == [ResourceWarning]
    with oxidbm.Store(tmp_path / "s") as store:
        assert store["a"] == b"1"


def run(code: str, *arguments: str) -> str:
    """Run code in a Python of its own, and return what it prints as errors."""
    command = [sys.executable, *arguments, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    return done.stderr


def test_at_the_exit_it_is_said_where_python_shows_such_warnings(tmp_path: Path) -> None:
    code = f"""
        import oxidbm
        kept = [oxidbm.Store({str(tmp_path / "s")!r}), oxidbm.Queue({str(tmp_path / "q")!r})]
        kept[0]["a"] = b"1"
    """
    assert run(code) == ""
    errors = run(code, "-W", "default::ResourceWarning")
    for what, name in (("store", "s"), ("queue", "q")):
        assert errors.count(f"ResourceWarning: the {what} {tmp_path / name} was never closed") == 1
    errors = run(code, "-W", "error::ResourceWarning")
    assert errors.count("was never closed") == 2
    with oxidbm.Store(tmp_path / "s") as store:
        assert store["a"] == b"1"


@pytest.mark.compiled_only("tracemalloc of Python 3.11 does not find objects that have a __dict__")
def test_tracemalloc_says_where_it_was_opened(tmp_path: Path) -> None:
    code = f"""
        import oxidbm
        def forgetful():
            return oxidbm.Store({str(tmp_path / "s")!r})
        forgetful()
    """
    errors = run(code, "-X", "tracemalloc=10", "-W", "default::ResourceWarning")
    assert "Object allocated at" in errors
