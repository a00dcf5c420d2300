"""What setup.py decides: whether the core is compiled, by which compiler, and what it says where that fails."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import Any

import pytest

from oxidbm import _pure
from tests.support import ROOT

pytest.importorskip("setuptools", reason="setuptools is not installed")

pytestmark = pytest.mark.compiled_only("what is installed is decided before there is a mode")

INCLUDE = sysconfig.get_path("include")
MACHINE = {"gcc": "/usr/bin/gcc", "/opt/bin/cc1": "/opt/bin/cc1"}


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The functions of setup.py, as nothing in the environment would have them."""
    for name in ("OXIDBM_PURE", "CC"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("setup_of_oxidbm", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("named", "configured", "found"),
    [
        ("", "gcc -pthread", ("gcc", "-pthread")),
        ("", "clang -pthread", ("gcc",)),
        ("", "", ("gcc",)),
        ("/opt/bin/cc1 -m64", "gcc", ("/opt/bin/cc1", "-m64")),
        ("icc", "gcc", None),
    ],
)
def test_the_compiler_is_the_one_that_is_named_or_one_that_is_there(
    setup: Any, named: str, configured: str, found: tuple[str, ...] | None
) -> None:
    assert setup.compiler(named, configured, MACHINE.get) == found
    assert setup.compiler(named, configured, lambda name: None) is None


@pytest.mark.parametrize(("installed", "found"), [(0, "/usr/bin/cc"), (2, None)])
def test_on_macos_a_name_alone_is_no_compiler(
    setup: Any, monkeypatch: pytest.MonkeyPatch, installed: int, found: str | None
) -> None:
    asked = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        asked.append(command[0])
        return subprocess.CompletedProcess(command, installed)

    monkeypatch.setattr(setup.shutil, "which", {"cc": "/usr/bin/cc", "gcc": "/opt/bin/gcc"}.get)
    monkeypatch.setattr(setup.subprocess, "run", run)
    assert setup.program("cc") == "/usr/bin/cc"
    assert asked == []
    monkeypatch.setattr(setup.sys, "platform", "darwin")
    assert setup.program("cc") == found
    assert asked == ["xcode-select"]
    assert setup.program("gcc") == "/opt/bin/gcc"
    assert setup.program("clang") is None


def test_a_machine_without_a_compiler_is_told_what_to_install(
    setup: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup, "compiler", lambda *arguments: None)
    monkeypatch.setattr(setup, "compiler_of_windows", lambda: None)
    assert not setup.is_to_be_compiled()
    assert _pure.to_compile(sys.platform) in capsys.readouterr().err


@pytest.mark.parametrize(("name", "value"), [("ASKED", "0"), ("CC", "/opt/bin/none")])
def test_what_was_asked_for_is_not_left_out(setup: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """With OXIDBM_PURE=0, as wheels are made, or a compiler by name, there is no uncompiled installation."""
    monkeypatch.setattr(setup, name, value)
    monkeypatch.setattr(setup, "compiler", lambda *arguments: None)
    monkeypatch.setattr(setup, "compiler_of_windows", lambda: None)
    with pytest.raises(SystemExit, match=r"there is no C compiler(?s:.*)install .*OXIDBM_PURE=1"):
        setup.is_to_be_compiled()


def test_missing_headers_are_named(setup: Any, tmp_path: Path) -> None:
    fault = setup.fault_of(("anything",), str(tmp_path))
    assert fault.startswith("the headers of this Python are missing")
    assert str(tmp_path / "Python.h") in fault


def test_a_compiler_that_fails_is_quoted(setup: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("print('the licence has expired')\nraise SystemExit(3)\n", encoding="utf-8")
    (tmp_path / "Python.h").touch()
    fault = setup.fault_of((sys.executable, str(broken)), str(tmp_path))
    assert fault.endswith("fails at a program of two lines\nthe licence has expired")
    fault = setup.fault_of((str(tmp_path / "none"),), str(tmp_path))
    assert fault.endswith("does not start: No such file or directory")


@pytest.mark.skipif(sys.platform == "win32", reason="setuptools finds the compiler of Windows")
def test_a_fault_of_the_compiler_is_the_end_with_what_to_install(setup: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "compiler", lambda *arguments: ("cc",))
    monkeypatch.setattr(setup, "fault_of", lambda *arguments: "cc has a headache")
    with pytest.raises(SystemExit, match=r"oxidbm: cc has a headache\noxidbm: install a C compiler .*OXIDBM_PURE=1"):
        setup.is_to_be_compiled()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.skipif(not Path(INCLUDE, "Python.h").is_file(), reason="the headers of this Python are missing")
def test_a_compiler_that_works_stands_in_for_the_one_of_this_python(
    setup: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert setup.fault_of(("gcc",), INCLUDE) is None
    monkeypatch.setattr(setup, "compiler", lambda *arguments: ("gcc",))
    monkeypatch.setattr(setup.sysconfig, "get_config_var", lambda name: "clang -pthread")
    monkeypatch.setenv("CC", "")
    assert setup.is_to_be_compiled()
    assert os.environ["CC"] == "gcc"


@pytest.mark.parametrize(("level", "said"), [("3", "needs 2 GiB, 1 GiB with OXIDBM_OPT=0"), ("0", "needs 1 GiB. With")])
def test_a_failure_in_the_middle_says_what_may_be_short(
    setup: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: str, said: str
) -> None:
    def fail(command: object) -> None:
        raise setup.CompileError("command 'cc' failed")

    monkeypatch.setattr(setup, "LEVEL", level)
    monkeypatch.setattr(setup.build_ext, "build_extensions", fail)
    command = object.__new__(setup.build_core)
    with pytest.raises(setup.CompileError, match=said):
        command.build_extensions()
    assert "command 'cc' failed" in capsys.readouterr().err


def test_each_platform_has_its_words() -> None:
    assert "python3-dev" in _pure.to_compile("linux")
    assert "xcode-select" in _pure.to_compile("darwin")
    assert "Visual Studio" in _pure.to_compile("win32")


def warned(monkeypatch: pytest.MonkeyPatch, *, asked: bool, compiled: bool) -> list[str]:
    """Return what the import says where pure mode was asked for or not, and the core is compiled or not."""
    monkeypatch.setattr(_pure, "compiled", lambda: compiled)
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setenv("OXIDBM_PURE", "1" if asked else "0")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        _pure.install()
    return [str(each.message) for each in found]


def test_only_an_uncompiled_core_that_nobody_asked_for_is_worth_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert warned(monkeypatch, asked=False, compiled=True) == []
    assert warned(monkeypatch, asked=True, compiled=False) == []
    (text,) = warned(monkeypatch, asked=False, compiled=False)
    assert _pure.to_compile(sys.platform) in text
    assert "OXIDBM_PURE=1" in text


@pytest.mark.skipif(sys.platform == "win32", reason="the variable names a program of another system")
def test_an_installation_without_compiler_works_and_says_so(tmp_path: Path) -> None:
    """The package's sources alone, as an uncompiled wheel has them, imported by a program that asked for nothing."""
    shutil.copytree(ROOT / "oxidbm", tmp_path / "oxidbm", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    program = tmp_path / "program.py"
    program.write_text("import oxidbm\nwith oxidbm.Store() as store:\n    store['a'] = 'b'\n    print(dict(store))\n")
    unset = {"OXIDBM_PURE", "PYTHONPATH", "PYTHONWARNINGS"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "{b'a': b'b'}\n")
    assert done.stderr.count("RuntimeWarning: oxidbm is not compiled") == 1
    assert f"{shlex.quote('program.py')}:1: " in done.stderr
    quiet = subprocess.run(
        command, cwd=tmp_path, env={**environment, "OXIDBM_PURE": "1"}, capture_output=True, text=True, check=False
    )
    assert (quiet.returncode, quiet.stderr) == (0, "")
